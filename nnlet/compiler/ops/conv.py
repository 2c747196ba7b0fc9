"""Conv, and which kernel computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.channels import Channels, channels_of, check_bias, kernel_of
from nnlet.compiler.ops.depthwise import depthwise_scratch
from nnlet.compiler.ops.gemm import BLOCK, DEPTH, depth, pack_a
from nnlet.compiler.ops.window import Window, c_windows, windows
from nnlet.compiler.program import Epilogue, Value
from nnlet.compiler.site import FP32, Site


def conv(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Conv.html"""
    x, w = s.input(0), s.input(1)
    convolve(s, x, w, s.optional(2), lambda dims: s.output(0, x.dtype, dims))


def convolve(
    s: Site, x: Value, w: Value, bias: Value | None, result: Callable[[Sequence[Dim]], Value]
) -> Value:
    """The convolution of values of one type, in what `result` makes for its dims."""
    c = channels_of(s, x, w)
    axes = windows(s, x.dims[2:], kernel_of(s, w))
    check_bias(s, bias, c)
    dims = (c.batch, c.out, *(a.out for a in axes))
    if x.dtype is not FP32:
        y = result(dims)
        s.call("conv.conv", x.dtype, y, x, w, bias, c_windows(axes), *c.arguments())
    elif c.channels == 1 and c.groups > 1:
        y = result(dims)
        _depthwise(s, y, x, w, bias, axes, c)
    else:
        weights = _packed(s, w, c)
        y = result(dims)
        kernel = _winograd if _suits_winograd(axes, c) else _packed_product
        kernel(s, y, x, weights, bias, axes, c)
    return y


def _packed(s: Site, w: Value, c: Channels) -> Value:
    """The weights as conv_packed.c wants them, packed now if they are constant, else in the run.

    Each group is a matrix of a row for each filter, which counts taps and then channels.
    """
    if w.content is None:
        packed = s.temporary(FP32, w.dims)
        taps = d.product(w.dims[2:])
        s.call("conv_packed.conv_pack", (), packed, w, c.groups, c.filters, c.channels, taps)
        s.flush()
        return packed
    groups = np.split(w.content, c.groups)
    matrices = [np.moveaxis(g, 1, -1).reshape(g.shape[0], -1) for g in groups]
    return s.value_of(np.concatenate([pack_a(m) for m in matrices]))


def _packed_product(
    s: Site, y: Value, x: Value, weights: Value, bias: Value | None, axes: list[Window], c: Channels
) -> None:
    """The general case: products of packed matrices."""
    k = c.channels * d.product(a.kernel for a in axes)
    depth(s, k)
    if all(a.plain for a in axes):
        # Windows that only look at their own pixel are one long axis.
        axes = [Window(d.product(a.size for a in axes), d.product(a.out for a in axes), 1)]
    columns = s.scratch(FP32, (d.minimum(k, DEPTH), BLOCK))
    end = s.epilogue(Epilogue(axis=1, row=bias))
    args = y, x, weights, columns, c_windows(axes), *c.arguments(), end
    s.call("conv_packed.conv_packed", (), *args)


def _depthwise(
    s: Site, y: Value, x: Value, w: Value, bias: Value | None, axes: list[Window], c: Channels
) -> None:
    """A convolution whose filters see one channel each."""
    span, copy, offsets = depthwise_scratch(s, axes, w)
    end = s.epilogue(Epilogue(axis=1, row=bias))
    args = y, x, w, copy, offsets, c_windows(axes), span, c.batch, c.groups, c.filters, end
    s.call("depthwise.depthwise", (), *args)


def _suits_winograd(axes: list[Window], c: Channels) -> bool:
    """Whether 3 x 3 taps gain more from winograd.c than its transformations take."""
    if [(a.kernel, a.stride, a.dilation) for a in axes] != [(3, 1, 1)] * 2:
        return False
    if not (isinstance(c.filters, int) and isinstance(c.channels, int)):
        return False
    if c.filters % 4 or c.filters < 16 or c.channels < 8:
        return False
    tiles = d.ceildiv(d.product(d.ceildiv(a.out, 4) for a in axes), 4) * 4
    pixels = d.product(a.out for a in axes)
    if not (isinstance(tiles, int) and isinstance(pixels, int)):
        return True  # sizes that vary are those of whole images
    # Cycles for a filter and channel: 8 products each; weights and tiles are transformed.
    return 36 * tiles / 8 + 20 < 9 * pixels / 8


def _winograd(
    s: Site, y: Value, x: Value, weights: Value, bias: Value | None, axes: list[Window], c: Channels
) -> None:
    """3 x 3 taps by minimal filtering."""
    height, width = axes
    across = d.ceildiv(width.out, 4)
    # The transformed tiles of all channels should fit the L2 cache.
    most = d.maximum(16, d.floordiv(4096, c.channels))
    lines = d.maximum(1, d.minimum(d.floordiv(most, across), d.ceildiv(height.out, 4)))
    tiles = d.ceildiv(lines * across, 4) * 4
    scratch = [
        s.scratch(FP32, (4 * lines + 2, 4 * across + 2)),
        s.scratch(FP32, (36, c.channels, tiles)),
        s.scratch(FP32, (36, c.channels, 8)),
        s.scratch(FP32, (36, 8, tiles)),
    ]
    end = s.epilogue(Epilogue(axis=1, row=bias))
    args = y, x, weights, *scratch, c_windows(axes), lines, *c.arguments(), end
    s.call("winograd.winograd", (), *args)
