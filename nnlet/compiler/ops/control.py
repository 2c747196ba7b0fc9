"""Control flow: If, Loop, Scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.graph import Graph, Port
from nnlet.compiler.ops import rounds
from nnlet.compiler.program import Value
from nnlet.compiler.site import INT64, Mark, Site


def if_(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__If.html

    Where the condition is known, its branch stands here and the other is forgotten. Where the
    branches differ in rank, one is chosen (`Site.choose`), and the run checks that it is the one.
    """
    branches: list[Graph] = [s.attr("then_branch"), s.attr("else_branch")]
    known = s.const(0)
    if known is not None:
        taken = branches[0 if known.reshape(-1)[0] else 1]
        s.results.update(enumerate(s.inline(taken)))
        return
    test = s.pointer(s.input(0))
    mark = s.mark()
    then, other = (s.body(branch, {}) for branch in branches)
    if not len(then.results) == len(other.results) == len(s.node.outputs):
        s.fail("its branches differ in their number of outputs")
    if any(a.rank != b.rank for a, b in zip(then.results, other.results, strict=True)):
        mark.undo()
        chosen = s.choose()
        ok = f"{'!' if chosen else ''}{test}[0]"
        s.check(ok, "for other sizes or values its result would have another number of dimensions")
        s.results.update(enumerate(s.inline(branches[chosen])))
        return
    outputs = [
        _either(s, mark, n, a, b)
        for n, (a, b) in enumerate(zip(then.results, other.results, strict=True))
    ]
    s.emit(f"if ({test}[0]) {{")
    s.emit_body(then, _give(s, mark, outputs, then.results))
    s.emit("} else {")
    s.emit_body(other, _give(s, mark, outputs, other.results))
    s.emit("}")


def _either(s: Site, mark: Mark, index: int, a: Value, b: Value) -> Value:
    """Output `index`, which is one of both: sizes in which they differ are set by the branch."""
    if a.dtype is not b.dtype:
        s.fail(f"output {index} is {a.dtype} in one branch and {b.dtype} in the other")
    dims = [
        x if x == y and mark.knows(x) else s.new_size() for x, y in zip(a.dims, b.dims, strict=True)
    ]
    label = s.node.outputs[index]
    value = s.variable(a.dtype, dims, label)
    s.adopt(index, value, late=not all(mark.knows(dim) for dim in dims))
    return value


def _give(s: Site, mark: Mark, outputs: Sequence[Value], results: Sequence[Value]) -> list[str]:
    """Lines that make a branch's results the outputs."""
    lines = []
    for y, result in zip(outputs, results, strict=True):
        unknown = [n for n, dim in enumerate(y.dims) if not mark.knows(dim)]
        lines += [f"{d.c(y.dims[n])} = {d.c(result.dims[n])};" for n in unknown]
        lines += [s.take(y, y.dims)] if unknown else []
        lines.append(rounds.copy(s, y, result))
    return lines


