"""ConvTranspose: the gradient of a convolution as an operator of its own."""

from __future__ import annotations

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.channels import Channels, check_bias, kernel_of, transposed_channels_of
from nnlet.compiler.ops.gemm import BLOCK, DEPTH, depth, pack_a
from nnlet.compiler.ops.window import (
    Window,
    auto_pad_of,
    axis_attr,
    c_windows,
    spatial_rank,
    split_padding,
)
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site


def conv_transpose(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ConvTranspose.html"""
    x, w, bias = s.input(0), s.input(1), s.optional(2)
    c = transposed_channels_of(s, x, w)
    axes = _windows(s, x.dims[2:], kernel_of(s, w))
    check_bias(s, bias, c)
    dims = (c.batch, c.out, *(a.size for a in axes))
    if x.dtype is not FP32 or c.channels == 1:
        y = s.output(0, x.dtype, dims)
        s.call("conv.convtranspose", x.dtype, y, x, w, bias, c_windows(axes), *c.arguments())
        return
    weights = _packed(s, w, c)
    y = s.output(0, x.dtype, dims)
    depth(s, c.channels)
    columns = s.scratch(FP32, (d.minimum(c.channels, DEPTH), BLOCK))
    block = s.scratch(FP32, (*w.dims[1:], BLOCK))
    args = y, x, weights, bias, columns, block, c_windows(axes), *c.arguments()
    s.call("conv_packed.conv_transpose_packed", (), *args)


def _packed(s: Site, w: Value, c: Channels) -> Value:
    """The weights as conv_packed.c wants them, packed now if they are constant, else in the run.

    Each group is a matrix of a row for each filter and tap, which counts channels.
    """
    if w.content is None:
        packed = s.temporary(FP32, w.dims)
        sizes = c.groups, c.filters, c.channels, d.product(w.dims[2:])
        s.call("conv_packed.conv_transpose_pack", (), packed, w, *sizes)
        s.flush()
        return packed
    matrices = [g.reshape(g.shape[0], -1).T for g in np.split(w.content, c.groups)]
    return s.value_of(np.concatenate([pack_a(m) for m in matrices]))


def _windows(s: Site, sizes: tuple[Dim, ...], kernel: tuple[Dim, ...]) -> list[Window]:
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
