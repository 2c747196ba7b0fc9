"""Einsum: any equation, as transpositions, sums and matrix products.

Operands are contracted from the left, two at a time. Each contraction is one stack of matrix
products: labels of both operands that are still needed are its batch, labels of one operand
are rows or columns, and labels of both that nobody needs any more are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.linear import Matrices, broadcast_stride, product
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site

MOST_LABELS = 64  # what the kernel has room for
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """An operand: the stride of each of its labels, in the order in which they lie."""

    value: Value
    strides: dict[str, Dim]

    @property
    def labels(self) -> Labels:
        return tuple(self.strides)


def einsum(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Einsum.html"""
    inputs = [s.input(n) for n in range(s.input_count)]
    terms, result = parse(s, str(s.attr("equation")), [v.rank for v in inputs])
    sizes = _sizes(s, terms, inputs)
    if len(sizes) > MOST_LABELS:
        s.unsupported(f"{len(sizes)} labels ({MOST_LABELS} at most)")
    s.flush()
    rest = [_term(v, labels, sizes) for v, labels in zip(inputs, terms, strict=True)]
    while len(rest) > 1:
        a, b, *others = rest
        needed = {label for t in others for label in t.labels} | set(result)
        final = result if not others else None
        rest = [_contract(s, a, b, needed, final, sizes), *others]
    if 0 not in s.results:
        _gather_sum(s, rest[0], result, sizes, s.output)


