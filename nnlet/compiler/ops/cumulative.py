"""CumSum and CumProd."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.site import Site


def cumulative(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__CumSum.html
    https://onnx.ai/onnx/operators/onnx__CumProd.html"""
    x = s.input(0)
    sizes = around(s, x.dims, s.read_sizes(1)[0])
    y = s.output(0, x.dtype, x.dims)
    flags = (bool(s.attr("exclusive", 0)), bool(s.attr("reverse", 0)))
    # Integers wrap around, which C defines for unsigned ones.
    kind = x.dtype if x.dtype.kind == "f" else s.bits(x.dtype)
    s.call(f"cumulative.{s.node.op.lower()}", kind, s.raw(y), s.raw(x), *sizes, *flags)


def around(s: Site, dims: tuple[Dim, ...], axis: Dim) -> tuple[Dim, Dim, Dim]:
    """Elements before, along and behind an axis that perhaps only the run knows."""
    rank = len(dims)
    if isinstance(axis, int):
        axis = s.wrap(axis, rank)
        return product(dims[:axis]), dims[axis], product(dims[axis + 1 :])
    given = d.c(axis)
    s.check(f"{given} >= {-rank} && {given} < {rank}", "there is no axis %d", given)
    at = f"({given} < 0 ? {given} + {rank} : {given})"
    listed = f"(const i64[]){{{', '.join(d.c(dim) for dim in dims)}}}"
    sizes = (
        s.size(f"nn_product({listed}, 0, {at})"),
        s.size(f"nn_product({listed}, {at}, {at} + 1)"),
        s.size(f"nn_product({listed}, {at} + 1, {rank})"),
    )
    s.flush()
    return sizes
