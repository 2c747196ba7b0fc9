"""Slice: https://onnx.ai/onnx/operators/onnx__Slice.html"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops import strided
from nnlet.compiler.ops.shape import check_axes, pick
from nnlet.compiler.ops.strided import Loop, strides
from nnlet.compiler.site import Site

FAR = 2**31 - 1  # behind the end of every dimension: no tensor has as many bytes


class Cut(NamedTuple):
    """What Slice takes of one dimension: `size` elements, from `first` on, by `step`."""

    first: Dim
    size: Dim
    step: Dim


def slice_(s: Site) -> None:
    """Cuts every axis; a part that is contiguous is no copy."""
    x = s.input(0)
    cuts = _cuts(s, x.dims)
    dims = [cut.size for cut in cuts]
    steps = strides(x.dims)
    at: Dim = 0
    for cut, step in zip(cuts, steps, strict=True):
        at = at + cut.first * step
    if _contiguous(x.dims, cuts):
        s.alias(0, x, dims, at)
        return
    y = s.output(0, x.dtype, dims)
    to = strides(dims)
    loops = [Loop(c.size, to[k], steps[k] * c.step) for k, c in enumerate(cuts)]
    strided.copy(s, y, x, loops, at=at)


def _contiguous(dims: Sequence[Dim], cuts: Sequence[Cut]) -> bool:
    """Whether the part lies in one piece: nothing is cut behind the first dimension above 1."""
    outer: Dim = 1
    for dim, cut in zip(dims, cuts, strict=True):
        if cut.size != dim and outer != 1:
            return False
        if cut.step != 1 and cut.size != 1:
            return False
        outer = outer * cut.size
    return True


def _cuts(s: Site, dims: Sequence[Dim]) -> list[Cut]:
    starts, ends, axes, steps = _inputs(s)
    far = [_far(s, axis) for axis in range(len(dims))]
    if d.static(axes):
        at = {s.wrap(int(axis), len(dims)): k for k, axis in enumerate(axes)}  # type: ignore[arg-type]
        cuts = [
            _cut(s, dim, starts[at[n]], ends[at[n]], steps[at[n]], far[n])
            if n in at
            else Cut(0, dim, 1)
            for n, dim in enumerate(dims)
        ]
    else:
        check_axes(s, axes, len(dims))
        cuts = []
        for axis, dim in enumerate(dims):
            start = pick(s, axis, len(dims), axes, starts, 0)
            end = pick(s, axis, len(dims), axes, ends, FAR)
            step = pick(s, axis, len(dims), axes, steps, 1)
            cuts.append(_cut(s, dim, start, end, step, far[axis]))
    s.flush()
    return cuts


def _inputs(s: Site) -> tuple[Sequence[Dim], Sequence[Dim], Sequence[Dim], Sequence[Dim]]:
    """Starts, ends, axes and steps: attributes before opset 10."""
    if "starts" in s.node.attrs:
        starts: Sequence[Dim] = s.attr("starts")
        return starts, s.attr("ends"), s.attr("axes", range(len(starts))), [1] * len(starts)
    starts, ends = s.read_sizes(1), s.read_sizes(2)
    axes = s.read_sizes(3) if s.has_input(3) else range(len(starts))
    steps = s.read_sizes(4) if s.has_input(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        s.fail("starts, ends, axes and steps differ in length")
    return starts, ends, axes, steps


def _far(s: Site, axis: int) -> int:
    """An index that no dimension there reaches: exporters write one for "to the end"."""
    x = s.input(0)
    row = x.dtype.size
    for k, dim in enumerate(x.dims):
        row *= max(dim, 1) if isinstance(dim, int) and k != axis else 1
    return FAR // row + 1


def _cut(s: Site, dim: Dim, start: Dim, end: Dim, step: Dim, far: int) -> Cut:
    if step == 0:
        s.fail("a step of 0")
    if isinstance(step, int):
        if all(isinstance(n, int) for n in (dim, start, end)) or step > 0:
            if all(isinstance(n, int) or d.nonnegative(n) for n in (start, end)):
                return _known_cut(dim, start, end, step, far)
        elif isinstance(end, int) and end <= -far and (start == -1 or _beyond(start, far)):
            return Cut(dim - 1, d.ceildiv(dim, -step), step)  # all of it, backwards
    count = s.size(s.invoke("shape.slice_count", (), dim, start, end, step))
    s.check(f"{d.c(count)} >= 0", "a step of 0")
    return Cut(s.integer(s.invoke("shape.slice_first", (), dim, start, step)), count, step)


def _known_cut(dim: Dim, start: Dim, end: Dim, step: int, far: int) -> Cut:
    """In the arithmetic of sizes, so that the result has a size that later steps know."""
    if step < 0:
        assert isinstance(dim, int) and isinstance(start, int) and isinstance(end, int)
        part = range(dim)[slice(start, end if end >= -dim else None, step)]
        return Cut(part.start, len(part), step)
    first, last = _place(dim, start, far), _place(dim, end, far)
    # Behind the end nothing is left, so `first` itself needs no limit to count.
    size = d.maximum(d.ceildiv(last - _unlimited(dim, start), step), 0)
    return Cut(first, size, step)


def _place(dim: Dim, at: Dim, far: int) -> Dim:
    """`at` as an index from 0 to `dim`."""
    return dim if _beyond(at, far) else d.minimum(_unlimited(dim, at), dim)


def _beyond(at: Dim, far: int) -> bool:
    return isinstance(at, int) and at >= far


def _unlimited(dim: Dim, at: Dim) -> Dim:
    return d.maximum(dim + at, 0) if isinstance(at, int) and at < 0 else at
