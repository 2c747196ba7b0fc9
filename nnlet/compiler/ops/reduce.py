"""Reductions: ReduceSum and its family, ArgMax, ArgMin.

A kernel folds the middle axis of [outer, n, inner]. Axes that lie together are one; those
that do not are folded one after the other, the last first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, Expr
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.site import Site
from nnlet.tensor import DATATYPES, DataType

INT64 = DATATYPES["INT64"]


@dataclass(frozen=True)
class Reduction:
    """`first` is the kernel that folds elements, `rest` the one that folds its results, and
    `finish` what is made of the last: "mean", "sqrt" or "log"."""

    first: str
    rest: str
    finish: str = ""


REDUCTIONS = {
    "ReduceL1": Reduction("reduce.sum_abs", "reduce.sum"),
    "ReduceL2": Reduction("reduce.sum_squares", "reduce.sum", "sqrt"),
    "ReduceLogSum": Reduction("reduce.sum", "reduce.sum", "log"),
    "ReduceLogSumExp": Reduction("softmax.logsumexp", "softmax.logsumexp"),
    "ReduceMax": Reduction("reduce.highest", "reduce.highest"),
    "ReduceMean": Reduction("reduce.sum", "reduce.sum", "mean"),
    "ReduceMin": Reduction("reduce.lowest", "reduce.lowest"),
    "ReduceProd": Reduction("reduce.product", "reduce.product"),
    "ReduceSum": Reduction("reduce.sum", "reduce.sum"),
    "ReduceSumSquare": Reduction("reduce.sum_squares", "reduce.sum"),
}


def reduce(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ReduceSum.html and others.

    Integers wrap, and their means are cut off towards zero. Of nothing the sum is 0, the
    product 1, and the maximum the lowest value of the type.
    """
    x = s.input(0)
    if s.node.op == "ReduceLogSumExp" and x.dtype.kind != "f":
        s.unsupported(f"tensors of type {x.dtype.onnx_name}")
    axes = s.optional(1)
    if axes is None or axes.content is not None or axes.dims == (0,):
        _reduce(s, x, _axes(s, x.rank))
    else:
        _reduce_run_time_axes(s, x, axes)


def _axes(s: Site, rank: int) -> list[int]:
    """The axes to reduce, as far as the compiler knows them."""
    empty = s.has_input(1) and s.input(1).dims == (0,)
    given = None if empty else s.ints("axes", 1)
    if given:
        return sorted({s.wrap(axis, rank) for axis in given})
    return [] if s.attr("noop_with_empty_axes", 0) else list(range(rank))


def _reduce(s: Site, x: Value, axes: Sequence[int]) -> None:
    reduction = REDUCTIONS[s.node.op]
    keep = bool(s.attr("keepdims", 1))
    dims = [1 if k in axes else n for k, n in enumerate(x.dims) if keep or k not in axes]
    groups = _groups(x.dims, axes)
    y = _folded(s, x.dtype, dims)
    source, kernel = x, reduction.first
    folds = [k for k, (reduced, _) in enumerate(groups) if reduced]
    for at in reversed(folds):
        outer = d.product(n for _, n in groups[:at])
        inner = d.product(n for reduced, n in groups[at + 1 :] if not reduced)
        target = y if at == folds[0] else s.scratch(x.dtype, (outer, inner))
        s.call(kernel, _types(s, kernel, x.dtype), target, source, outer, groups[at][1], inner)
        source, kernel = target, reduction.rest
    _finish(s, y, d.product(x.dims[k] for k in axes))


def _groups(dims: Sequence[Dim], axes: Sequence[int]) -> list[tuple[bool, Dim]]:
    """The dims as (reduced, size), neighbours of one kind together, without those of size 1.

    At least one is reduced: where nothing is, each element is a sum of its own.
    """
    groups: list[tuple[bool, Dim]] = []
    for axis, size in enumerate(dims):
        reduced = axis in axes
        if groups and groups[-1][0] == reduced:
            groups[-1] = (reduced, groups[-1][1] * size)
        elif size != 1:
            groups.append((reduced, size))
    return groups if any(reduced for reduced, _ in groups) else [*groups, (True, 1)]


def _types(s: Site, kernel: str, dtype: DataType) -> list[DataType]:
    """The types T, U that a kernel is a template over."""
    if kernel.startswith("softmax."):
        return [dtype]
    wraps = dtype.kind == "i" and kernel not in ("reduce.highest", "reduce.lowest")
    return [dtype, s.bits(dtype) if wraps else dtype]


def _folded(s: Site, dtype: DataType, dims: Sequence[Dim]) -> Value:
    """What the last kernel fills: the output, or what is finished into it."""
    return s.temporary(dtype, dims) if _ending(s, dtype) else s.output(0, dtype, dims)


