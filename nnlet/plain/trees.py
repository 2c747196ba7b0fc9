"""Tree ensembles of ai.onnx.ml, as gathers.

All rows walk all trees together: `at` [rows, trees] is where each is, and a step gathers the
nodes' features and thresholds, the rows' values of those features, and the next nodes. A leaf
leads to itself, so as many steps as the deepest tree has levels bring every row to a leaf.
(Matrix products are slower: dev/trees_openvino/README.md.)

Features are compared as FLOAT, the type in which OpenVINO computes DOUBLE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from nnlet.compiler.graph import Array
from nnlet.compiler.ops import tree_attributes
from nnlet.compiler.ops.forest import Forest
from nnlet.compiler.ops.scores import TRANSFORMS, labels_of, transform_of
from nnlet.compiler.ops.tree_attributes import floats
from nnlet.compiler.ops.trees import AGGREGATES
from nnlet.compiler.ops.trees import TRANSFORMS as NUMBERED
from nnlet.plain import scores
from nnlet.plain.builder import Builder, ints, real

NONE_VOTED = {"MIN": np.inf, "MAX": -np.inf}  # what changes no minimum, no maximum
MAX_DEPTH = 200  # levels: each is some nodes of the graph


def regressor(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html"""
    aggregate = str(b.attr("aggregate_function", "SUM"))
    targets = int(b.attr("n_targets", 1))
    base = floats(b, "base_values")
    forest = tree_attributes.from_lists(b, "target", targets, _is_double(b))
    _regress(b, forest, aggregate, targets, base, transform_of(b), TensorProto.FLOAT)


