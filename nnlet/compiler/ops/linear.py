"""Matrix products: MatMul, Gemm; and Det."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.gemm import ROWS, block_dims, depth, pack_b
from nnlet.compiler.program import Epilogue, Value
from nnlet.compiler.site import FP32, Site


@dataclass(frozen=True)
class Matrices:
    """A stack of matrices inside a value: strides, in elements, of the batch's dims, of a row
    and of a column. A stride of 0 repeats."""

    value: Value
    batch: tuple[Dim, ...]
    row: Dim
    column: Dim

    @property
    def strides(self) -> tuple[Dim, ...]:
        return (*self.batch, self.row, self.column)

    def transposed(self) -> Matrices:
        return Matrices(self.value, self.batch, self.column, self.row)


def product(
    s: Site, y: Matrices, a: Matrices, b: Matrices, batch: Sequence[Dim], m: Dim, n: Dim, k: Dim
) -> None:
    """y[batch, m, n] = a[batch, m, k] b[batch, k, n]. The step may hold nothing else."""
    if y.value.dtype is FP32 and y.column != 1 and y.row == 1:
        y, a, b, m, n = y.transposed(), b.transposed(), a.transposed(), n, m
    dims = (*batch, m, n, k)
    where = len(batch), dims, y.strides, a.strides, b.strides
    if y.value.dtype is not FP32 or y.column != 1:
        s.call("linear.matmul", y.value.dtype, y.value, a.value, b.value, *where)
        return
    depth(s, k)
    panels = s.scratch(FP32, (d.minimum(m, ROWS), k))
    packed = _packed(s, b, k, n)
    if packed is not None:
        end = s.epilogue(Epilogue())
        s.call("gemm.gemm_packed", (), y.value, a.value, packed, *where[:-1], panels, end)
        return
    block = s.scratch(FP32, block_dims(k, n))
    end = s.epilogue(Epilogue())
    s.call("gemm.gemm", (), y.value, a.value, b.value, *where, panels, block, end)


def _packed(s: Site, b: Matrices, k: Dim, n: Dim) -> Value | None:
    """A constant right side as gemm.h wants it, if it is one matrix for all of a batch."""
    content = b.value.content
    if content is None or any(stride != 0 for stride in b.batch):
        return None
    if not (isinstance(b.row, int) and isinstance(b.column, int)):
        return None
    if not (isinstance(k, int) and isinstance(n, int)):
        return None
    strides = (b.row * content.itemsize, b.column * content.itemsize)
    matrix = np.lib.stride_tricks.as_strided(content, (k, n), strides, writeable=False)
    return s.value_of(pack_b(matrix))


def matmul(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MatMul.html"""
    a, b = s.input(0), s.input(1)
    multiply(s, a, b, lambda dims: s.output(0, a.dtype, dims))


def multiply(s: Site, a: Value, b: Value, result: Callable[[Sequence[Dim]], Value]) -> Value:
    """The matrix product of two values of one type, in what `result` makes for its dims."""
    if a.rank == 0 or b.rank == 0:
        s.fail("a scalar has no matrix product")
    # A vector is a matrix of one row or one column, which the result does not have.
    a_dims = a.dims if a.rank > 1 else (1, *a.dims)
    b_dims = b.dims if b.rank > 1 else (*b.dims, 1)
    (m, k), (k_b, n) = a_dims[-2:], b_dims[-2:]
    k = _inner(s, k, k_b)
    batch = s.broadcast([a_dims[:-2], b_dims[:-2]])
    s.flush()
    rows = () if a.rank == 1 else (m,)
    columns = () if b.rank == 1 else (n,)
    y = result((*batch, *rows, *columns))
    if len(b_dims) == 2:
        m, batch = d.product(batch) * m, ()  # one long matrix
    product(
        s,
        Matrices(y, _contiguous((*batch, m, n))[:-2], n, 1),
        Matrices(a, batch_strides(a_dims, batch), k, 1),
        Matrices(b, batch_strides(b_dims, batch), n, 1),
        batch, m, n, k,
    )  # fmt: skip
    return y


def gemm(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Gemm.html"""
    a, b, c = s.input(0), s.input(1), s.optional(2)
    if a.rank != 2 or b.rank != 2:
        s.fail(f"inputs of rank {a.rank} and {b.rank}: matrices expected")
    trans_a, trans_b = bool(s.attr("transA", 0)), bool(s.attr("transB", 0))
    m, k = a.dims[::-1] if trans_a else a.dims
    k_b, n = b.dims[::-1] if trans_b else b.dims
    k = _inner(s, k, k_b)
    alpha, beta = float(s.attr("alpha", 1.0)), float(s.attr("beta", 1.0))
    if c is not None:
        _fits(s, c, (m, n))
    s.flush()
    plain = c is None and alpha == 1
    y = s.output(0, a.dtype, (m, n)) if plain else s.temporary(a.dtype, (m, n))
    left, right = Matrices(a, (), a.dims[1], 1), Matrices(b, (), b.dims[1], 1)
    product(
        s,
        Matrices(y, (), n, 1),
        left.transposed() if trans_a else left,
        right.transposed() if trans_b else right,
        (), m, n, k,
    )  # fmt: skip
    if plain:
        return
    text = "@0" if alpha == 1 else f"{s.argument(alpha)} * @0"
    if c is not None:
        text += " + @1" if beta == 1 else f" + {s.argument(beta)} * @1"
    s.map(0, a.dtype, [y] if c is None else [y, c], (a.dtype, text))


def _inner(s: Site, k: Dim, k_b: Dim) -> Dim:
    """The dimension that both matrices share, a fixed size where one of them has it."""
    s.same(k, k_b, "the inner dimensions")
    return k if isinstance(k, int) else k_b


def det(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Det.html"""
    x = s.input(0)
    if x.rank < 2:
        s.fail(f"an input of rank {x.rank}: square matrices expected")
    n = x.dims[-1]
    s.same(x.dims[-2], n, "rows and columns")
    y = s.output(0, x.dtype, x.dims[:-2])
    s.call("det.det", x.dtype, y, x, s.scratch(x.dtype, (n, n)), y.size, n)


def batch_strides(dims: Sequence[Dim], batch: Sequence[Dim]) -> tuple[Dim, ...]:
    """The strides of a tensor [..., rows, columns] along the dims that its batch broadcasts to."""
    strides = _contiguous(dims)[:-2]
    missing = len(batch) - len(strides)
    return (
        *[0] * max(missing, 0),
        *(
            broadcast_stride(dim, size, stride)
            for dim, size, stride in zip(dims, batch[max(missing, 0) :], strides, strict=False)
        ),
    )


def broadcast_stride(dim: Dim, size: Dim, stride: Dim) -> Dim:
    """The stride along a dimension that becomes `size`: 0 where the tensor repeats."""
    if dim == 1:
        return 0
    if dim == size:
        return stride
    return d.symbol(f"({d.c(dim)} == 1 ? 0 : {d.c(stride)})")


def _contiguous(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """The strides of a tensor that lies in memory row by row."""
    return tuple(d.product(dims[n + 1 :]) for n in range(len(dims)))


def _fits(s: Site, c: Value, dims: tuple[Dim, ...]) -> None:
    """Requires that `c` broadcasts to `dims`, and not the other way round."""
    if c.rank > len(dims):
        s.fail(f"C has rank {c.rank}")
    for dim, size in zip(c.dims[::-1], dims[::-1], strict=False):
        if dim not in (1, size):
            cd, cs = d.c(dim), d.c(size)
            s.check(f"{cd} == 1 || {cd} == {cs}", "C has %d where A B has %d", cd, cs)