def loop(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Loop.html"""
    graph: Graph = s.attr("body")
    states = [s.ref(s.input(n)) for n in range(2, s.input_count)]
    limit, go = s.sizes(0), s.const(1)
    _check_body(s, graph, 2 + len(states), 1 + len(states))
    mark = s.mark()
    index = s.new_size()
    iteration, going, *ports = graph.inputs
    bound = {
        iteration.name: Value("", INT64, _shape(iteration), ints=(index,)),
        going.name: s.value_of(np.ones(_shape(going), bool)),
    }
    turns = rounds.lower(s, mark, graph, ports, states, bound, first=1)
    test, *results = turns.body.results
    always = test.content is not None and bool(test.content.reshape(-1)[0])
    always &= not s.has_input(1) or (go is not None and bool(go.reshape(-1)[0]))
    count = d.maximum(limit[0], 0) if limit and always else None
    head = []
    if s.has_input(0):
        head.append(f"{d.c(index)} < {d.c(limit[0]) if limit else f'{s.pointer(s.input(0))}[0]'}")
    before, tail = [], []
    if not always:
        going_on = d.c(s.new_size())
        first = f"{s.pointer(s.input(1))}[0]" if s.has_input(1) else "1"
        before.append(f"{going_on} = {first};")
        tail.append(f"{going_on} = {s.pointer(test)}[0];")
        head.append(going_on)
    collected = [
        rounds.collect(s, mark, n, value, 0, index, count, index)
        for n, value in enumerate(results[len(states) :], start=len(states))
        if s.has_output(n)
    ]
    if not head:
        s.fail("neither a trip count nor a condition ends it")
    rounds.emit(s, turns, index, " && ".join(head), [], tail, before, collected)


def scan(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Scan.html"""
    if s.opset < 9:
        s.unsupported("Scan of opset 8, over a batch: export with opset 9 or higher")
    graph: Graph = s.attr("body")
    scans = int(s.attr("num_scan_inputs"))
    n_states = s.input_count - scans
    if scans < 1 or n_states < 0:
        s.fail(f"{scans} scanned inputs of {s.input_count}")
    sequences = [s.ref(s.input(n)) for n in range(n_states, s.input_count)]
    states = [s.ref(s.input(n)) for n in range(n_states)]
    _check_body(s, graph, s.input_count, n_states)
    axes = [
        s.wrap(axis, x.rank)
        for axis, x in zip(_each(s, "scan_input_axes", scans), sequences, strict=True)
    ]
    count = sequences[0].dims[axes[0]]
    for axis, x in zip(axes, sequences, strict=True):
        s.same(count, x.dims[axis], "lengths of the scanned inputs")
    mark = s.mark()
    index = s.new_size()
    backwards = _each(s, "scan_input_directions", scans)
    slices, head = [], []
    for axis, x, back in zip(axes, sequences, backwards, strict=True):
        value, line = _slice(s, x, axis, count - 1 - index if back else index)
        slices.append(value)
        head += line
    ports = graph.inputs[:n_states]
    bound = {port.name: v for port, v in zip(graph.inputs[n_states:], slices, strict=True)}
    turns = rounds.lower(s, mark, graph, ports, states, bound, first=0)
    results = turns.body.results[n_states:]
    axes = _each(s, "scan_output_axes", len(results))
    backwards = _each(s, "scan_output_directions", len(results))
    collected = []
    for n, (value, axis, back) in enumerate(zip(results, axes, backwards, strict=True), n_states):
        if s.has_output(n):
            place = count - 1 - index if back else index
            along = s.wrap(axis, value.rank + 1)
            collected.append(rounds.collect(s, mark, n, value, along, place, count, index))
    rounds.emit(s, turns, index, f"{d.c(index)} < {d.c(count)}", head, [], [], collected)


def _check_body(s: Site, graph: Graph, inputs: int, outputs: int) -> None:
    """Whether the body has that many inputs, and at least that many outputs."""
    if len(graph.inputs) != inputs or len(graph.outputs) < outputs:
        s.fail(
            f"its body has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected "
            f"{inputs} and at least {outputs}"
        )


def _each(s: Site, name: str, count: int) -> list[int]:
    """A list with a number for each scanned tensor; zeros where it is absent."""
    found = [int(x) for x in s.attr(name, [])] or [0] * count
    if len(found) != count:
        s.fail(f"{name} has {len(found)} entries for {count} tensors")
    return found


def _shape(port: Port) -> tuple[int, ...]:
    """The dims of a port with one element."""
    return (1,) * len(port.dims or ())


def _slice(s: Site, x: Value, axis: int, at: Dim) -> tuple[Value, list[str]]:
    """x at place `at` of an axis, and the lines that copy it where it is not in one piece."""
    dims = (*x.dims[:axis], *x.dims[axis + 1 :])
    outer, inner = d.product(x.dims[:axis]), d.product(x.dims[axis + 1 :])
    if outer == 1:
        return replace(x, dims=dims, offset=x.offset + at * inner, const=None), []
    value = s.scratch(x.dtype, dims)
    call = s.invoke(
        "control.get_slice", s.bits(x.dtype), s.raw(value), s.raw(x), outer, x.dims[axis], inner,
        at,
    )  # fmt: skip
    return value, [call + ";"]
