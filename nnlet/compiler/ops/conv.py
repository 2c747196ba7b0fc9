"""Convolutions: Conv, ConvTranspose, DeformConv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.gemm import BLOCK, DEPTH, pack_a
from nnlet.compiler.ops.window import (
    Window,
    auto_pad_of,
    axis_attr,
    c_windows,
    spatial_rank,
    split_padding,
    windows,
)
from nnlet.compiler.program import Epilogue, Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES

INT32 = DATATYPES["INT32"]


@dataclass(frozen=True)
class Channels:
    """How a convolution's channels are grouped: per group, `filters` from `channels`."""

    batch: Dim
    groups: int
    filters: Dim
    channels: Dim

    @property
    def out(self) -> Dim:
        return self.filters * self.groups

    def arguments(self) -> tuple[Dim, ...]:
        """As the kernels take them."""
        return (self.batch, self.groups, self.filters, self.channels)


def conv(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Conv.html"""
    x, w = s.input(0), s.input(1)
    convolve(s, x, w, s.optional(2), lambda dims: s.output(0, x.dtype, dims))


def convolve(
    s: Site, x: Value, w: Value, bias: Value | None, result: Callable[[Sequence[Dim]], Value]
) -> Value:
    """The convolution of values of one type, in what `result` makes for its dims."""
    c = _channels(s, x, w)
    axes = windows(s, x.dims[2:], _kernel(s, w))
    _check_bias(s, bias, c)
    single = c.channels == 1 and c.groups > 1
    weights = _packed_weights(s, w, c) if x.dtype is FP32 and not single else w
    y = result((c.batch, c.out, *(a.out for a in axes)))
    if x.dtype is not FP32:
        s.call("conv.conv", x.dtype, y, x, w, bias, c_windows(axes), *c.arguments())
        return y
    if single:
        _depthwise(s, y, x, w, bias, axes, c)
        return y
    if _suits_winograd(axes, c):
        _winograd(s, y, x, weights, bias, axes, c)
        return y
    columns = s.scratch(FP32, (d.minimum(c.channels * d.product(w.dims[2:]), DEPTH), BLOCK))
    end = s.epilogue(Epilogue(axis=1, row=bias))
    s.call(
        "conv_packed.conv_packed", (), y, x, weights, columns, c_windows(_flat(axes)),
        *c.arguments(), end,
    )  # fmt: skip
    return y


def _depthwise(
    s: Site, y: Value, x: Value, w: Value, bias: Value | None, axes: list[Window], c: Channels
) -> None:
    """A convolution whose filters see one channel each."""
    last = axes[-1]
    # A row as depthwise.c has it: outputs in blocks, and as far as the last tap is away.
    blocks = d.ceildiv(last.out, 16) * 16
    span = blocks + d.floordiv((last.kernel - 1) * last.dilation, last.stride)
    rows = d.product(a.reach for a in axes[:-1])
    copy = s.scratch(FP32, (rows, last.stride, span))
    offsets = s.scratch(INT32, w.dims[2:])
    end = s.epilogue(Epilogue(axis=1, row=bias))
    s.call(
        "depthwise.depthwise", (), y, x, w, copy, offsets, c_windows(axes), span,
        *c.arguments()[:3], end,
    )  # fmt: skip


def _suits_winograd(axes: list[Window], c: Channels) -> bool:
    """Whether 3 x 3 taps gain more from winograd.c than its transformations take."""
    taps = [(a.kernel, a.stride, a.dilation) for a in axes] == [(3, 1, 1)] * 2
    if not (taps and isinstance(c.filters, int) and isinstance(c.channels, int)):
        return False
    tiles = d.product(d.ceildiv(a.out, 4) for a in axes)
    fits = c.filters % 4 == 0 and c.filters >= 16 and c.channels >= 8
    return fits and (not isinstance(tiles, int) or tiles >= 4)


def _winograd(
    s: Site, y: Value, x: Value, weights: Value, bias: Value | None, axes: list[Window], c: Channels
) -> None:
    height, width = axes
    across = d.ceildiv(width.out, 4)
    # The transformed tiles of all channels should fit the L2 cache.
    most = d.maximum(16, d.floordiv(4096, c.channels))
    lines = d.maximum(1, d.minimum(d.floordiv(most, across), d.ceildiv(height.out, 4)))
    tiles = d.ceildiv(lines * across, 4) * 4
    scratch = [
        s.scratch(FP32, dims)
        for dims in (
            (4 * lines + 2, 4 * across + 2),
            (36, c.channels, tiles),
            (36, c.channels, 8),
            (36, 8, tiles),
        )
    ]
    end = s.epilogue(Epilogue(axis=1, row=bias))
    s.call(
        "winograd.winograd", (), y, x, weights, *scratch, c_windows(axes), lines, *c.arguments(),
        end,
    )  # fmt: skip


def _packed_weights(s: Site, w: Value, c: Channels) -> Value:
    """The weights as conv_packed.c wants them, packed now if they are constant, else in the run.

    Each group is a matrix: of a row for each filter, which counts taps and then channels, or
    transposed, of a row for each filter and tap, which counts channels.
    """
    transposed = s.node.op == "ConvTranspose"
    content = w.content
    if content is None:
        packed = s.temporary(FP32, w.dims)
        kernel = "conv_transpose_pack" if transposed else "conv_pack"
        sizes = c.groups, c.filters, c.channels, d.product(w.dims[2:])
        s.call(f"conv_packed.{kernel}", (), packed, w, *sizes)
        s.flush()
        return packed
    grouped = np.split(content, c.groups)
    if transposed:
        matrices = [g.reshape(g.shape[0], -1).T for g in grouped]
    else:
        matrices = [np.moveaxis(g, 1, -1).reshape(g.shape[0], -1) for g in grouped]
    return s.value_of(np.concatenate([pack_a(m) for m in matrices]))


def _flat(axes: list[Window]) -> list[Window]:
    """Windows that only look at their own pixel are one long axis."""
    if not all(a.plain for a in axes):
        return axes
    return [Window(d.product(a.size for a in axes), d.product(a.out for a in axes), 1)]


def convtranspose(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ConvTranspose.html"""
    x, w = s.input(0), s.input(1)
    c = _transposed_channels(s, x, w)
    axes = _transposed_windows(s, x.dims[2:], _kernel(s, w))
    bias = s.optional(2)
    _check_bias(s, bias, c)
    packed = x.dtype is FP32 and c.channels != 1
    weights = _packed_weights(s, w, c) if packed else w
    y = s.output(0, x.dtype, (c.batch, c.out, *(a.size for a in axes)))
    if not packed:
        s.call("conv.convtranspose", x.dtype, y, x, w, bias, c_windows(axes), *c.arguments())
        return
    columns = s.scratch(FP32, (d.minimum(c.channels, DEPTH), BLOCK))
    block = s.scratch(FP32, (*w.dims[1:], BLOCK))
    s.call(
        "conv_packed.conv_transpose_packed", (), y, x, weights, bias, columns, block,
        c_windows(axes), *c.arguments(),
    )  # fmt: skip


def deformconv(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DeformConv.html"""
    x, w, offset = s.input(0), s.input(1), s.input(2)
    mask = s.optional(4)
    if x.rank != 4:
        s.unsupported(f"{x.rank - 2} spatial dimensions (2 are supported)")
    c = _channels(s, x, w)
    axes = windows(s, x.dims[2:], _kernel(s, w))
    out = tuple(a.out for a in axes)
    offset_groups = int(s.attr("offset_group", 1))
    if offset_groups < 1:
        s.fail(f"offset_group is {offset_groups}")
    _divides(s, offset_groups, x.dims[1], "input channels and offset_group")
    taps = axes[0].kernel * axes[1].kernel * offset_groups
    _require_dims(s, offset, (c.batch, 2 * taps, *out), "offset")
    if mask is not None:
        _require_dims(s, mask, (c.batch, taps, *out), "mask")
    bias = s.optional(3)
    _check_bias(s, bias, c)
    y = s.output(0, x.dtype, (c.batch, c.out, *out))
    scratch = s.scratch(x.dtype, (x.dims[1], *(a.kernel for a in axes)))
    s.call(
        "deform.deformconv", x.dtype, y, x, w, offset, bias, mask, scratch, c_windows(axes),
        c.batch, c.groups, offset_groups, c.filters, c.channels,
    )  # fmt: skip


def _channels(s: Site, x: Value, w: Value) -> Channels:
    """Weights are [groups * filters, channels, kernel...]."""
    groups = _groups(s, x, w)
    s.same(x.dims[1], w.dims[1] * groups, "channels of the input and of the weights")
    _divides(s, groups, w.dims[0], "filters and group")
    return Channels(x.dims[0], groups, d.floordiv(w.dims[0], groups), w.dims[1])


def _transposed_channels(s: Site, x: Value, w: Value) -> Channels:
    """Weights are [groups * channels, filters, kernel...]."""
    groups = _groups(s, x, w)
    s.same(x.dims[1], w.dims[0], "channels of the input and of the weights")
    _divides(s, groups, w.dims[0], "channels and group")
    return Channels(x.dims[0], groups, w.dims[1], d.floordiv(w.dims[0], groups))


def _groups(s: Site, x: Value, w: Value) -> int:
    if x.rank < 3 or w.rank != x.rank:
        s.fail(f"an input of rank {x.rank} and weights of rank {w.rank}")
    groups = int(s.attr("group", 1))
    if groups < 1:
        s.fail(f"group is {groups}")
    return groups


def _divides(s: Site, by: int, size: Dim, what: str) -> None:
    """Requires `size` to be a multiple of `by`."""
    s.same(d.floordiv(size, by) * by, size, f"{what} do not divide")


def _check_bias(s: Site, bias: Value | None, c: Channels) -> None:
    if bias is not None:
        s.same(bias.size, c.out, "elements of the bias and output channels")


def _kernel(s: Site, w: Value) -> tuple[Dim, ...]:
    """The kernel's size, as the weights have it; `kernel_shape` may only say the same."""
    kernel = w.dims[2:]
    said = s.attr("kernel_shape", kernel)
    if len(said) != len(kernel):
        s.fail(f"kernel_shape {list(said)} for weights of rank {w.rank}")
    for a, b in zip(said, kernel, strict=True):
        s.same(a, b, "kernel_shape and the weights' kernel")
    return kernel


def _require_dims(s: Site, value: Value, dims: tuple[Dim, ...], what: str) -> None:
    if value.rank != len(dims):
        s.fail(f"{what} of rank {value.rank}, expected {len(dims)}")
    for axis, (found, expected) in enumerate(zip(value.dims, dims, strict=True)):
        s.same(found, expected, f"dimension {axis} of the {what}")


def _transposed_windows(s: Site, sizes: tuple[Dim, ...], kernel: tuple[Dim, ...]) -> list[Window]:
    """The windows of the convolution that is transposed: its output is this one's input."""
    rank = spatial_rank(s, sizes, kernel)
    strides, dilations = axis_attr(s, "strides", rank), axis_attr(s, "dilations", rank)
    more = axis_attr(s, "output_padding", rank, 0)
    auto_pad = auto_pad_of(s)
    pads = axis_attr(s, "pads", 2 * rank, 0)
    shape = s.attr("output_shape")
    result = []
    for n, size in enumerate(sizes):
        full = (size - 1) * strides[n] + more[n] + (kernel[n] - 1) * dilations[n] + 1
        pad: Dim = pads[n]
        pad_end: Dim = pads[n + rank]
        out: Dim
        if shape or auto_pad.startswith("SAME"):
            # output_shape may come with the batch and channels in front.
            out = int(shape[n - rank]) if shape else size * strides[n]
            pad, pad_end = split_padding(d.maximum(full - out, 0), auto_pad)
        else:
            out = full - (pad + pad_end if auto_pad == "NOTSET" else 0)
            pad = pad if auto_pad == "NOTSET" else 0
        if isinstance(out, int):
            if out < 0:
                s.fail(f"an output size of {out}")
        else:
            s.check(f"{d.c(out)} >= 0", "an output size of %d", d.c(out))
        result.append(Window(out, size, kernel[n], strides[n], dilations[n], pad, pad_end))
    s.flush()  # the checks come before memory is taken for the output
    return result