def ensemble(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html"""
    aggregate = _one_of(b, AGGREGATES, "aggregate_function", 1)
    transform = TRANSFORMS.index(_one_of(b, NUMBERED, "post_transform", 0))
    targets = int(b.attr("n_targets", 1))
    forest = tree_attributes.from_parts(b, targets, _is_double(b))
    _regress(b, forest, aggregate, targets, [], transform, b.type())


def classifier(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html"""
    transform, base, labels = transform_of(b), floats(b, "base_values"), labels_of(b)
    n = len(labels)
    if len(base) not in (0, 1, n):
        b.fail(f"{len(base)} base values for {n} classes")
    if n == 1 and transform != scores.PROBIT:
        transform = scores.NONE
    forest = tree_attributes.from_lists(b, "class", n, _is_double(b))
    sums, voted = _votes(b, forest, "SUM", n)
    if n == 2:
        _decide_pair(b, forest, sums, voted, base, labels, transform)
        return
    sums = scores.add_base(b, sums, base, n)
    if n == 1:
        scores.label(b, scores.choice(b, b.op("Greater", sums, real(0))), [0, 1])
    else:
        among = sums if base else _where(b, voted, sums, real(-np.inf))
        scores.label(b, b.first_highest(among, n), labels)
    b.result(1, scores.transform(b, sums, transform), TensorProto.FLOAT, 2)


def _decide_pair(
    b: Builder,
    forest: Forest,
    sums: str,
    voted: Voted,
    base: Sequence[float],
    labels: Sequence[int],
    transform: int,
) -> None:
    """Of two classes the votes may all be for one, and then are probabilities if none is
    negative. What onnxruntime decides differs by row: by whether it has a vote for the second."""
    votes = [vote for leaf in forest.votes.values() for vote in leaf]
    one_voted = len({target for target, _ in votes}) == 1
    positive = all(weight >= 0 for _, weight in votes)
    second = voted.column(b, 1)
    first_sum = b.column(sums, 0)
    sums = scores.add_base(b, sums, base, 2)
    if len(base) == 2:
        moved = b.op("Add", first_sum, real(base[1]))
        moved = b.op("Concat", b.op("Neg", moved), moved, axis=1)
        sums = _choose(b, second, moved, sums)
    sums = _where(b, voted, sums, real(0))
    score = _choose(b, second, b.column(sums, 1), b.column(sums, 0))
    index = scores.choice(b, b.op("Greater", score, real(0.5 if one_voted and positive else 0)))
    scores.label(b, index, labels if one_voted else [0, 1])
    both = scores.transform(b, sums, transform)
    if len(base) != 2:
        alone = scores.pair(b, b.column(sums, 0), transform, one_voted and positive)
        both = _choose(b, second, both, alone)
    b.result(1, both, TensorProto.FLOAT, 2)


def _regress(
    b: Builder,
    forest: Forest,
    aggregate: str,
    targets: int,
    base: Sequence[float],
    transform: int,
    out: int,
) -> None:
    if aggregate not in AGGREGATES:
        b.fail(f"unknown aggregate_function {aggregate!r}")
    if len(base) not in (0, targets):
        b.fail(f"{len(base)} base values for {targets} targets")
    if targets == 1 and transform != scores.PROBIT:
        transform = scores.NONE  # as onnxruntime: a single target has no other transform
    sums, voted = _votes(b, forest, aggregate, targets)
    if aggregate == "AVERAGE":
        sums = b.op("Div", sums, real(max(len(forest.roots), 1)))
    y = _where(b, voted, scores.add_base(b, sums, base, targets), real(0))
    y = scores.transform(b, y, transform)
    b.result(0, y if out == TensorProto.FLOAT else b.cast(y, out), out, 2)


def _one_of(b: Builder, names: Sequence[str], name: str, default: int) -> str:
    """What the attribute means, which is a place in `names`."""
    at = int(b.attr(name, default))
    if not 0 <= at < len(names):
        b.fail(f"unknown {name} {at}")
    return names[at]


def _is_double(b: Builder) -> bool:
    return b.type() == TensorProto.DOUBLE


@dataclass(frozen=True)
class Voted:
    """Which targets a row has votes for: the same for `all` rows, or BOOL [rows, n] `by_row`."""

    all: Array
    by_row: str | None

    def column(self, b: Builder, at: int) -> str | bool:
        """Whether there are votes for one target: known now, or BOOL [rows, 1]."""
        return bool(self.all[at]) if self.by_row is None else b.column(self.by_row, at)


def _where(b: Builder, voted: Voted, x: str, other: Array) -> str:
    if voted.by_row is not None:
        return b.op("Where", voted.by_row, x, other)
    return x if voted.all.all() else b.op("Where", voted.all[None], x, other)


def _choose(b: Builder, condition: str | bool, yes: str, no: str) -> str:
    if isinstance(condition, str):
        return b.op("Where", condition, yes, no)
    return yes if condition else no


@dataclass(frozen=True)
class Tables:
    """The nodes that roots lead to, by number: what a walk gathers. A leaf leads to itself."""

    features: Array  # those that are asked for
    feature: Array  # the place in `features` of each node's
    threshold: Array
    nan_yes: Array
    yes: Array
    no: Array
    roots: Array
    votes: Array  # [nodes, n]: each leaf's
    voted: Array  # [nodes, n]: whether there is one
    depth: int


def _votes(b: Builder, forest: Forest, aggregate: str, n: int) -> tuple[str, Voted]:
    """The votes of all trees for n targets, taken together: [rows, n]."""
    t = _tables(b, forest, aggregate, n)
    x = b.matrix(b.reals())
    at = _walk(b, x, t)
    op = {"MIN": "ReduceMin", "MAX": "ReduceMax"}.get(aggregate, "ReduceSum")
    sums = b.reduce(op, b.op("Gather", t.votes, at), 1, keepdims=False)
    leaves = t.voted[sorted(_leaves(t))]
    if (leaves == leaves[:1]).all():
        return sums, Voted(leaves[0], None)
    counts = b.op("Gather", t.voted.astype(np.float32), at)
    any_vote = b.reduce("ReduceMax", counts, 1, keepdims=False)
    return sums, Voted(leaves[0], b.op("Greater", any_vote, real(0)))


def _leaves(t: Tables) -> list[int]:
    return [int(n) for n in np.flatnonzero(t.yes == np.arange(len(t.yes)))]


def _walk(b: Builder, x: str, t: Tables) -> str:
    """Where each row of x [rows, features] arrives in each tree: INT32 [rows, trees]."""
    # Only what is asked for. An x with too few features ends here: GatherElements would read on.
    x = b.op("Gather", x, t.features, axis=1)
    shape = b.op("Concat", b.rows(x), ints(1), axis=0)
    at = b.op("Expand", t.roots[None], shape)
    if t.depth == 0:
        return at
    # At the roots all rows have the same features and thresholds.
    roots = t.roots
    value = b.op("Gather", x, t.feature[roots], axis=1)
    nan = t.nan_yes[roots][None] if t.nan_yes.any() else None
    at = b.op("Where", _is_yes(b, value, t.threshold[roots][None], nan), t.yes[roots], t.no[roots])
    feature, threshold, yes, no = map(b.constant, (t.feature, t.threshold, t.yes, t.no))
    nan_yes = b.constant(t.nan_yes) if t.nan_yes.any() else None
    for _ in range(t.depth - 1):
        value = b.op("GatherElements", x, b.op("Gather", feature, at), axis=1)
        missing = None if nan_yes is None else b.op("Gather", nan_yes, at)
        is_yes = _is_yes(b, value, b.op("Gather", threshold, at), missing)
        at = b.op("Where", is_yes, b.op("Gather", yes, at), b.op("Gather", no, at))
    return at


def _is_yes(b: Builder, value: str, threshold: str | Array, nan_yes: str | Array | None) -> str:
    below = b.op("LessOrEqual", value, threshold)
    if nan_yes is None:
        return below
    return b.op("Or", below, b.op("And", b.op("IsNaN", value), nan_yes))


def _tables(b: Builder, forest: Forest, aggregate: str, n: int) -> Tables:
    order, depth = _reachable(b, forest)
    number = {node: at for at, node in enumerate(order)}
    is_leaf = [forest.yes[node] < 0 for node in order]
    yes, no = (
        [
            at if leaf else number[to[node]]
            for at, (node, leaf) in enumerate(zip(order, is_leaf, strict=True))
        ]
        for to in (forest.yes, forest.no)
    )
    features, feature = np.unique([forest.feature[node] for node in order], return_inverse=True)
    return Tables(
        features=features.astype(np.int64),
        feature=feature.astype(np.int32),
        threshold=comparable(
            np.array([forest.threshold[node] for node in order], np.float64), _is_double(b)
        ),
        nan_yes=np.array([forest.nan_yes[node] for node in order], bool),
        yes=np.array(yes, np.int32),
        no=np.array(no, np.int32),
        roots=np.array([number[root] for root in forest.roots], np.int32),
        votes=_leaf_votes(forest, order, aggregate, n),
        voted=_leaf_voted(forest, order, n),
        depth=depth,
    )


def _leaf_votes(forest: Forest, order: Sequence[int], aggregate: str, n: int) -> Array:
    take = {"MIN": min, "MAX": max}.get(aggregate, float.__add__)
    votes = np.full((len(order), n), NONE_VOTED.get(aggregate, 0.0), np.float32)
    for at, node in enumerate(order):
        for target, weight in forest.votes.get(node, []):
            votes[at, target] = take(float(votes[at, target]), weight)
    return votes


def _leaf_voted(forest: Forest, order: Sequence[int], n: int) -> Array:
    voted = np.zeros((len(order), n), bool)
    for at, node in enumerate(order):
        voted[at, [target for target, _ in forest.votes.get(node, [])]] = True
    return voted


def _reachable(b: Builder, forest: Forest) -> tuple[list[int], int]:
    """The nodes that roots lead to, level by level, and the steps to the deepest leaf."""
    if not forest.roots:
        b.fail("it has no trees")
    order = dict.fromkeys(forest.roots)
    level, depth = set(forest.roots), 0
    while level := {to for node in level for to in (forest.yes[node], forest.no[node]) if to >= 0}:
        order.update(dict.fromkeys(sorted(level)))
        depth += 1
        if depth > MAX_DEPTH:
            b.unsupported(f"a tree with more than {MAX_DEPTH} levels, or a node below itself")
    return list(order), depth


def comparable(thresholds: Array, double: bool) -> Array:
    """float64 -> float32 such that OpenVINO decides x <= threshold as it is for each float32 x.

    That is the next float32 below. OpenVINO makes denormal constants zero, so none is used (and
    a denormal x may be decided wrong); and it cuts off an x that is `double` at the ends of
    float32, infinity included.
    """
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
    down = np.where(near > thresholds, below, near)
    limits = np.finfo(np.float32)
    down = np.where((down > 0) & (down < limits.tiny), np.float32(0), down)
    down = np.where((down < 0) & (down > -limits.tiny), -limits.tiny, down)
    if double:
        down = np.where(down == -np.inf, limits.min, down)
        down = np.where(down == limits.max, np.nextafter(limits.max, np.float32(0)), down)
    return down.astype(np.float32)
