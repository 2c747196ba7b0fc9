"""Tree ensembles: every mode, aggregate and special case against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.compiler import compile_protos
from nnlet.compiler.ops.forest import LANES, Forest, apart, pack
from nnlet.errors import CompileError, InferenceError
from nnlet.native import NativeModels
from tests.compiler.kernels import Kernels
from tests.compiler.oracle import Array, Case, check, compiled, reference

DOMAIN = "ai.onnx.ml"
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
FEATURES = 5
RNG = np.random.default_rng(5)
# Thresholds that features often equal, and the edges of the number line.
VALUES = np.array([-1.5, -1, -0.5, -0.0, 0, 0.5, 1, 1.5, np.inf, -np.inf], "f4")


@dataclass
class Trees:
    """Random trees as the attributes of TreeEnsembleRegressor and -Classifier."""

    kind: str  # "target" or "class"
    voted: Sequence[int] = (0,)  # the targets that leaves vote for
    votes: str = "all"  # for all of them, for one, or for some
    modes: Sequence[str] = ("LEQ",)
    missing: bool = False
    positive: bool = False
    trees: int = 11
    depth: int = 4
    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for tree in range(self.trees):
            self._grow(tree, int(RNG.integers(0, self.depth + 1)), len(self.nodes))

    def _grow(self, tree: int, depth: int, first: int) -> int:
        at = len(self.nodes)
        number = at - first
        self.nodes.append(())
        if depth == 0 or RNG.random() < 0.1:
            self.nodes[at] = (tree, number, 0, "LEAF", 0.0, 0, 0, 0)
            self._vote(tree, number)
            return number
        feature, value = int(RNG.integers(FEATURES)), float(RNG.choice(VALUES))
        yes, no = self._grow(tree, depth - 1, first), self._grow(tree, depth - 1, first)
        mode = f"BRANCH_{RNG.choice(self.modes)}"
        track = int(RNG.integers(2))
        self.nodes[at] = (tree, number, feature, mode, value, yes, no, track)
        return number

    def _vote(self, tree: int, node: int) -> None:
        count = {"all": len(self.voted), "one": 1}.get(
            self.votes, int(RNG.integers(len(self.voted) + 1))
        )
        for target in RNG.permutation(self.voted)[:count]:
            weight = float(np.float32(RNG.normal()))
            weight = abs(weight) / self.trees if self.positive else weight
            self.leaves.append((int(target), tree, node, weight))

    def attributes(self, as_tensor: bool) -> dict[str, Any]:
        tree, number, feature, mode, value, yes, no, track = zip(*self.nodes, strict=True)
        targets, vote_trees, vote_nodes, weights = zip(*self.leaves, strict=True)
        found: dict[str, Any] = {
            "nodes_treeids": tree,
            "nodes_nodeids": number,
            "nodes_featureids": feature,
            "nodes_modes": mode,
            "nodes_truenodeids": yes,
            "nodes_falsenodeids": no,
            f"{self.kind}_ids": targets,
            f"{self.kind}_treeids": vote_trees,
            f"{self.kind}_nodeids": vote_nodes,
            **numbers("nodes_values", value, as_tensor),
            **numbers(f"{self.kind}_weights", weights, as_tensor),
        }
        if self.missing:
            found["nodes_missing_value_tracks_true"] = track
        return found


def numbers(name: str, values: Sequence[float], as_tensor: bool) -> dict[str, Any]:
    if not as_tensor:
        return {name: list(values)}
    tensor = helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)
    return {f"{name}_as_tensor": tensor}


def model(
    op: str, dtype: str, outputs: Sequence[tuple[int, list[Any]]], ml: int, **attrs: Any
) -> onnx.ModelProto:
    names = [f"y{n}" for n in range(len(outputs))]
    node = helper.make_node(op, ["x"], names, domain=DOMAIN, **attrs)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info("x", kind, ["n", FEATURES])],
        [helper.make_tensor_value_info(n, t, d) for n, (t, d) in zip(names, outputs, strict=True)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, ml)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def features(count: int, dtype: str = "f4", nan: bool = True) -> Array:
    """Rows that often meet a threshold exactly."""
    data = RNG.choice(np.concatenate([VALUES, RNG.normal(size=20)]), size=(count, FEATURES))
    if dtype.startswith("i"):
        return np.where(np.isfinite(data), data * 2, 1).astype(dtype)
    if nan:
        data[RNG.random(data.shape) < 0.15] = np.nan
    return data.astype(dtype)


def regressor(
    name: str, trees: Trees, targets: int, dtype: str = "f4", base: int = 0, **attrs: Any
) -> list[Case]:
    attrs |= {"n_targets": targets, **trees.attributes(dtype == "f8")}
    if base:
        attrs |= numbers("base_values", [0.25, -0.5, 0.125][:base], dtype == "f8")
    proto = model("TreeEnsembleRegressor", dtype, [(TensorProto.FLOAT, ["n", targets])], 3, **attrs)
    return [Case(name, proto, {"x": features(n, dtype)}, rtol=1e-4, atol=1e-5) for n in (1, 11)]


def classifier(
    name: str, trees: Trees, classes: int, dtype: str = "f4", base: int = 0, **attrs: Any
) -> list[Case]:
    attrs |= {"classlabels_int64s": range(10, 10 + classes), **trees.attributes(dtype == "f8")}
    if base:
        attrs |= numbers("base_values", [0.25, -0.5, 0.125][:base], dtype == "f8")
    outputs: list[tuple[int, list[Any]]] = [
        (TensorProto.INT64, ["n"]),
        (TensorProto.FLOAT, ["n", classes]),
    ]
    proto = model("TreeEnsembleClassifier", dtype, outputs, 3, **attrs)
    return [Case(name, proto, {"x": features(n, dtype)}, rtol=1e-4, atol=1e-5) for n in (1, 11)]


def mode_cases() -> list[Case]:
    found = []
    for mode in (*MODES, "all"):
        modes = MODES if mode == "all" else (mode,)
        for missing in (False, True):
            for dtype in ("f4", "f8"):
                trees = Trees("target", modes=modes, missing=missing)
                found += regressor(f"{mode}_{missing}_{dtype}", trees, 1, dtype)
            trees = Trees("class", (0, 1, 2), modes=modes, missing=missing)
            for dtype in ("i4", "i8"):
                found += classifier(f"{mode}_{missing}_{dtype}", trees, 3, dtype)
    return found


def regressor_cases() -> list[Case]:
    found = []
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        for targets in (1, 3):
            for base in (0, targets):
                for votes in ("all", "one", "some"):
                    found += regressor(
                        f"{aggregate}_{targets}_{base}_{votes}",
                        Trees("target", range(targets), votes),
                        targets,
                        base=base,
                        aggregate_function=aggregate,
                    )
    for transform in TRANSFORMS[:4]:
        for targets in (1, 3):
            trees = Trees("target", range(targets))
            found += regressor(f"{transform}_{targets}", trees, targets, post_transform=transform)
    return found


def classifier_cases() -> list[Case]:
    found = []
    for classes, voted in ((1, [0]), (2, [0]), (2, [1]), (2, [0, 1]), (3, [0, 1, 2]), (3, [0, 2])):
        for transform in TRANSFORMS[:4]:
            for base in sorted({0, min(classes, 2) % 2, classes}):
                for positive in (False, True):
                    votes = str(RNG.choice(["all", "one", "some"]))
                    found += classifier(
                        f"{classes}_{voted}_{transform}_{base}_{positive}",
                        Trees("class", voted, votes, positive=positive),
                        classes,
                        base=base,
                        post_transform=transform,
                    )
    return found


def repeated(kind: str, targets: int, copies: int) -> Trees:
    """Every tree several times, each with votes of its own for a target of its own."""
    trees = Trees(kind, missing=True)
    nodes, leaves, count = trees.nodes, trees.leaves, trees.trees
    trees.nodes = [(n[0] + k * count, *n[1:]) for k in range(copies) for n in nodes]
    trees.leaves = [
        ((7 * tree + k) % targets, tree + k * count, node, float(np.float32(RNG.normal())))
        for k in range(copies)
        for _, tree, node, _ in leaves
    ]
    return trees


def apart_cases() -> list[Case]:
    found = []
    for dtype in ("f4", "f8"):
        for targets in (3, 20):
            trees = repeated("target", targets, 9)
            found += regressor(f"apart_{targets}_{dtype}", trees, targets, dtype)
    found += regressor("average", repeated("target", 3, 4), 3, aggregate_function="AVERAGE")
    found += classifier("classes", repeated("class", 3, 4), 3, post_transform="SOFTMAX")
    return found


def ensemble(name: str, dtype: str, **attrs: Any) -> Case:
    """TreeEnsemble: one tree that asks all modes in a chain, and a second that is one leaf."""
    real = TensorProto.FLOAT if dtype == "f4" else TensorProto.DOUBLE
    n = len(MODES) + 1
    splits = [*(float(v) for v in (0.5, -0.5, 1.5, -1.0, 0.5, 0.0)), 0.0, 0.0]
    attrs = {
        "n_targets": 2,
        "tree_roots": [0, n],
        "nodes_featureids": [*(k % FEATURES for k in range(n)), 0],
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [n + 1], [*range(n), 0]),
        "nodes_splits": helper.make_tensor("s", real, [n + 1], splits),
        "nodes_truenodeids": [*range(n), n + 1],
        "nodes_trueleafs": [1] * (n + 1),
        "nodes_falsenodeids": [*range(1, n), n, n + 1],
        "nodes_falseleafs": [*[0] * (n - 1), 1, 1],
        "leaf_targetids": [k % 2 for k in range(n + 2)],
        "leaf_weights": helper.make_tensor("w", real, [n + 2], [0.5 + k for k in range(n + 2)]),
        "membership_values": helper.make_tensor("v", real, [4], [1.0, 3.0, 2.0, float("nan")]),
        **attrs,
    }
    proto = model("TreeEnsemble", dtype, [(real, ["n", 2])], 5, **attrs)
    return Case(name, proto, {"x": features(40, dtype)}, rtol=1e-5)


def ensemble_cases() -> list[Case]:
    missing = [1, 0, 1, 0, 1, 0, 1, 0]
    return [
        ensemble("ensemble", "f4"),
        ensemble("ensemble_f8", "f8"),
        ensemble("ensemble_average", "f4", aggregate_function=0),
        ensemble("ensemble_max", "f4", aggregate_function=3),
        ensemble("ensemble_missing", "f4", nodes_missing_value_tracks_true=missing),
    ]


def softmax_case() -> Case:
    """onnxruntime takes TreeEnsemble's transform 1 for LOGISTIC; ONNX says SOFTMAX."""
    plain = ensemble("plain", "f4")
    (sums,) = reference(plain)
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    each = ensemble("ensemble_softmax", "f4", post_transform=1)
    return replace(each, inputs=plain.inputs, expected=[expected])


