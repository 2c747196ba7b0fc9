"""Normalizations: batch, layer, root mean square, group, instance, Lp, local response."""

from __future__ import annotations

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.site import FP32, Site


def batch_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__BatchNormalization.html"""
    if s.attr("training_mode", 0):
        s.unsupported("training")
    if not s.attr("spatial", 1):
        s.unsupported("spatial = 0")
    x = s.input(0)
    epsilon = float(s.attr("epsilon", 1e-5))
    parameters = [_per_channel(s, x, s.input(n)) for n in (1, 2, 3, 4)]
    scale, bias, mean, variance = (p.content for p in parameters)
    if scale is None or bias is None or mean is None or variance is None:
        text = f"(@0 - @3) / SQRT({x.dtype.c})(@4 + {s.argument(epsilon)}) * @1 + @2"
        s.map(0, x.dtype, [x, *parameters], (x.dtype, text))
        return
    factor = scale / np.sqrt(variance.astype(np.float64) + epsilon)
    offset = bias - mean * factor
    dtype = NUMPY[x.dtype.name]
    folded = [s.value_of(a.astype(dtype)) for a in (factor, offset)]
    s.map(0, x.dtype, [x, *folded], (x.dtype, "@0 * @1 + @2"))


def _per_channel(s: Site, x: Value, parameter: Value) -> Value:
    """A parameter [channels] so that it repeats along the dims of `x` behind the channels."""
    return s.view(parameter, (parameter.size, *[1] * (x.rank - 2)))


def layer_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LayerNormalization.html

    Computed in float32, or float64 for such inputs; mean and inverse deviation are float32.
    """
    _check_stash_type(s)
    x, scale, bias = s.input(0), s.input(1), s.optional(2)
    axis = s.axis(-1, x.rank)
    rows = (d.product(x.dims[:axis]), d.product(x.dims[axis:]), float(s.attr("epsilon", 1e-5)))
    inside = _fits(scale, x.dims[axis:]) and (bias is None or _fits(bias, x.dims[axis:]))
    y = s.output(0, x.dtype, x.dims) if inside else s.temporary(x.dtype, x.dims)
    kept = (*x.dims[:axis], *[1] * (x.rank - axis))
    stats = [s.temporary(x.dtype, kept) if s.has_output(n) else None for n in (1, 2)]
    factors = (scale, bias) if inside else (None, None)
    s.call("normalize.layernorm", x.dtype, y, *stats, x, *factors, *rows)
    if not inside:
        _affine(s, y, scale, bias)
    for n, value in enumerate(stats, start=1):
        if value is not None:
            s.map(n, FP32, [value], (FP32, "(f32)@0"))


def rms_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__RMSNormalization.html

    The result has the type of the scale.
    """
    _check_stash_type(s)
    x, scale = s.input(0), s.input(1)
    axis = s.axis(-1, x.rank)
    rows = (d.product(x.dims[:axis]), d.product(x.dims[axis:]), float(s.attr("epsilon", 1e-5)))
    if _fits(scale, x.dims[axis:]) and scale.dtype is x.dtype:
        y = s.output(0, x.dtype, x.dims)
        s.call("normalize.rmsnorm", x.dtype, y, x, scale, *rows)
    else:
        y = s.temporary(x.dtype, x.dims)
        s.call("normalize.rmsnorm", x.dtype, y, x, None, *rows)
        _affine(s, y, scale, None)


def _check_stash_type(s: Site) -> None:
    if s.attr("stash_type", 1) != 1:
        s.unsupported(f"stash_type = {s.attr('stash_type')}: only 1 (float32) is computed")


def _fits(value: Value, dims: tuple[Dim, ...]) -> bool:
    """Whether `value` has one element for each of the last dims, rather than repeating."""
    return value.dims[-len(dims) :] == dims and value.size == d.product(dims)


def _affine(s: Site, y: Value, scale: Value, bias: Value | None) -> None:
    """Output 0 is y * scale + bias, broadcast."""
    inputs = [y, scale] if bias is None else [y, scale, bias]
    text = "@0 * @1" if bias is None else "@0 * @1 + @2"
    s.map(0, scale.dtype, inputs, (scale.dtype, text))


def group_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__GroupNormalization.html

    Scale and bias are for each channel. Before opset 21 they were for each group: ONNX has
    withdrawn that form, and its checker refuses it.
    """
    _check_stash_type(s)
    groups = int(s.attr("num_groups", 0))
    if groups < 1:
        s.fail(f"num_groups is {groups}")
    _normalize_groups(s, groups)


def instance_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html"""
    _normalize_groups(s, _with_channels(s).dims[1])


def _with_channels(s: Site) -> Value:
    """Input 0, which is [batch, channels, ...]."""
    x = s.input(0)
    if x.rank < 2:
        s.fail(f"an input of rank {x.rank}: batch and channels expected")
    return x


def _normalize_groups(s: Site, groups: Dim) -> None:
    x, scale, bias = _with_channels(s), s.input(1), s.input(2)
    batch, channels = x.dims[0], x.dims[1]
    in_group = d.floordiv(channels, groups)
    s.same(in_group * groups, channels, "groups times channels of each")
    for parameter in (scale, bias):
        s.same(parameter.size, channels, "elements of scale and bias")
    y = s.output(0, x.dtype, x.dims)
    s.call(
        "normalize.groupnorm", x.dtype, y, x, scale, bias, batch, groups, in_group,
        d.product(x.dims[2:]), float(s.attr("epsilon", 1e-5)),
    )  # fmt: skip


def lp_normalization(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LpNormalization.html"""
    x = s.input(0)
    axis, p = s.axis(-1, x.rank), int(s.attr("p", 2))
    if p not in (1, 2):
        s.fail(f"p = {p}: 1 or 2 expected")
    y = s.output(0, x.dtype, x.dims)
    outer, inner = d.product(x.dims[:axis]), d.product(x.dims[axis + 1 :])
    s.call("normalize.lpnorm", x.dtype, y, x, outer, x.dims[axis], inner, p)


def lrn(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LRN.html"""
    x = _with_channels(s)
    y = s.output(0, x.dtype, x.dims)
    s.call(
        "normalize.lrn", x.dtype, y, x, x.dims[0], x.dims[1], d.product(x.dims[2:]),
        int(s.attr("size")), float(s.attr("alpha", 1e-4)), float(s.attr("beta", 0.75)),
        float(s.attr("bias", 1.0)),
    )  # fmt: skip