def _ending(s: Site, dtype: DataType) -> str:
    """The expression of the output in what the kernels leave, @0; "" if that is the output."""
    finish = REDUCTIONS[s.node.op].finish
    if finish == "mean":
        return "@0 / @1" if dtype.kind == "f" else "@1 == 0 ? 0 : @0 / @1"
    if finish and dtype.kind == "f":
        return f"{finish.upper()}({dtype.c})(@0)"
    if finish:
        return f"nn_f64_to_{dtype.c}({finish}((f64)@0))"
    return "@0 != 0" if dtype.kind == "b" else ""  # the lowest of no bools is 255


def _finish(s: Site, y: Value, count: Dim) -> None:
    text = _ending(s, y.dtype)
    if not text:
        return
    inputs = [y]
    if "@1" in text:
        inputs.append(_number(s, count, y.dtype))
    s.map(0, y.dtype, inputs, (y.dtype, text))


def _number(s: Site, count: Dim, dtype: DataType) -> Value:
    """A size as a scalar tensor."""
    if isinstance(count, int):
        return s.value_of(np.array(count, NUMPY[dtype.name]))
    number = s.temporary(dtype, ())
    s.emit(f"{s.pointer(number)}[0] = ({dtype.c}){d.c(count)};")
    return number


def _reduce_run_time_axes(s: Site, x: Value, axes: Value) -> None:
    """Axis by axis, the last first, each only if the run finds it among `axes`."""
    reduction = REDUCTIONS[s.node.op]
    mask = _mask(s, x, axes)
    bits = [f"({d.c(mask)} >> {k} & 1)" for k in range(x.rank)]
    kept = [s.size(f"{bit} ? 1 : {d.c(n)}") for bit, n in zip(bits, x.dims, strict=True)]
    sizes = [f"({bit} ? {d.c(n)} : 1)" for bit, n in zip(bits, x.dims, strict=True)]
    count = s.size(" * ".join(["1", *sizes]))
    dims: Sequence[Dim] = kept if s.attr("keepdims", 1) else _unmasked_dims(s, x, axes, mask)
    s.flush()
    room = [d.maximum(n, 1) for n in x.dims]  # a sum of nothing is something
    a, b = s.scratch(x.dtype, room), s.scratch(x.dtype, room)
    y = _folded(s, x.dtype, dims)
    s.call(reduction.first, _types(s, reduction.first, x.dtype), a, x, x.size, 1, 1)
    for k in reversed(range(x.rank)):
        outer, inner = d.product(x.dims[:k]), d.product(kept[k + 1 :])
        types = _types(s, reduction.rest, x.dtype)
        fold = s.invoke(reduction.rest, types, b, a, outer, x.dims[k], inner)
        copy = f"memcpy({s.pointer(a)}, {s.pointer(b)}, {d.c(outer * inner * x.dtype.size)})"
        s.emit(f"if {bits[k]} {fold}, {copy};")
    s.emit(f"memcpy({s.pointer(y)}, {s.pointer(a)}, {d.c(y.size * x.dtype.size)});")
    _finish(s, y, count)


def _mask(s: Site, x: Value, axes: Value) -> Expr:
    """A bit for every axis that the run finds in `axes`."""
    mask = s.size(s.invoke("axes.axis_mask", (), axes, axes.size, x.rank))
    s.check(f"{d.c(mask)} >= 0", f"an axis is outside a tensor of rank {x.rank}")
    if not isinstance(axes.size, int) and not s.attr("noop_with_empty_axes", 0):
        s.emit(f"if ({d.c(axes.size)} == 0) {d.c(mask)} = {2**x.rank - 1};")
    return mask


def _unmasked_dims(s: Site, x: Value, axes: Value, mask: Expr) -> list[Dim]:
    """The dims of the result without those reduced: their number has to be known."""
    if not isinstance(axes.size, int):
        s.unsupported("a number of axes that only the run knows, without keepdims")
    distinct = f"__builtin_popcountll({d.c(mask)}) == {axes.size}"
    s.check(distinct, "an axis is named twice")
    ranks = range(x.rank - axes.size)
    return [s.size(s.invoke("axes.unmasked_dim", (), mask, k, x.dims, x.rank)) for k in ranks]


def arg_reduce(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ArgMax.html and ArgMin"""
    x = s.input(0)
    axis = s.axis(0, x.rank)
    last = bool(s.attr("select_last_index", 0))
    before, after = x.dims[:axis], x.dims[axis + 1 :]
    y = s.output(0, INT64, (*before, *([1] if s.attr("keepdims", 1) else []), *after))
    lowest = s.node.op == "ArgMin"
    s.call(
        "argreduce.argreduce", x.dtype, y, x, d.product(before), x.dims[axis], d.product(after),
        lowest, last,
    )  # fmt: skip