CASES = [
    *mode_cases(),
    *regressor_cases(),
    *classifier_cases(),
    *apart_cases(),
    *ensemble_cases(),
    softmax_case(),
]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("each", CASES, ids=lambda c: f"{c.name}-{len(c.inputs['x'])}")
def test_answers_as_onnxruntime(models: NativeModels, each: Case) -> None:
    with np.errstate(all="ignore"):
        check(models, each)


@pytest.mark.parametrize("count", [0, 1, 2, LANES - 1, LANES, LANES + 1, 63, 64, 65, 130])
def test_many_rows_answer_as_each_alone(models: NativeModels, count: int) -> None:
    x = features(count)
    together = models.run("all_True_f4", "1", {"x": x})[0]
    alone = [models.run("all_True_f4", "1", {"x": row[None]})[0][0] for row in x]
    np.testing.assert_array_equal(together, np.array(alone, "f4").reshape(count, 1))


def test_too_few_features_are_refused() -> None:
    trees = Trees("target", depth=3)
    (case, _) = regressor("m", trees, 1)
    case.proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "f"
    module = compile_protos([("m", "1", case.proto)])
    models = NativeModels(module.source, module.weights, level=0)
    with pytest.raises(InferenceError, match="features expected, 1 given"):
        models.run("m", "1", {"x": np.zeros((2, 1), "f4")})


