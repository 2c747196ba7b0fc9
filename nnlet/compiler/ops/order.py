"""Operators that sort: TopK, Unique."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.site import INT64, Site


def top_k(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__TopK.html

    Always sorted, equal elements by index.
    """
    x = s.input(0)
    axis = s.axis(-1, x.rank)
    n, outer, inner = x.dims[axis], product(x.dims[:axis]), product(x.dims[axis + 1 :])
    k: Dim = int(s.attr("k")) if "k" in s.node.attrs else s.read_sizes(1)[0]
    if isinstance(k, int) and isinstance(n, int):
        if not 0 <= k <= n:
            s.fail(f"k is {k} for a dimension of {n}")
    else:
        s.check(f"{d.c(k)} >= 0 && {d.c(k)} <= {d.c(n)}", "k is %d of %d", d.c(k), d.c(n))
        s.flush()
    dims = (*x.dims[:axis], k, *x.dims[axis + 1 :])
    values, indices = s.output(0, x.dtype, dims), s.output(1, INT64, dims)
    sizes = (outer, n, values.dims[axis], inner, bool(s.attr("largest", 1)))
    s.call("topk.topk", x.dtype, values, indices, x, *sizes)


def unique(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Unique.html"""
    x = s.input(0)
    if "axis" in s.node.attrs:
        axis = s.axis(0, x.rank)
        outer, n, inner = product(x.dims[:axis]), x.dims[axis], product(x.dims[axis + 1 :])
    else:
        axis, outer, n, inner = 0, 1, x.size, 1
    inverse, work = s.output(2, INT64, (n,)), s.scratch(INT64, (n * 2,))
    sizes = (outer, n, inner)
    by_value = bool(s.attr("sorted", 1))
    count = s.size(s.invoke("unique.unique", x.dtype, inverse, work, x, *sizes, by_value))
    s.flush()
    dims = (*x.dims[:axis], count, *x.dims[axis + 1 :]) if "axis" in s.node.attrs else (count,)
    y = s.output(0, x.dtype, dims)
    first, often = s.output(1, INT64, (count,)), s.output(3, INT64, (count,))
    s.call("unique.unique_fill", x.dtype, y, first, often, x, inverse, count, *sizes)
