"""simplify: what is left of a graph."""

from __future__ import annotations

from nnlet.compiler.graph import Graph
from nnlet.compiler.load import from_proto
from nnlet.compiler.ops import OPS
from nnlet.compiler.simplify import drop_unused
from tests.compiler.onnxtext import model


def simplified(graph: str) -> Graph:
    return drop_unused(from_proto(model(graph), "m", OPS))


def test_nodes_that_no_output_needs_are_dropped() -> None:
    graph = simplified(
        "f (float[2] x) => (float[2] y) { a = Relu (x) b = Add (a, a) y = Mul (x, x) }"
    )
    assert [node.op for node in graph.nodes] == ["Mul"]


def test_an_output_that_nobody_reads_loses_its_name() -> None:
    graph = simplified("f (float[4] x) => (float[2] y) { y, z = Split <num_outputs = 2> (x) }")
    assert graph.nodes[0].outputs == ("y", "")


def test_what_a_branch_reads_is_needed() -> None:
    graph = simplified("""f (bool c, float[2] x) => (float[2] y) {
        a = Relu (x) b = Neg (x)
        y = If (c) <then_branch = t () => (float[2] u) { v = Exp (b) u = Abs (a) },
                    else_branch = e () => (float[2] w) { w = Identity (x) }> }""")
    assert [node.op for node in graph.nodes] == ["Relu", "If"]
    (then,) = (value for name, value in graph.nodes[1].attrs.items() if name == "then_branch")
    assert [node.op for node in then.nodes] == ["Abs"]