def test_a_node_below_itself_is_refused() -> None:
    forest = Forest(np.float32)
    first = forest.add(2)
    leaf = forest.leaf([(0, 1.0)])
    forest.split(first, "BRANCH_LEQ", 0, 0.5, False, first + 1, leaf)
    forest.split(first + 1, "BRANCH_LEQ", 0, 0.5, False, leaf, first)
    forest.roots = [first]
    with pytest.raises(CompileError, match="its own descendant"):
        pack(forest)


def test_shared_nodes_are_packed_once() -> None:
    """Sixty questions of which each answer leads to the next: 2^60 paths, but 61 nodes."""
    forest = Forest(np.float32)
    first = forest.add(60)
    leaf = forest.leaf([(0, 1.0)])
    for at in range(first, first + 60):
        after = at + 1 if at + 1 < first + 60 else leaf
        forest.split(at, "BRANCH_LEQ", 0, 0.5, False, after, after)
    forest.roots = [first]
    packed = pack(forest)
    assert len(packed.nodes) == 8 * (1 + 2 * 60 + LANES - 1)


def test_wide_links_where_narrow_ones_are_full() -> None:
    forest = Forest(np.float32)
    at = forest.add()
    yes, no = forest.leaf([]), forest.leaf([])
    forest.split(at, "BRANCH_LEQ", 2**30, 0.5, False, yes, no)
    forest.roots = [at]
    assert pack(forest).link_size == 8


