"""Copies between two layouts: what Transpose, Concat, Slice, Expand, Tile, Pad, ... come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnlet.compiler.dims import Dim, product
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site


class Loop(NamedTuple):
    """`size` elements, `to` apart in the output and `at` apart in the input."""

    size: Dim
    to: Dim
    at: Dim


def strides(dims: Sequence[Dim]) -> list[Dim]:
    """How far apart the elements of each dimension lie, row-major."""
    return [product(dims[axis + 1 :]) for axis in range(len(dims))]


def copy(s: Site, y: Value, x: Value, loops: Sequence[Loop], to: Dim = 0, at: Dim = 0) -> None:
    """y from element `to` on = x from element `at` on, over `loops` in any order."""
    loops = nest(loops)
    numbers = [number for loop in loops for number in loop]
    s.call("strided.copy", s.bits(x.dtype), s.raw(y, to), s.raw(x, at), len(loops), numbers)


def nest(loops: Sequence[Loop]) -> list[Loop]:
    """The fewest loops, in an order in which both sides are read along memory."""
    merged: list[Loop] = []
    for loop in loops:
        if loop.size == 1:
            continue
        last = merged[-1] if merged else None
        if last and last.to == loop.size * loop.to and last.at == loop.size * loop.at:
            merged[-1] = Loop(last.size * loop.size, loop.to, loop.at)
        else:
            merged.append(loop)
    # The kernel turns blocks of the last two loops: one steps by 1 in y, the other in x.
    if merged and merged[-1].to == 1 and merged[-1].at != 1:
        *outer, last = merged
        return [*sorted(outer, key=lambda loop: loop.at == 1), last]
    return merged
