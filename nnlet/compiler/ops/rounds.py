"""The rounds of Loop and Scan: what a body carries from one to the next, and collects of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import c_string
from nnlet.compiler.dims import Dim, Expr
from nnlet.compiler.graph import Graph, Port
from nnlet.compiler.program import Value
from nnlet.compiler.site import Body, Mark, Site
from nnlet.errors import CompileError, UnsupportedModel

FIRST_ROOM = 8  # rounds that fit an output whose count nobody knows, before it grows


@dataclass(frozen=True)
class Rounds:
    """A loop's body with the values that it carries from one round to the next.

    A variable holds a carried value: `initial` before the first round, after each a result of
    the body, of which the first is number `first`. Dimensions that a round may change are sizes
    of the variable's own, which the loop sets: it gets other memory after each round.
    """

    body: Body
    first: int
    initial: list[Value]
    variables: list[Value]

    def changing(self, k: int) -> list[int]:
        """The axes along which variable `k` may change."""
        pairs = zip(self.variables[k].dims, self.initial[k].dims, strict=True)
        return [axis for axis, (own, first) in enumerate(pairs) if own != first]

    def separate(self) -> None:
        """Copies results that lie in a variable which would be overwritten before they are read."""
        fixed = [v.storage for k, v in enumerate(self.variables) if not self.changing(k)]
        for k, variable in enumerate(self.variables):
            storage = self.body.results[self.first + k].storage
            if storage in fixed and storage != variable.storage and variable.storage in fixed:
                self.body.own_copy(self.first + k)


def lower(
    s: Site,
    mark: Mark,
    graph: Graph,
    ports: Sequence[Port],
    initial: list[Value],
    bound: Mapping[str, Value],
    first: int,
) -> Rounds:
    """Lowers the body, whose results from `first` on are what it carries.

    It needs the dims of those before, and may change them: so first none is taken to change,
    and where one does, what was lowered is undone.
    """
    every = {(k, axis) for k, value in enumerate(initial) for axis in range(value.rank)}
    changing: set[tuple[int, int]] = set()
    while True:
        attempt = s.mark()
        variables = [
            s.variable(
                value.dtype,
                [s.new_size() if (k, n) in changing else dim for n, dim in enumerate(value.dims)],
                port.name,
            )
            for k, (port, value) in enumerate(zip(ports, initial, strict=True))
        ]
        names = {port.name: v for port, v in zip(ports, variables, strict=True)}
        try:
            body = s.body(graph, {**bound, **names})
        except (CompileError, UnsupportedModel):
            if changing == every:
                raise
            found = every
        else:
            results = body.results[first : first + len(initial)]
            found = {
                (k, axis)
                for k, (before, after) in enumerate(zip(initial, results, strict=True))
                for axis in _changed_axes(s, mark, before, after)
            }
            if found <= changing:
                return Rounds(body, first, initial, variables)
        attempt.undo()
        changing |= found


def _changed_axes(s: Site, mark: Mark, before: Value, after: Value) -> list[int]:
    if before.dtype is not after.dtype or before.rank != after.rank:
        s.unsupported(
            f"its body makes {after.label!r} a {after.dtype} of {after.rank} dimensions, which was "
            f"a {before.dtype} of {before.rank}"
        )
    pairs = enumerate(zip(before.dims, after.dims, strict=True))
    return [axis for axis, (a, b) in pairs if a != b or not mark.knows(b)]


def _carry(s: Site, rounds: Rounds) -> tuple[list[str], list[str]]:
    """Lines that set the carried variables before the first round and after each.

    All results are read before a variable that they may lie in gets other memory.
    """
    before: list[str] = []
    sizes: list[str] = []
    copies: list[str] = []
    moves: list[str] = []
    rounds.separate()
    for k, (v, first) in enumerate(zip(rounds.variables, rounds.initial, strict=True)):
        result = rounds.body.results[rounds.first + k]
        axes = rounds.changing(k)
        s.adopt(k, v, late=bool(axes))
        before += [f"{d.c(v.dims[n])} = {d.c(first.dims[n])};" for n in axes]
        before += [s.take(v, v.dims)] if axes else []
        before.append(copy(s, v, first))
        if axes:
            after = [s.new_size() if n in axes else dim for n, dim in enumerate(v.dims)]
            taken = s.variable(v.dtype, after, v.label)
            sizes += [f"{d.c(after[n])} = {d.c(result.dims[n])};" for n in axes]
            copies = [s.take(taken, after), copy(s, taken, result), *copies]
            moves += [f"nn_free({v.storage});", f"{v.storage} = {taken.storage};"]
            moves += [f"{d.c(v.dims[n])} = {d.c(after[n])};" for n in axes]
        elif result.storage != v.storage or result.offset != 0:
            copies.append(copy(s, v, result))
    return before, [*sizes, *copies, *moves]


def collect(
    s: Site, mark: Mark, n: int, value: Value, axis: int, at: Dim, count: Dim | None, index: Expr
) -> Collected:
    """Output `n`: the results `value` of all rounds along a new axis, each at place `at`.

    Where the count is known, and the sizes of one result, it has its memory before. Else it
    gets that in the first round, and more when it is full.
    """
    dims = [dim if mark.knows(dim) else s.new_size() for dim in value.dims]
    label = s.node.outputs[n] if n < len(s.node.outputs) else ""
    known = count is not None and all(mark.knows(dim) for dim in dims)
    total = index if count is None else count
    y = s.variable(value.dtype, [*dims[:axis], total, *dims[axis:]], label)
    s.adopt(n, y, late=not known)
    outer, inner = d.product(dims[:axis]), d.product(dims[axis:])
    if known:
        return Collected([], [_put(s, y, value, outer, total, inner, at)], [])
    room = s.new_size() if count is None else count
    unknown = [k for k, dim in enumerate(dims) if not mark.knows(dim)]
    before = [f"{y.storage} = 0;"] + [f"{d.c(dims[k])} = 0;" for k in unknown]
    each = [f"if (!{y.storage}) {{"]
    if count is None:
        each.append(f"{d.c(room)} = {FIRST_ROOM};")
    each += [f"{d.c(dims[k])} = {d.c(value.dims[k])};" for k in unknown]
    each += [s.take(y, [*dims[:axis], room, *dims[axis:]]), "}"]
    each += [_same_size(s, dims[k], value.dims[k]) for k in unknown]
    if count is None:
        each += _grow(s, y, room, inner, index)
    each.append(_put(s, y, value, outer, room, inner, at))
    return Collected(before, each, [f"if (!{y.storage}) {s.take(y, [0])}"])


@dataclass(frozen=True)
class Collected:
    """Lines of an output that collects a result of each round: before, in and after the loop."""

    before: list[str]
    each: list[str]
    after: list[str]


def _put(s: Site, y: Value, x: Value, outer: Dim, n: Dim, inner: Dim, at: Dim) -> str:
    to, given = s.raw(y), s.raw(x)
    kernel = "control.put_slice"
    return s.invoke(kernel, s.bits(y.dtype), to, given, outer, n, inner, at) + ";"


def _same_size(s: Site, size: Dim, other: Dim) -> str:
    note = c_string(s.note)
    words = '"%s: a result has a dimension of %d in one round and %d in another"'
    a, b = d.c(size), d.c(other)
    return f"NN_CHECK({a} == {b}, NN_INVALID_ARGUMENT, {words}, {note}, (i64){a}, (i64){b});"


def _grow(s: Site, y: Value, room: Dim, inner: Dim, index: Expr) -> list[str]:
    """Lines that double the memory of y[room, inner] when `index` rounds have filled it."""
    bigger = s.variable(y.dtype, y.dims, y.label)
    size = d.c(index * inner * y.dtype.size)
    return [
        f"if ({d.c(index)} == {d.c(room)}) {{",
        f"{d.c(room)} = 2 * {d.c(room)};",
        s.take(bigger, [room, *y.dims[1:]]),
        f"memcpy({bigger.storage}, {y.storage}, {size});",
        f"nn_free({y.storage});",
        f"{y.storage} = {bigger.storage};",
        "}",
    ]


def copy(s: Site, y: Value, x: Value) -> str:
    return f"memcpy({y.storage}, {s.pointer(x)}, {d.c(x.size * x.dtype.size)});"


def emit(
    s: Site,
    rounds: Rounds,
    index: Expr,
    test: str,
    head: Sequence[str],
    tail: Sequence[str],
    before: Sequence[str],
    collected: Sequence[Collected],
) -> None:
    """The loop: `head` stands before the body's steps, `tail` behind them."""
    start, advance = _carry(s, rounds)
    for line in (*before, *start, *(line for each in collected for line in each.before)):
        s.emit(line)
    s.emit(f"{d.c(index)} = 0;")
    s.emit(f"while ({test}) {{")
    for line in head:
        s.emit(line)
    puts = [line for each in collected for line in each.each]
    s.emit_body(rounds.body, [*tail, *puts, *advance, f"{d.c(index)} = {d.c(index)} + 1;"])
    s.emit("}")
    for each in collected:
        for line in each.after:
            s.emit(line)