def parse(s: Site, equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result; an ellipsis becomes labels "0", "1", ..."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(ranks):
        s.fail(f"{len(ranks)} inputs for the equation {equation!r}")
    hidden = [
        rank - len(t.replace("...", "")) if "..." in t else 0
        for t, rank in zip(texts, ranks, strict=True)
    ]
    most = max(hidden)
    terms = [_labels(t, n, most) for t, n in zip(texts, hidden, strict=True)]
    for n, (labels, rank) in enumerate(zip(terms, ranks, strict=True)):
        if len(labels) != rank:
            s.fail(f"input {n} has rank {rank}, the equation {equation!r} gives it {len(labels)}")
    every = [label for labels in terms for label in labels]
    result = _labels(right, most, most)
    if not arrow:
        once = sorted(x for x in every if x.isalpha() and every.count(x) == 1)
        result = (*_labels("...", most, most), *once)
    if len(set(result)) != len(result) or not set(result) <= set(every):
        s.fail(f"the result of the equation {equation!r} has a label twice or a new one")
    return terms, result


def _labels(text: str, hidden: int, most: int) -> Labels:
    """Letters, and for "..." the last `hidden` of `most` hidden dimensions."""
    before, dots, behind = text.partition("...")
    inside = range(most - hidden, most) if dots else ()
    return (*before, *(str(n) for n in inside), *behind)


def _sizes(s: Site, terms: Sequence[Labels], inputs: Sequence[Value]) -> dict[str, Dim]:
    """The size of every label: 1 gives way to any other."""
    found: dict[str, list[Dim]] = {}
    for labels, value in zip(terms, inputs, strict=True):
        for label, dim in zip(labels, value.dims, strict=True):
            found.setdefault(label, []).append(dim)
    return {label: s.broadcast([[dim] for dim in dims])[0] for label, dims in found.items()}


def _term(value: Value, labels: Labels, sizes: dict[str, Dim]) -> Term:
    strides: dict[str, Dim] = {}
    for axis, (label, dim) in enumerate(zip(labels, value.dims, strict=True)):
        stride = broadcast_stride(dim, sizes[label], d.product(value.dims[axis + 1 :]))
        strides[label] = strides.get(label, 0) + stride  # twice in one operand: its diagonal
    return Term(value, strides)


def _contract(
    s: Site, a: Term, b: Term, needed: set[str], final: Labels | None, sizes: dict[str, Dim]
) -> Term:
    """The product of two terms, summed over the labels that nobody needs. If `final` is given,
    the labels of the result, it is written to the output where the layout allows that."""
    a, b = (_reduced(s, t, needed | set(o.labels), sizes) for t, o in ((a, b), (b, a)))
    order = final or tuple(x for x in (*a.labels, *b.labels) if x in needed)
    order = tuple(dict.fromkeys(order))
    both = tuple(x for x in order if x in a.strides and x in b.strides)
    rows = tuple(x for x in order if x not in b.strides)
    columns = tuple(x for x in order if x not in a.strides)
    summed = tuple(x for x in a.labels if x not in needed)
    a = _mergeable(s, a, both, rows, summed, sizes)
    b = _mergeable(s, b, both, summed, columns, sizes)
    y = _strides(order, sizes)
    direct = final is not None and _merged(y, rows, sizes) is not None
    direct = direct and _merged(y, columns, sizes) is not None
    if not direct:
        y = _strides((*both, *rows, *columns), sizes)
    dims = [sizes[x] for x in y]
    value = s.output(0, a.value.dtype, dims) if direct else s.temporary(a.value.dtype, dims)
    result = Term(value, y)
    product(
        s,
        _matrices(result, both, rows, columns, sizes),
        _matrices(a, both, rows, summed, sizes),
        _matrices(b, both, summed, columns, sizes),
        [sizes[x] for x in both],
        *(d.product(sizes[x] for x in group) for group in (rows, columns, summed)),
    )
    s.flush()
    return result


def _matrices(
    term: Term, both: Labels, rows: Labels, columns: Labels, sizes: dict[str, Dim]
) -> Matrices:
    row, column = _merged(term.strides, rows, sizes), _merged(term.strides, columns, sizes)
    assert row is not None and column is not None
    return Matrices(term.value, tuple(term.strides[x] for x in both), row, column)


def _reduced(s: Site, term: Term, needed: set[str], sizes: dict[str, Dim]) -> Term:
    """`term` without the labels that are only its own and not needed."""
    kept = tuple(x for x in term.labels if x in needed)
    return term if kept == term.labels else _gathered(s, term, kept, sizes)


def _mergeable(
    s: Site, term: Term, both: Labels, rows: Labels, columns: Labels, sizes: dict[str, Dim]
) -> Term:
    """`term`, copied if its rows or its columns cannot be walked with one stride each."""
    if all(_merged(term.strides, group, sizes) is not None for group in (rows, columns)):
        return term
    return _gathered(s, term, (*both, *rows, *columns), sizes)


def _merged(strides: dict[str, Dim], group: Labels, sizes: dict[str, Dim]) -> Dim | None:
    """The one stride of some labels taken as one dimension, None where there is none."""
    for outer, inner in zip(group, group[1:], strict=False):
        if strides[outer] != strides[inner] * sizes[inner]:
            return None
    return strides[group[-1]] if group else 1


def _strides(labels: Labels, sizes: dict[str, Dim]) -> dict[str, Dim]:
    """The strides of a tensor with these labels, row by row."""
    return {x: d.product(sizes[y] for y in labels[n + 1 :]) for n, x in enumerate(labels)}


def _gathered(s: Site, term: Term, labels: Labels, sizes: dict[str, Dim]) -> Term:
    """A copy of `term` with these labels only, row by row; the others are summed."""
    value = _gather_sum(s, term, labels, sizes, lambda _, *args: s.temporary(*args))
    return Term(value, _strides(labels, sizes))


def _gather_sum(
    s: Site, term: Term, labels: Labels, sizes: dict[str, Dim], make: Callable[..., Value]
) -> Value:
    summed = tuple(x for x in term.labels if x not in labels)
    y = make(0, term.value.dtype, [sizes[x] for x in labels])
    order = (*labels, *summed)
    dims, strides = [sizes[x] for x in order], [term.strides[x] for x in order]
    counts = len(labels), len(summed)
    s.call("einsum.gather_sum", y.dtype, y, term.value, *counts, dims, strides)
    s.flush()
    return y
