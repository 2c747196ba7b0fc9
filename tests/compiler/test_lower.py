"""lower, fuse, loops and memory: what a small graph becomes."""

from __future__ import annotations

import numpy as np
import pytest

from nnlet.compiler import compile_protos
from nnlet.compiler.fuse import drop_unread, fuse_maps
from nnlet.compiler.load import from_proto
from nnlet.compiler.loops import map_function, nest
from nnlet.compiler.lower import lower
from nnlet.compiler.memory import ALIGN, plan
from nnlet.compiler.ops import OPS
from nnlet.compiler.program import Map, Program
from nnlet.errors import CompileError
from tests.compiler.onnxtext import model


def program(graph: str, **options: object) -> Program:
    proto = model(graph, **options)  # type: ignore[arg-type]
    return lower(from_proto(proto, "m", OPS), "m", "1", OPS)


CHAIN = "f (float[n, 8] x) => (float[n, 8] y) { a = Relu (x) b = Mul (a, x) y = Add (b, c) }"


def test_a_chain_of_elementwise_nodes_is_one_loop() -> None:
    fused = fuse_maps(program(CHAIN, constants={"c": np.float32(2.5)}))
    (step,) = fused.steps
    assert isinstance(step, Map)
    assert len(step.inputs) == 1  # x, once; the constant is a literal in the text
    function = map_function(step)
    assert function.body.count("for (") == 1
    assert "2.5f" in function.body


def test_a_value_that_two_steps_read_is_kept() -> None:
    graph = (
        "f (float[4] x) => (float[4] y, float[4] z) { a = Relu (x) y = Add (a, x) z = Mul (a, a) }"  # noqa: E501
    )
    fused = fuse_maps(program(graph))
    assert len(fused.steps) == 3


def test_steps_that_nobody_reads_are_dropped() -> None:
    graph = "f (float[4] x) => (float[4] y) { a = Relu (x) y = Add (x, x) }"
    assert len(drop_unread(program(graph)).steps) == 1


def test_broadcast_keeps_only_the_loops_it_needs() -> None:
    graph = "f (float[n, 3, 4, 5] x, float[3, 1, 1] b) => (float[n, 3, 4, 5] y) { y = Add (x, b) }"
    (step,) = program(graph).steps
    assert isinstance(step, Map)
    assert [loop.kinds for loop in nest(step)] == [
        ("step", "repeat"),
        ("step", "step"),
        ("step", "repeat"),
    ]


def test_two_unknown_sizes_are_checked_in_the_run() -> None:
    source = compile_protos(
        [("m", "1", model("f (float[n] x, float[k] b) => (float[r] y) { y = Add (x, b) }"))]
    ).source
    assert "do not broadcast" in source


def test_sizes_that_contradict_each_other_are_refused_by_node() -> None:
    with pytest.raises(CompileError, match="Add 'y': dimensions 3 and 4 do not broadcast"):
        program("f (float[3] x, float[4] b) => (float[4] y) { y = Add (x, b) }")


def test_constants_are_folded() -> None:
    lowered = program(
        "f (float[2] x) => (float[2] y) { a = Mul (k, k) y = Add (x, a) }",
        constants={"k": np.array([2, 3], np.float32)},
    )
    assert [s.note for s in lowered.steps] == ["Add 'y'"]
    assert lowered.constants["w0"].tolist() == [4, 9]


def test_a_reshape_is_no_step() -> None:
    graph = "f (float[n, 2, 3] x) => (float[n, 6] y) { a = Flatten (x) y = Relu (a) }"
    assert len(program(graph).steps) == 1


def test_storages_that_live_at_different_times_overlap() -> None:
    graph = """f (float[4, 64] x) => (float[4, 64] y) {
        a = Softmax (x) b = Softmax (a) c = Softmax (b) y = Softmax (c) }"""
    lowered = program(graph)
    placed = plan(lowered)
    size = 4 * 64 * 4
    assert size % ALIGN == 0
    assert placed.arena == 2 * size
    assert len(placed.offsets) == 3  # y is allocated as the output


def test_no_two_live_storages_overlap() -> None:
    graph = """f (float[4, 50] x) => (float[4, 50] y) {
        a = Softmax (x) b = Softmax (a) c = Softmax (a) d = Add (b, c)
        e = Softmax (d) y = Add (e, a) }"""
    lowered = program(graph)
    placed = plan(lowered)
    alive = {"t1": (0, 5), "t2": (1, 3), "t3": (2, 3), "t4": (3, 4), "t5": (4, 5)}
    for a, (a0, a1) in alive.items():
        for b, (b0, b1) in alive.items():
            if a < b and a0 <= b1 and b0 <= a1:
                low, high = sorted((placed.offsets[a], placed.offsets[b]))
                assert high - low >= 4 * 50 * 4


def test_the_same_model_gives_the_same_bytes() -> None:
    proto = model(CHAIN, constants={"c": np.float32(2.5)})
    assert compile_protos([("m", "1", proto)]) == compile_protos([("m", "1", proto)])


def test_equal_weights_are_stored_once() -> None:
    ones = np.ones(1000, np.float32)
    proto = model(
        "f (float[1000] x) => (float[1000] y) { a = Add (x, p) y = Mul (a, q) }",
        constants={"p": ones, "q": ones.copy()},
    )
    assert len(compile_protos([("m", "1", proto)]).weights) == -(-4000 // ALIGN) * ALIGN
