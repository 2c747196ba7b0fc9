"""Reading by index: Gather, GatherElements, GatherND, OneHot, Compress, NonZero, Where."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.ops.strided import strides
from nnlet.compiler.program import Value
from nnlet.compiler.site import INT64, Site


def check_indices(s: Site, call: str, indices: Value, what: str, *numbers: Dim) -> None:
    """Adds a call that gives the place of the first index that is outside, or -1."""
    bad = d.c(s.integer(call))
    values = (f"{s.pointer(indices)}[{bad}]", *(d.c(n) for n in numbers))
    s.check(f"{bad} < 0", f"index %d is outside {what}", *values)


def gather(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Gather.html"""
    x, indices = s.input(0), s.input(1)
    axis = s.axis(0, x.rank)
    n, outer, inner = x.dims[axis], product(x.dims[:axis]), product(x.dims[axis + 1 :])
    dims = (*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :])
    if outer == 1 and indices.rank == 0 and isinstance(n, int):
        content = s.const(1)
        if content is not None and -n <= int(content) < n:  # one row is no copy
            s.alias(0, x, dims, int(content) % n * inner)
            return
    y = s.output(0, x.dtype, dims)
    sizes = (outer, n, indices.size, inner)
    types = (s.bits(x.dtype), indices.dtype)
    call = s.invoke("gather.gather", types, s.raw(y), s.raw(x), indices, *sizes)
    check_indices(s, call, indices, "a dimension of %d", n)


def gather_elements(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__GatherElements.html"""
    x, indices = s.input(0), s.input(1)
    axis = s.axis(0, x.rank)
    y = s.output(0, x.dtype, indices.dims)
    loops = element_loops(s, x, indices, axis)
    types = (s.bits(x.dtype), indices.dtype)
    sizes = (x.rank, loops, x.dims[axis], strides(x.dims)[axis], 0)
    call = s.invoke("gather.gather_elements", types, s.raw(y), s.raw(x), indices, *sizes)
    check_indices(s, call, indices, "a dimension of %d", x.dims[axis])


def element_loops(s: Site, x: Value, indices: Value, axis: int) -> list[Dim]:
    """For each dimension of `indices` its size, its step there and its step in x; 0 in `axis`,
    where the index says."""
    if indices.rank != x.rank:
        s.fail(f"data has rank {x.rank}, the indices {indices.rank}")
    loops: list[Dim] = []
    steps = zip(indices.dims, strides(indices.dims), strides(x.dims), strict=True)
    for k, (size, step, at) in enumerate(steps):
        if k != axis and size != x.dims[k]:
            inside = f"{d.c(size)} <= {d.c(x.dims[k])}"
            s.check(inside, f"there are more indices than data in dimension {k}")
        loops += [size, step, 0 if k == axis else at]
    return loops


def gather_nd(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__GatherND.html"""
    x, indices = s.input(0), s.input(1)
    batch_rank = int(s.attr("batch_dims", 0))
    depth = index_depth(s, indices, x.rank - batch_rank)
    for axis in range(batch_rank):
        s.same(x.dims[axis], indices.dims[axis], f"dimension {axis} of data and indices")
    end = batch_rank + depth
    y = s.output(0, x.dtype, (*indices.dims[:-1], *x.dims[end:]))
    batches, count = product(x.dims[:batch_rank]), product(indices.dims[batch_rank:-1])
    looked, inner = x.dims[batch_rank:end], product(x.dims[end:])
    types = (s.bits(x.dtype), indices.dtype)
    sizes = (batches, count, depth, looked, product(looked), inner)
    call = s.invoke("gather.gather_nd", types, s.raw(y), s.raw(x), indices, *sizes)
    check_indices(s, call, indices, "its dimension")


def index_depth(s: Site, indices: Value, rank: int) -> int:
    """How many dimensions an index tuple looks into: the last dimension of the indices."""
    depth = indices.dims[-1] if indices.rank else 0
    if not isinstance(depth, int) or indices.rank == 0:
        s.unsupported("indices whose last dimension only the run knows")
    if not 0 <= depth <= rank:
        s.fail(f"indices of {depth} numbers look into {rank} dimensions")
    return depth


def one_hot(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__OneHot.html"""
    indices, values = s.input(0), s.input(2)
    axis = s.wrap(int(s.attr("axis", -1)), indices.rank + 1)
    depth = _depth(s)
    y = s.output(0, values.dtype, (*indices.dims[:axis], depth, *indices.dims[axis:]))
    outer, inner = product(indices.dims[:axis]), product(indices.dims[axis:])
    types = (s.bits(values.dtype), indices.dtype)
    s.call("gather.one_hot", types, s.raw(y), indices, s.raw(values), outer, y.dims[axis], inner)


def _depth(s: Site) -> Dim:
    depth = s.input(1)
    if depth.dtype.kind != "f":
        return s.read_sizes(1)[0]
    size = s.size(f"nn_as_size(nn_to_i64({s.pointer(depth)}[0]))")
    s.flush()
    return size


def compress(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Compress.html"""
    x, condition = s.input(0), s.input(1)
    if "axis" in s.node.attrs:
        axis = s.axis(0, x.rank)
        outer, n, inner = product(x.dims[:axis]), x.dims[axis], product(x.dims[axis + 1 :])
    else:
        axis, outer, n, inner = 0, 1, x.size, 1
    bits = s.bits(x.dtype)
    limit = d.minimum(n, condition.size)  # what the condition does not reach is left out
    count = s.size(s.invoke("select.compress_count", bits, condition, limit))
    s.flush()
    dims = (*x.dims[:axis], count, *x.dims[axis + 1 :]) if "axis" in s.node.attrs else (count,)
    y = s.output(0, x.dtype, dims)
    s.call("select.compress", bits, s.raw(y), s.raw(x), condition, limit, outer, n, inner)


def non_zero(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__NonZero.html"""
    x = s.input(0)
    count = s.size(s.invoke("nonzero.nonzero_count", x.dtype, x, x.size))
    s.flush()
    y = s.output(0, INT64, (x.rank, count))
    s.call("nonzero.nonzero", x.dtype, y, x, x.size, count, x.rank, x.dims)


def where(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Where.html"""
    test, a, b = s.input(0), s.input(1), s.input(2)
    s.map(0, a.dtype, [test, a, b], (a.dtype, "@0 ? @1 : @2"))
