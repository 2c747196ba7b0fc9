"""Writing by index: ScatterElements, ScatterND, TensorScatter."""

from __future__ import annotations

from nnlet.compiler.dims import product
from nnlet.compiler.ops.index import check_indices, element_loops, index_depth
from nnlet.compiler.ops.strided import strides
from nnlet.compiler.program import Value
from nnlet.compiler.site import INT64, Site

REDUCTIONS = ("none", "add", "mul", "min", "max")  # in the order of scatter.c


def _reduction(s: Site) -> int:
    name = str(s.attr("reduction", "none"))
    if name not in REDUCTIONS:
        s.unsupported(f"reduction '{name}'")
    return REDUCTIONS.index(name)


def _copied(s: Site, x: Value) -> Value:
    """Output 0, which begins as a copy of x."""
    y = s.output(0, x.dtype, x.dims)
    s.emit(f"memcpy({s.pointer(y)}, {s.pointer(x)}, {s.argument(x.size * x.dtype.size)});")
    return y


def scatter_elements(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ScatterElements.html"""
    x, indices, updates = s.input(0), s.input(1), s.input(2)
    axis = s.axis(0, x.rank)
    s.same(updates.size, indices.size, "updates and indices")
    loops = element_loops(s, x, indices, axis)
    y = _copied(s, x)
    sizes = (x.rank, loops, x.dims[axis], strides(x.dims)[axis], 0, _reduction(s))
    types = (x.dtype, indices.dtype)
    call = s.invoke("scatter.scatter_elements", types, y, indices, updates, *sizes)
    check_indices(s, call, indices, "a dimension of %d", x.dims[axis])


def scatter_nd(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ScatterND.html"""
    x, indices, updates = s.input(0), s.input(1), s.input(2)
    depth = index_depth(s, indices, x.rank)
    count, inner = product(indices.dims[:-1]), product(x.dims[depth:])
    s.same(updates.size, count * inner, "updates and what the indices choose")
    y = _copied(s, x)
    sizes = (count, depth, x.dims[:depth], inner, _reduction(s))
    types = (x.dtype, indices.dtype)
    call = s.invoke("scatter.scatter_nd", types, y, indices, updates, *sizes)
    check_indices(s, call, indices, "its dimension")


def tensor_scatter(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__TensorScatter.html"""
    x, update, places = s.input(0), s.input(1), s.optional(2)
    axis = s.axis(-2, x.rank)
    mode = str(s.attr("mode", "linear"))
    if mode not in ("linear", "circular"):
        s.unsupported(f"mode '{mode}'")
    for k in range(x.rank):
        if k != axis:
            s.same(update.dims[k], x.dims[k], f"dimension {k} of cache and update")
    y = _copied(s, x)
    batch, outer, inner = x.dims[0], product(x.dims[1:axis]), product(x.dims[axis + 1 :])
    sizes = (batch, outer, x.dims[axis], update.dims[axis], inner, mode == "circular")
    types = (s.bits(x.dtype), INT64)
    inside = s.invoke(
        "tensorscatter.tensor_scatter", types, s.raw(y), s.raw(update), places, *sizes
    )
    s.check(inside, "the update does not fit the cache at its write index")
