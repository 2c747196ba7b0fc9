"""Pad and CenterCropPad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops import strided
from nnlet.compiler.ops.shape import check_axes, pick
from nnlet.compiler.ops.strided import Loop, strides
from nnlet.compiler.ops.table import take
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.site import Site
from nnlet.tensor import DATATYPES

INT32 = DATATYPES["INT32"]
MODES = ("edge", "reflect", "wrap")  # in the order of pad_table.c


def pad(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Pad.html"""
    x = s.input(0)
    mode = str(s.attr("mode", "constant"))
    before, after = _pads(s, x.rank)
    if all(n == 0 for n in (*before, *after)):
        s.alias(0, x, x.dims)
    elif mode == "constant":
        _constant(s, x, before, after, _fill(s, x))
    elif mode in MODES:
        _mirrored(s, x, before, after, MODES.index(mode))
    else:
        s.unsupported(f"mode '{mode}'")


def center_crop_pad(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__CenterCropPad.html"""
    x, wanted = s.input(0), s.read_sizes(1)
    axes = [s.wrap(int(axis), x.rank) for axis in s.attr("axes", range(x.rank))]
    if len(axes) != len(wanted):
        s.fail(f"{len(wanted)} sizes for {len(axes)} axes")
    before: list[Dim] = [0] * x.rank
    after: list[Dim] = [0] * x.rank
    for axis, size in zip(axes, wanted, strict=True):
        more = size - x.dims[axis]
        before[axis] = d.truncdiv(more, 2)  # half, towards 0 whether it pads or crops
        after[axis] = more - before[axis]
    _constant(s, x, before, after, "0")


def _pads(s: Site, rank: int) -> tuple[list[Dim], list[Dim]]:
    """What goes before and after each axis."""
    pads: Sequence[Dim] = s.attr("pads") if "pads" in s.node.attrs else s.read_sizes(1)
    axes: Sequence[Dim] = s.read_sizes(3) if s.has_input(3) else range(rank)
    count = len(axes)
    if len(pads) != 2 * count:
        s.fail(f"{len(pads)} pads for {count} axes")
    sides = (pads[:count], pads[count:])
    if d.static(axes):
        at = [s.wrap(int(axis), rank) for axis in axes]  # type: ignore[arg-type]
        before, after = (
            [side[at.index(axis)] if axis in at else 0 for axis in range(rank)] for side in sides
        )
        return before, after
    check_axes(s, axes, rank)
    before, after = ([pick(s, axis, rank, axes, side, 0) for axis in range(rank)] for side in sides)
    s.flush()
    return before, after


def _fill(s: Site, x: Value) -> str:
    """C text of a pointer to what is padded with, "0" for zeros."""
    value = s.optional(2)
    if value is None:
        number = float(s.attr("value", 0.0))
        if number == 0:
            return "0"
        value = s.value_of(np.array(number, NUMPY[x.dtype.name]))
    s.same(value.size, 1, "the size of the constant value")
    return s.raw(value)


def _constant(s: Site, x: Value, before: Sequence[Dim], after: Sequence[Dim], fill: str) -> None:
    """Fills the output, then copies what is left of x into it."""
    y = s.output(0, x.dtype, [a + n + b for n, a, b in zip(x.dims, before, after, strict=True)])
    bits = s.bits(x.dtype)
    s.call("fill.fill", bits, s.raw(y), y.size, fill)
    loops = []
    to: Dim = 0
    at: Dim = 0
    for axis, (outer, inner) in enumerate(zip(strides(y.dims), strides(x.dims), strict=True)):
        crops = [d.maximum(-side[axis], 0) for side in (before, after)]
        kept = d.maximum(x.dims[axis] - crops[0] - crops[1], 0)
        loops.append(Loop(kept, outer, inner))
        to = to + d.maximum(before[axis], 0) * outer
        at = at + crops[0] * inner
    strided.copy(s, y, x, loops, to, at)


def _mirrored(s: Site, x: Value, before: Sequence[Dim], after: Sequence[Dim], mode: int) -> None:
    """Every element has its place in x: one table an axis says which."""
    y = s.output(0, x.dtype, [a + n + b for n, a, b in zip(x.dims, before, after, strict=True)])
    if not d.nonnegative(x.size - 1):
        s.check(f"{d.c(x.size)} > 0 || {d.c(y.size)} == 0", "an empty tensor cannot be mirrored")
    tables: list[Value | None] = []
    for axis, dim in enumerate(y.dims):
        moves = before[axis] != 0 or after[axis] != 0
        tables.append(s.scratch(INT32, (dim,)) if moves else None)
        if moves:
            sizes = (dim, x.dims[axis], before[axis], mode)
            s.call("pad_table.pad_table", (), tables[-1], *sizes)
    take(s, y, x, tables)
