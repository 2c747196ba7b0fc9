"""Trees in OpenVINO, as gathers and as matrix products: milliseconds an answer.

    python -m dev.trees_openvino.measure [DEPTHS [TREES]]    for example 3,6,10 10,100,500

Complete trees over 30 features and 3 targets, one thread, the fastest of some runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

from nnlet.plain import lower

FEATURES, TARGETS = 30, 3
ROWS = {1: 60, 1000: 12}  # and how often
Array = np.ndarray[Any, Any]


class Ensemble:
    """Complete trees: node n of a tree leads to 2n + 1 and 2n + 2; the leaves come last."""

    def __init__(self, trees: int, depth: int) -> None:
        rng = np.random.default_rng(0)
        self.trees, self.splits, self.leaves = trees, 2**depth - 1, 2**depth
        self.feature = rng.integers(0, FEATURES, (trees, self.splits))
        self.threshold = rng.normal(size=(trees, self.splits)).astype(np.float32)
        self.votes = rng.normal(size=(trees, self.leaves, TARGETS)).astype(np.float32)


class Graph:
    """Nodes and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, op: str, *inputs: str | Array, **attrs: Any) -> str:
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        self.nodes.append(helper.make_node(op, names, [f"v{len(self.nodes)}"], **attrs))
        return f"v{len(self.nodes) - 1}"

    def _constant(self, array: Array) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return f"c{len(self.constants) - 1}"

    def model(self, result: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [result], ["y"]))
        return _model(self.nodes, self.constants)


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", TARGETS])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def gathers(e: Ensemble) -> onnx.ModelProto:
    """What nnlet.plain makes of it."""
    inner = np.arange(e.splits)
    ids = np.tile(np.arange(e.splits + e.leaves), e.trees)
    leaf = np.zeros((e.trees, e.leaves))
    each = np.concatenate([2 * inner + 1, np.zeros(e.leaves, int)])
    voting = np.repeat(np.arange(e.trees), e.leaves * TARGETS)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=TARGETS,
        nodes_treeids=np.repeat(np.arange(e.trees), e.splits + e.leaves).tolist(),
        nodes_nodeids=ids.tolist(),
        nodes_featureids=np.concatenate([e.feature, leaf.astype(int)], 1).reshape(-1).tolist(),
        nodes_values=np.concatenate([e.threshold, leaf], 1).reshape(-1).tolist(),
        nodes_modes=[*["BRANCH_LEQ"] * e.splits, *["LEAF"] * e.leaves] * e.trees,
        nodes_truenodeids=each.tolist() * e.trees,
        nodes_falsenodeids=np.where(each, each + 1, 0).tolist() * e.trees,
        target_ids=list(range(TARGETS)) * (e.trees * e.leaves),
        target_treeids=voting.tolist(),
        target_nodeids=np.repeat(e.splits + np.arange(e.leaves), TARGETS).tolist() * e.trees,
        target_weights=e.votes.reshape(-1).tolist(),
    )
    return lower(_model([node], []), "trees")


def _hits(g: Graph, e: Ensemble) -> str:
    """FLOAT [trees, rows, leaves]: 1 at each tree's leaf. A leaf is where all splits above it
    say yes, or no, as its path does: the product counts them."""
    paths = np.zeros((e.splits, e.leaves), np.float32)
    wanted = np.zeros(e.leaves, np.float32)
    for leaf in range(e.leaves):
        at = leaf + e.splits
        while at:
            above = (at - 1) // 2
            paths[above, leaf] = 1 if at == 2 * above + 1 else -1
            wanted[leaf] += at == 2 * above + 1
            at = above
    values = g.op("Gather", "x", e.feature.reshape(-1), axis=1)
    yes = g.op("Cast", g.op("LessOrEqual", values, e.threshold.reshape(1, -1)), to=1)
    yes = g.op("Reshape", yes, np.array([-1, e.trees, e.splits]))
    yes = g.op("Transpose", yes, perm=[1, 0, 2])
    counts = g.op("MatMul", yes, np.repeat(paths[None], e.trees, 0))
    return g.op("Cast", g.op("Equal", counts, wanted), to=1)


def products(e: Ensemble) -> onnx.ModelProto:
    """Two products a tree, then their sum."""
    g = Graph()
    votes = g.op("MatMul", _hits(g, e), e.votes)
    return g.model(g.op("ReduceSum", votes, np.array([0]), keepdims=0))


def one_product(e: Ensemble) -> onnx.ModelProto:
    """The same, but all leaves of all trees times their votes at once."""
    g = Graph()
    hits = g.op("Transpose", _hits(g, e), perm=[1, 0, 2])
    flat = g.op("Reshape", hits, np.array([-1, e.trees * e.leaves]))
    return g.model(g.op("MatMul", flat, e.votes.reshape(-1, TARGETS)))


WAYS: list[Callable[[Ensemble], onnx.ModelProto]] = [gathers, products, one_product]
WIDEST = 6  # deeper, products have a matrix of 4^depth numbers a tree


def measure(proto: onnx.ModelProto) -> tuple[list[float], Array]:
    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = core.compile_model(core.read_model(proto.SerializeToString()), "CPU", config)
    request = model.create_infer_request()
    best = []
    for rows, times in ROWS.items():
        x = np.random.default_rng(1).normal(size=(rows, FEATURES)).astype(np.float32)
        best.append(1e3 * min(_seconds(request, x) for _ in range(times)))
    return best, np.array(request.results[model.output(0)])


def _seconds(request: Any, x: Array) -> float:
    start = time.perf_counter()
    request.infer({"x": x})
    return time.perf_counter() - start


def main(depths: str = "3,6,10", trees: str = "10,100,500") -> None:
    print("| depth | trees | way | 1 row | 1000 rows |\n|---|---|---|---|---|")
    for depth in map(int, depths.split(",")):
        for count in map(int, trees.split(",")):
            ensemble = Ensemble(count, depth)
            answers = []
            for way in WAYS if depth <= WIDEST else WAYS[:1]:
                best, answer = measure(way(ensemble))
                answers.append(answer)
                np.testing.assert_allclose(answer, answers[0], rtol=1e-3, atol=1e-3)
                print(f"| {depth} | {count} | {way.__name__} | {best[0]:.3f} | {best[1]:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
