"""Copies in which a table says for every index of an axis where it is read: Pad, Resize."""

from __future__ import annotations

from collections.abc import Sequence

from nnlet.compiler.dims import product
from nnlet.compiler.ops.strided import strides
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site


def take(s: Site, y: Value, x: Value, tables: Sequence[Value | None]) -> None:
    """y[i, j, ...] = x[tables[0][i], tables[1][j], ...]; no table stands for i itself."""
    moved = [axis for axis, table in enumerate(tables) if table is not None]
    first, last = moved[0], moved[-1] + 1
    outer, inner = product(x.dims[:first]), product(x.dims[last:])
    sizes = [product(v.dims[first:]) for v in (y, x)]
    to, at = strides(y.dims), strides(x.dims)
    loops = [n for axis in range(first, last) for n in (y.dims[axis], to[axis], at[axis])]
    pointers = ", ".join("0" if t is None else s.pointer(t) for t in tables[first:last])
    given = f"(const i32 *const[]){{{pointers}}}"
    args = (s.raw(y), s.raw(x), outer, *sizes, last - first, loops, given, inner)
    s.call("table.take", s.bits(x.dtype), *args)
