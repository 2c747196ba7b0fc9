"""simplify: what is left of a graph, and that its answers are the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto

from nnlet.compiler import compile_protos
from nnlet.compiler.graph import Graph
from nnlet.compiler.load import from_proto
from nnlet.compiler.ops import OPS
from nnlet.compiler.simplify import drop_unused, fold_batch_norms, fold_pads, name_constants
from nnlet.native import NativeModels
from tests.compiler.onnxtext import model
from tests.compiler.oracle import Array, Case, check, compiled


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


RNG = np.random.default_rng(6)


def data(*shape: int) -> Array:
    return RNG.normal(size=shape).astype("f4")


def norm(channels: int) -> dict[str, Array]:
    names = ("scale", "shift", "mean", "variance")
    return {name: np.abs(data(channels)) + np.float32(0.1) for name in names}


BATCH_NORM = "y = BatchNormalization <epsilon = 0.01> (t, scale, shift, mean, variance)"

FOLDED: dict[str, tuple[ModelProto, tuple[int, ...]]] = {
    "conv": (
        model(
            "f (float[n, 4, h, w] x) => (float[n, 6, a, b] y)"
            f"{{ t = Conv <group = 2> (x, k, c) {BATCH_NORM} }}",
            constants={"k": data(6, 2, 3, 3), "c": data(6), **norm(6)},
        ),
        (2, 4, 7, 8),
    ),
    "conv-without-bias": (
        model(
            f"f (float[n, 4, h] x) => (float[n, 6, a] y) {{ t = Conv (x, k) {BATCH_NORM} }}",
            constants={"k": data(6, 4, 3), **norm(6)},
        ),
        (2, 4, 9),
    ),
    "transposed": (
        model(
            "f (float[n, 4, h, w] x) => (float[n, 6, a, b] y)"
            f"{{ t = ConvTranspose <group = 2> (x, k) {BATCH_NORM} }}",
            constants={"k": data(4, 3, 3, 3), **norm(6)},
        ),
        (1, 4, 5, 6),
    ),
    "gemm": (
        model(
            "f (float[n, 5] x) => (float[n, 6] y)"
            f"{{ t = Gemm <transB = 1> (x, k, c) {BATCH_NORM} }}",
            constants={"k": data(6, 5), "c": data(6), **norm(6)},
        ),
        (3, 5),
    ),
    "constant-nodes": (
        model(
            "f (float[n, 2, h, w] x) => (float[n, 1, a, b] y) {"
            " k = Constant <value = float[1, 2, 1, 1] {2.0, -3.0}> ()"
            f" t = Conv (x, k) {BATCH_NORM} }}",
            constants=norm(1),
        ),
        (1, 2, 3, 3),
    ),
    "pad": (
        model(
            "f (float[n, 2, h, w] x) => (float[n, 3, a, b] y)"
            "{ t = Pad (x, pads) y = Conv <pads = [1, 0, 0, 0]> (t, k) }",
            constants={"pads": np.array([0, 0, 1, 2, 0, 0, 3, 1]), "k": data(3, 2, 3, 3)},
        ),
        (1, 2, 5, 6),
    ),
}

KEPT: dict[str, ModelProto] = {
    "read-twice": model(
        "f (float[n, 4, h] x) => (float[n, 6, a] y, float[n, 6, a] t)"
        f"{{ t = Conv (x, k) {BATCH_NORM} }}",
        constants={"k": data(6, 4, 3), **norm(6)},
    ),
    "computed-weights": model(
        "f (float[n, 4, h] x, float[6, 4, 3] k) => (float[n, 6, a] y)"
        f"{{ t = Conv (x, k) {BATCH_NORM} }}",
        constants=norm(6),
    ),
    "pad-with-ones": model(
        "f (float[n, 2, h] x) => (float[n, 3, a] y) { t = Pad (x, pads, one) y = Conv (t, k) }",
        constants={
            "pads": np.array([0, 0, 1, 0, 0, 3]), "one": np.float32(1), "k": data(3, 2, 3),
        },
    ),
    "pad-channels": model(
        "f (float[n, 1, h] x) => (float[n, 3, a] y) { t = Pad (x, pads) y = Conv (t, k) }",
        constants={"pads": np.array([0, 1, 1, 0, 0, 3]), "k": data(3, 2, 3)},
    ),
}  # fmt: skip

CASES = [Case(name, proto, {"x": data(*dims)}) for name, (proto, dims) in FOLDED.items()]


def passes(proto: ModelProto) -> Graph:
    graph = from_proto(proto, "test", OPS)
    steps: tuple[Callable[[Graph], Graph], ...] = (name_constants, fold_batch_norms, fold_pads)
    for step in steps:
        graph = step(graph)
    return graph


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_node_is_left_with_the_same_answers(models: NativeModels, case: Case) -> None:
    assert len(passes(case.proto).nodes) == 1
    check(models, case)


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_stays(name: str) -> None:
    assert len(passes(KEPT[name]).nodes) == 2
    compile_protos([("m", "1", KEPT[name])])
