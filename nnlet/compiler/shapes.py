"""Shape arithmetic: small tensors whose elements are sizes, followed at compile time.

Exports compute shapes with operators (Shape, Gather, Concat, Mul, ...), partly in floating
point. Following those keeps sizes as Exprs, so that a Reshape knows its result and nothing of
it is left for run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler import reals
from nnlet.compiler.dims import Dim
from nnlet.compiler.graph import Node
from nnlet.compiler.known import (
    FLOATS,
    MAX_ITEMS,
    Item,
    Items,
    Known,
    items_of,
    known_ints,
    known_items,
)
from nnlet.compiler.program import Value
from nnlet.compiler.reals import Real
from nnlet.tensor import BY_ONNX, DATATYPES, DataType

MAX_READ = 16  # elements of a tensor in memory that become sizes to keep their neighbours known
MAX_TEXT = 400  # characters of C for one Real
BOOL = DATATYPES["BOOL"]
INTEGERS = frozenset({"INT64", "INT32", "BOOL"})

Settle = Callable[[Dim], Dim]  # a size in terms of variables (sizes.py)
Read = Callable[[Value], tuple[Dim, ...]]  # the elements of an integer tensor in memory


def evaluate(
    node: Node, inputs: Sequence[Value | None], settle: Settle, read: Read
) -> list[Known] | None:
    """The outputs of `node`, or None where its elements cannot be followed."""
    rule = RULES.get(node.op)
    if rule is None or not inputs or inputs[0] is None:
        return None
    if node.op != "Concat" and not any(v is not None and v.ints is not None for v in inputs):
        return None  # data, or all constant: that is folded
    try:
        results = rule(_Follow(node, inputs, settle, read))
    except (_Unknown, IndexError, ValueError, ZeroDivisionError, TypeError):
        return None
    if any(known.items.size > MAX_ITEMS for known in results):
        return None
    return results


class _Unknown(Exception):
    """These elements cannot be followed."""


class _Follow:
    """One node whose elements are being followed; what a rule works with."""

    def __init__(
        self, node: Node, inputs: Sequence[Value | None], settle: Settle, read: Read
    ) -> None:
        self.node = node
        self.inputs = inputs
        self.settle = settle
        self.read = read

    @property
    def dtype(self) -> DataType:
        """That of the first input."""
        return self.value(0).dtype

    def value(self, index: int) -> Value:
        value = self.inputs[index]
        if value is None:
            raise _Unknown
        return value

    def items(self, index: int) -> Items:
        """The elements of an input, in its own (static) shape."""
        value = self.value(index)
        if value.dtype.name not in INTEGERS | FLOATS or not d.static(value.dims):
            raise _Unknown
        flat = known_items(value)
        if flat is None:
            raise _Unknown
        return items_of(flat, tuple(int(x) for x in value.dims))  # type: ignore[arg-type]

    def ints(self, name: str, at: int) -> list[int] | None:
        """A list that is an attribute in old opsets and an input in new ones."""
        if name in self.node.attrs:
            return list(self.node.attrs[name])
        if at >= len(self.inputs) or self.inputs[at] is None:
            return None
        flat = self.items(at).reshape(-1).tolist()
        if not all(isinstance(x, int) for x in flat):
            raise _Unknown
        return flat

    def done(self, items: Any, dtype: DataType | None = None) -> list[Known]:
        """The result, with long sizes given a name."""
        if not isinstance(items, np.ndarray):  # NumPy unpacks an object of rank 0
            items = items_of([items], ())
        flat = [self._short(x) for x in items.reshape(-1).tolist()]
        return [Known(dtype or self.dtype, items_of(flat, items.shape))]

    def _short(self, item: Item) -> Item:
        if isinstance(item, Real):
            if len(item.text) > MAX_TEXT:
                raise _Unknown
            return item
        if isinstance(item, int) and not -(2**63) <= item < 2**63:
            raise _Unknown
        return self.settle(item)


Rule = Callable[[_Follow], list[Known]]


def _each(rule: Callable[[Any], Item]) -> Rule:
    """A rule for an elementwise operator of one input."""

    def apply(f: _Follow) -> list[Known]:
        items = f.items(0)
        return f.done(items_of([rule(x) for x in items.reshape(-1).tolist()], items.shape))

    return apply


def _pair(
    of_sizes: Callable[[Dim, Dim], Dim],
    of_reals: Callable[[Real, Real], Real] | None = None,
    dtype: DataType | None = None,
) -> Rule:
    """A rule for an elementwise operator of two inputs."""

    def one(a: Item, b: Item) -> Item:
        if isinstance(a, Real) and isinstance(b, Real):
            if of_reals is None:
                raise _Unknown
            return of_reals(a, b)
        if isinstance(a, Real) or isinstance(b, Real):
            raise _Unknown
        return of_sizes(a, b)

    def apply(f: _Follow) -> list[Known]:
        total, which = f.items(0), dtype or f.dtype
        for n in range(1, len(f.inputs)):
            a, b = np.broadcast_arrays(total, f.items(n))
            flat = [one(x, y) for x, y in zip(a.reshape(-1), b.reshape(-1), strict=True)]
            total = items_of(flat, a.shape)
        return f.done(total, which)

    return apply


def _modulo(f: _Follow) -> list[Known]:
    def one(a: Dim, b: Dim) -> Dim:
        if not d.nonnegative(a) or not d.nonnegative(b):
            if f.node.attrs.get("fmod", 0):  # the sign follows a
                raise _Unknown
            return d.symbol(f"nn_mod({d.c(a)}, {d.c(b)})")
        return a - b * d.floordiv(a, b) if b != 0 else 0

    return _pair(one)(f)


def _cast(f: _Follow) -> list[Known]:
    attrs = f.node.attrs
    to = BY_ONNX.get(attrs["to"]) if "to" in attrs else f.value(1).dtype
    if to is None or to.name not in INTEGERS | FLOATS:
        raise _Unknown

    def one(item: Item) -> Item:
        if to.kind == "f":
            if isinstance(item, Real):
                if item.numerator is None or item.rounded or item.denominator != 1:
                    raise _Unknown
                item = item.numerator
            return reals.of_size(item, to)
        if to is BOOL:
            if isinstance(item, Real):
                raise _Unknown
            return 1 - d.compare(item, "==", 0)
        return reals.to_size(item) if isinstance(item, Real) else item

    value = f.items(0)
    return f.done(items_of([one(x) for x in value.reshape(-1).tolist()], value.shape), to)


def _gather(f: _Follow) -> list[Known]:
    indices = f.items(1)
    if not all(isinstance(x, int) for x in indices.reshape(-1)):
        raise _Unknown
    return f.done(np.take(f.items(0), indices.astype(np.int64), f.node.attrs.get("axis", 0)))


def _concat(f: _Follow) -> list[Known]:
    """Parts that lie in memory are read, so that the others stay known."""
    count = len(f.inputs)
    if not any(known_items(f.value(n)) for n in range(count)):
        raise _Unknown
    small = f.dtype.name in ("INT32", "INT64") and all(_small(f.value(n)) for n in range(count))
    parts = [_read(f, n) if small else f.items(n) for n in range(count)]
    return f.done(np.concatenate(parts, f.node.attrs.get("axis", 0)))


def _small(value: Value) -> bool:
    return isinstance(value.size, int) and value.size <= MAX_READ


def _read(f: _Follow, index: int) -> Items:
    value = f.value(index)
    if known_ints(value) is not None:
        return f.items(index)
    shape = tuple(int(x) for x in value.dims)  # type: ignore[arg-type]
    return items_of(f.read(value), shape)


def _slice(f: _Follow) -> list[Known]:
    data = f.items(0)
    starts, ends = f.ints("starts", 1), f.ints("ends", 2)
    assert starts is not None and ends is not None
    axes = f.ints("axes", 3) or list(range(len(starts)))
    steps = f.ints("steps", 4) or [1] * len(starts)
    index: list[slice] = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Going backwards, an end before the first element means "all", which Python says as None.
        before_first = step < 0 and end < -data.shape[axis]
        index[axis] = slice(start, None if before_first else end, step)
    return f.done(data[tuple(index)])


def _split(f: _Follow) -> list[Known]:
    data, axis = f.items(0), f.node.attrs.get("axis", 0)
    parts = f.ints("split", 1)
    count = len(f.node.outputs)
    at: Any = np.cumsum(parts)[:-1] if parts else -(-data.shape[axis] // count)
    if not parts:
        at = [at * (n + 1) for n in range(count - 1)]
    return [f.done(part)[0] for part in np.split(data, at, axis)]


def _unsqueeze(f: _Follow) -> list[Known]:
    axes = f.ints("axes", 1)
    assert axes is not None
    return f.done(np.expand_dims(f.items(0), tuple(axes)))


def _squeeze(f: _Follow) -> list[Known]:
    axes = f.ints("axes", 1)
    return f.done(np.squeeze(f.items(0), None if axes is None else tuple(axes)))


def _reshape(f: _Follow) -> list[Known]:
    shape, data = f.ints("shape", 1), f.items(0)
    assert shape is not None
    return f.done(data.reshape([data.shape[n] if x == 0 else x for n, x in enumerate(shape)]))


def _expand(f: _Follow) -> list[Known]:
    shape, data = f.ints("shape", 1), f.items(0)
    assert shape is not None
    return f.done(np.broadcast_to(data, np.broadcast_shapes(data.shape, tuple(shape))))


def _where(f: _Follow) -> list[Known]:
    test, a, b = np.broadcast_arrays(*(f.items(n) for n in range(3)))

    def one(t: Dim, x: Item, y: Item) -> Item:
        if isinstance(t, int):
            return x if t else y
        if isinstance(x, Real) or isinstance(y, Real):
            raise _Unknown
        return d.select(t, x, y)

    flat = [one(*each) for each in zip(test.flat, a.flat, b.flat, strict=True)]
    return f.done(items_of(flat, test.shape), f.value(1).dtype)


def _reduce(rule: Callable[[Dim, Dim], Dim], start: Dim | None = None) -> Rule:
    """A rule for a reduction of all elements of a vector."""

    def apply(f: _Follow) -> list[Known]:
        data, axes = f.items(0), f.ints("axes", 1)
        if data.ndim != 1 or axes not in (None, [], [0], [-1]) or f.dtype.kind == "f":
            raise _Unknown
        if f.node.attrs.get("noop_with_empty_axes", 0) and not axes:
            raise _Unknown
        rest = data.tolist()
        total = rest.pop(0) if start is None else start
        for item in rest:
            total = rule(total, item)
        return f.done(items_of([total], (1,) if f.node.attrs.get("keepdims", 1) else ()))

    return apply


def _same(item: Item) -> Item:
    return item


def _negated(item: Item) -> Item:
    if isinstance(item, Real):
        return reals.subtract(reals.of_size(0, item.dtype), item)
    return -item


def _real(rule: Callable[[Real], Real]) -> Rule:
    """A rule for an operator of floating-point numbers."""
    return _each(lambda x: rule(x) if isinstance(x, Real) else x)


def _compare(operator: str, swap: bool = False) -> Rule:
    if swap:
        return _pair(lambda a, b: d.compare(b, operator, a), dtype=BOOL)
    return _pair(lambda a, b: d.compare(a, operator, b), dtype=BOOL)


RULES: dict[str, Rule] = {
    "Abs": _each(lambda x: d.maximum(x, -x)),
    "Add": _pair(lambda a, b: a + b, reals.add),
    "And": _pair(lambda a, b: a * b),
    "Cast": _cast,
    "CastLike": _cast,
    "Ceil": _real(reals.ceil),
    "Concat": _concat,
    "Div": _pair(d.truncdiv, reals.divide),
    "Equal": _compare("=="),
    "Expand": _expand,
    "Floor": _real(reals.floor),
    "Gather": _gather,
    "Greater": _compare("<", swap=True),
    "GreaterOrEqual": _compare("<=", swap=True),
    "Identity": _each(_same),
    "Less": _compare("<"),
    "LessOrEqual": _compare("<="),
    "Max": _pair(d.maximum),
    "Min": _pair(d.minimum),
    "Mod": _modulo,
    "Mul": _pair(lambda a, b: a * b, reals.multiply),
    "Neg": _each(_negated),
    "Not": _each(lambda x: 1 - x),
    "Or": _pair(lambda a, b: a + b - a * b),
    "ReduceMax": _reduce(d.maximum),
    "ReduceMin": _reduce(d.minimum),
    "ReduceProd": _reduce(lambda a, b: a * b, 1),
    "ReduceSum": _reduce(lambda a, b: a + b, 0),
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _pair(lambda a, b: a - b, reals.subtract),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