def forest_of(shapes: int, copies: int, targets: int) -> Forest:
    """Trees of random questions, each `copies` times, with one target each."""
    forest = Forest(np.float32)
    for _ in range(shapes):
        asked = [(int(RNG.integers(FEATURES)), float(RNG.choice(VALUES))) for _ in range(3)]
        for _ in range(copies):
            target = int(RNG.integers(targets))
            at = forest.add(len(asked))
            forest.roots.append(at)
            for n, (feature, value) in enumerate(asked):
                ends = [forest.leaf([(target, float(np.float32(RNG.normal())))]) for _ in range(2)]
                ends[0] = at + n + 1 if n + 1 < len(asked) else ends[0]
                forest.split(at + n, "BRANCH_LEQ", feature, value, False, *ends)
    return forest


def test_trees_with_the_same_questions_share_nodes() -> None:
    once, often = pack(forest_of(LANES, 1, 3)), pack(forest_of(LANES, 30, 3))
    assert len(often.nodes) == len(once.nodes)
    assert len(often.leaves) == 30 * len(once.leaves)


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels("trees", "f32", "i32", "u16")


@pytest.mark.parametrize("rows", [1, LANES - 1, LANES, 2 * LANES + 3])
@pytest.mark.parametrize("block", [LANES, 64])
def test_sums_apart_are_what_gather_finds(kernels: Kernels, rows: int, block: int) -> None:
    targets = 5
    packed = pack(forest_of(7, 6, targets))
    found = apart(packed, targets)
    assert found is not None
    x = features(rows)
    slow, fast = np.zeros((rows, targets), "f4"), np.ones((rows, targets), "f4")
    votes = [vote for leaf in packed.leaves for vote in leaf]
    kernels.call(
        "gather", slow, np.zeros((rows, targets), "u1"), np.zeros((len(packed.trees), 64), "u4"), x,
        packed.nodes, packed.trees,
        np.cumsum([0, *map(len, packed.leaves)]).astype("u4"),
        np.array([target for target, _ in votes], "u4"),
        np.array([weight for _, weight in votes], "f4"),
        rows, FEATURES, len(packed.trees), targets, packed.shift, packed.has_nan, 0,
    )  # fmt: skip
    kernels.call(
        "sum_apart", fast, np.zeros((len(found.shapes), block), "u4"), x, packed.nodes,
        found.shapes, found.leaf_counts, found.trees.astype("u2"), found.ends,
        found.votes.astype("f4"), rows, FEATURES, len(found.shapes), targets, packed.shift,
        packed.has_nan, block,
    )  # fmt: skip
    np.testing.assert_array_equal(fast, slow)


def test_a_tree_that_votes_for_two_is_not_apart() -> None:
    forest = forest_of(2, 2, 1)
    forest.votes[forest.yes[2]] = [(1, 0.5)]
    assert apart(pack(forest), 2) is None
