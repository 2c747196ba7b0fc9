"""Convolutions and matrix products of 8-bit integers with constant weights: qconv.c, qgemm.c and
depthwise.c.

`Parameters.of` says whether a node can be computed so; the weights are packed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.graph import Array
from nnlet.compiler.ops.channels import channels_of, kernel_of
from nnlet.compiler.ops.depthwise import depthwise_scratch
from nnlet.compiler.ops.window import Window, c_windows, windows
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES, DataType

INT16, INT32 = DATATYPES["INT16"], DATATYPES["INT32"]
BYTES = frozenset({"INT8", "UINT8"})
ROWS = 4  # quantized.h: Q_ROWS
COLUMNS = 8  # qgemm.c: QGEMM_COLUMNS
EXACT = 2**24  # below it floats have all integers
MAX_DEPTH = 2**15  # products of 9 and 8 bits in a sum of 32: so many, and a bias, at most
COPY_BYTES = 192 << 10  # of an image as pairs: a part of an L2 cache


@dataclass(frozen=True)
class Parameters:
    """What quantizes the factors and the result, all of it constant.

    The result is round((sum + bias) * scale) + zero in `dtype`, where the sum is of (x - x_zero)
    times `weights`, which have their zero points taken off.
    """

    x_zero: int
    weights: Array
    bias: Array | None
    scale: Array  # of the whole, or of each filter or column
    zero: int
    dtype: DataType

    @staticmethod
    def of(
        s: Site,
        x: tuple[int, int, int],
        w: tuple[int, int, int],
        y: tuple[int, int],
        bias: int,
        axis: int,
    ) -> Parameters | None:
        """From the inputs at these places: x, scale, zero point; w, scale, zero point; scale
        and zero point of y; bias. Weights have a scale for each index of `axis`, or one."""
        places = (*x[1:], *w, *y)
        if not all(s.has_input(n) and s.const(n) is not None for n in places):
            return None
        if s.has_input(bias) and s.const(bias) is None:
            return None
        zero_x, scale_y, zero_y = (np.asarray(s.const(n)) for n in (x[2], *y))
        zero_w = np.asarray(s.const(w[2]))
        if not all(p.size == 1 for p in (np.asarray(s.const(x[1])), zero_x, scale_y, zero_y)):
            return None
        to = s.input(y[1]).dtype
        if s.input(x[0]).dtype.name not in BYTES or to.name not in BYTES:
            return None
        weights, scale_w = np.asarray(s.const(w[0])), np.asarray(s.const(w[1]), np.float32)
        if weights.dtype.itemsize != 1 or weights.ndim < 2:
            return None
        if not all(p.size in (1, weights.shape[axis]) for p in (zero_w, scale_w)):
            return None
        scale_x = np.float32(s.const(x[1]))
        return Parameters(
            int(zero_x),
            centered(weights, zero_w, axis),
            s.const(bias),
            (scale_x * scale_w / np.float32(scale_y)).reshape(-1),
            int(zero_y),
            to,
        )

    def result(self, s: Site, groups: int, count: int, multiple: int) -> str:
        """C text of the q_result for `count` filters or columns in each of `groups`, filled up to
        a multiple."""
        info = np.iinfo(NUMPY[self.dtype.name])
        room = ((0, 0), (0, -count % multiple))
        every = np.broadcast_to(self.scale, (groups * count,)).reshape(groups, count)
        scales = s.pointer(s.value_of(np.pad(every, room)))
        bias = "0"
        if self.bias is not None:
            whole = self.bias.astype(np.int32).reshape(groups, count)
            bias = s.pointer(s.value_of(np.pad(whole, room)))
        return f"(q_result){{{bias}, {scales}, {self.zero}, {info.min}, {info.max}}}"


def centered(weights: Array, zero: Array, axis: int) -> Array:
    """weights - zero in 16 bits, where there is a zero point for each index of `axis`, or one."""
    if zero.size > 1:
        zero = zero.reshape(-1, *[1] * (weights.ndim - 1 - axis))
    return weights.astype(np.int16) - zero.astype(np.int16)


def _narrow(weights: Array) -> bool:
    """Whether 8 bits hold them."""
    return bool(np.all(weights == weights.astype(np.int8)))


# -- convolutions ---------------------------------------------------------------------------------


def convolve(s: Site, x: Value, w: Value, p: Parameters) -> bool:
    """Output 0 as the convolution of x with weights; False if its shape is not for qconv.c."""
    if x.rank != w.rank or x.rank < 3:
        return False
    if p.weights.shape[1] == 1 and int(s.attr("group", 1)) > 1 and _float_sums(p):
        _depthwise(s, x, w, p)
        return True
    depth = int(np.prod(p.weights.shape[1:]))
    if x.rank > 4 or depth > MAX_DEPTH or not _narrow(p.weights):
        return False
    _general(s, x, w, p)
    return True


def _general(s: Site, x: Value, w: Value, p: Parameters) -> None:
    c = channels_of(s, x, w)
    axes = windows(s, x.dims[2:], kernel_of(s, w))
    if p.bias is not None:
        s.same(p.bias.size, c.out, "elements of the bias and output channels")
    kernel = p.weights.shape[2:]
    across, taps = axes[-1], kernel[-1]
    pairs, steps = -(-p.weights.shape[1] // 2), -(-p.weights.shape[1] // 2) * int(np.prod(kernel))
    span = d.ceildiv(across.out, 4) * 4 + (taps - 1) * across.dilation // across.stride
    lines, height = _strip(axes[0], kernel[0], 4 * pairs * across.stride * span)
    if len(axes) == 1:
        lines, height = 1, 1
    y = s.output(0, p.dtype, (c.batch, c.out, *(a.out for a in axes)))
    copy = s.scratch(INT16, (pairs, height, across.stride, span, 2))
    s.call(
        "qconv.qconv", (), s.raw(y), s.raw(x),
        s.value_of(pack_filters(p.weights, c.groups, across.dilation == 1)),
        copy, s.scratch(INT32, (steps,)), c_windows(axes), lines, height, span, *c.arguments(),
        x.dtype.kind == "u", p.x_zero, p.result(s, c.groups, p.weights.shape[0] // c.groups, ROWS),
    )  # fmt: skip


def _float_sums(p: Parameters) -> bool:
    """Whether no sum of a depthwise convolution is too large for floats to have it exactly."""
    sums = np.abs(p.weights.astype(np.int64)).reshape(p.weights.shape[0], -1).sum(1) * 255
    bias = 0 if p.bias is None else np.abs(p.bias.astype(np.int64)).max(initial=0)
    return bool(sums.max(initial=0) + bias < EXACT)


def _depthwise(s: Site, x: Value, w: Value, p: Parameters) -> None:
    c = channels_of(s, x, w)
    axes = windows(s, x.dims[2:], kernel_of(s, w))
    if p.bias is not None:
        s.same(p.bias.size, c.out, "elements of the bias and output channels")
    span, copy, offsets = depthwise_scratch(s, axes, w)
    y = s.output(0, p.dtype, (c.batch, c.out, *(a.out for a in axes)))
    plane = s.scratch(FP32, x.dims[2:])
    s.call(
        "depthwise.qdepthwise", (), s.raw(y), s.raw(x), s.value_of(p.weights.astype(np.float32)),
        plane, copy, offsets, c_windows(axes), span, c.batch, c.groups, c.filters,
        x.dtype.kind == "u", p.x_zero, p.result(s, 1, p.weights.shape[0], 1),
    )  # fmt: skip


def _strip(down: Window, taps: int, row_bytes: Dim) -> tuple[Dim, Dim]:
    """How many lines of outputs to make at a time, and how many rows of the image those see: as
    many as fit COPY_BYTES."""
    reach = (taps - 1) * down.dilation
    rows = d.maximum(d.floordiv(COPY_BYTES, row_bytes) - reach - 1, 0)
    lines = d.maximum(1, d.minimum(down.out, d.floordiv(rows, down.stride) + 1))
    return lines, (lines - 1) * down.stride + reach + 1


def pack_filters(weights: Array, groups: int, neighbours: bool) -> Array:
    """weights[groups * filters, channels, taps...] as qconv.c has them: groups, panels of 4
    filters, steps, and then filters and the two of a pair; zeros fill up.

    A step is a tap of two channels. If taps are `neighbours`, a last channel that is alone has
    two taps in a step.
    """
    filters, channels = weights.shape[0] // groups, weights.shape[1]
    panels, kernel = -(-filters // ROWS), weights.shape[2:]
    full = np.zeros((groups, panels * ROWS, channels, *kernel), np.int8)
    full[:, :filters] = weights.reshape(groups, filters, channels, *kernel)
    flat = full.reshape(groups, panels, ROWS, channels, -1)
    even = channels // 2 * 2
    shape = (groups, panels, ROWS, even // 2, 2, flat.shape[-1])
    steps = [flat[..., :even, :].reshape(shape).swapaxes(4, 5)]
    if even < channels:
        last = full[:, :, even].reshape(groups, panels, ROWS, -1, kernel[-1])
        if not neighbours:
            last = last[..., None]
        width = 2 if not neighbours else -(-kernel[-1] // 2) * 2
        room = [(0, 0)] * (last.ndim - 1) + [(0, width - last.shape[-1])]
        steps.append(np.pad(last, room))
    pairs = [part.reshape(groups, panels, ROWS, part[0, 0, 0].size // 2, 2) for part in steps]
    return np.ascontiguousarray(np.concatenate(pairs, 3).swapaxes(2, 3)).reshape(-1)


# -- matrix products ------------------------------------------------------------------------------


def multiply(s: Site, a: Value, b: Array, p: Parameters) -> bool:
    """Output 0 as a[..., m, k] b[k, n]; False if their shapes are not for qgemm.c."""
    if a.rank < 2 or b.ndim != 2 or b.shape[0] > MAX_DEPTH or not _narrow(b):
        return False
    k, n = b.shape
    s.same(a.dims[-1], k, "the inner dimensions")
    if p.bias is not None:
        s.same(p.bias.size, n, "elements of the bias and columns")
    s.flush()
    y = s.output(0, p.dtype, (*a.dims[:-1], n))
    s.call(
        "qgemm.qgemm", (), s.raw(y), s.raw(a), s.value_of(pack_columns(b)),
        s.scratch(INT16, (ROWS, 2 * -(-k // 2))), d.product(a.dims[:-1]), n, k,
        a.dtype.kind == "u", p.x_zero, p.result(s, 1, n, COLUMNS),
    )  # fmt: skip
    return True


def pack_columns(b: Array) -> Array:
    """b[k, n] in strips of 8 columns: pairs of k, then columns and the two of a pair."""
    k, n = b.shape
    strips, pairs = -(-n // COLUMNS), -(-k // 2)
    full = np.zeros((pairs * 2, strips * COLUMNS), np.int8)
    full[:k, :n] = b
    split = full.reshape(pairs, 2, strips, COLUMNS)
    return np.ascontiguousarray(split.transpose(2, 0, 3, 1)).reshape(-1)
