"""The attributes of tree ensembles, as a Forest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnlet.compiler.attributes import Attributes
from nnlet.compiler.ops.forest import Forest

# TreeEnsemble gives a mode as its place in the list.
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")
BRANCHES = frozenset(f"BRANCH_{mode}" for mode in MODES[:-1])  # what the lists call them


def from_lists(s: Attributes, kind: str, targets: int, double: bool) -> Forest:
    """From the attributes that classifier and regressor share; `kind` names the votes'.

    `double`: the input is of float64.
    """
    values = floats(s, "nodes_values")
    modes = s.attr("nodes_modes", [])
    feature, yes, no = (
        s.attr(f"nodes_{n}", []) for n in ("featureids", "truenodeids", "falsenodeids")
    )
    missing = s.attr("nodes_missing_value_tracks_true") or [0] * len(modes)
    trees, numbers = s.attr("nodes_treeids", []), s.attr("nodes_nodeids", [])
    _check_lengths(s, "nodes_", modes, values, feature, yes, no, missing, trees, numbers)
    keys = list(zip(trees, numbers, strict=True))
    forest = Forest(_real(s, "nodes_values_as_tensor", double))
    forest.add(len(modes))
    place = {key: n for n, key in enumerate(keys)}
    if len(place) < len(keys):
        s.fail("a node is there twice")
    for n, (tree, _) in enumerate(keys):
        if n == 0 or keys[n - 1][0] != tree:
            forest.roots.append(n)
        if modes[n] == "LEAF":
            forest.votes[n] = []
            continue
        if modes[n] not in BRANCHES or feature[n] < 0:
            s.fail(f"node {keys[n]} has mode {modes[n]!r}, feature {feature[n]}")
        if (tree, yes[n]) not in place or (tree, no[n]) not in place:
            s.fail(f"node {keys[n]} leads to a node that is not there")
        forest.split(
            n,
            modes[n],
            feature[n],
            values[n],
            missing[n] == 1,
            place[tree, yes[n]],
            place[tree, no[n]],
        )
    _add_votes(s, forest, kind, targets, place)
    return forest


def _add_votes(
    s: Attributes, forest: Forest, kind: str, targets: int, place: dict[tuple[int, int], int]
) -> None:
    ids, trees, nodes = (s.attr(f"{kind}_{n}", []) for n in ("ids", "treeids", "nodeids"))
    weights = floats(s, f"{kind}_weights")
    _check_lengths(s, f"{kind}_", ids, trees, nodes, weights)
    for target, tree, node, weight in zip(ids, trees, nodes, weights, strict=True):
        at = place.get((tree, node))
        if at is None or not 0 <= target < targets:
            s.fail(f"a vote for {kind} {target} of {targets} in node {(tree, node)}")
        if at in forest.votes:  # those of splits are never counted
            forest.votes[at].append((target, weight))
    if targets == 1:  # a leaf without a vote votes for 0, as in onnxruntime
        for votes in forest.votes.values():
            votes[:] = votes or [(0, 0.0)]


def from_parts(s: Attributes, targets: int, double: bool) -> Forest:
    """From the attributes of TreeEnsemble: splits and leaves apart."""
    splits: Any = s.attr("nodes_splits")
    modes = [int(m) for m in s.attr("nodes_modes").reshape(-1)]
    values = [float(v) for v in splits.reshape(-1)]
    feature, yes, no, yes_leaf, no_leaf = (
        s.attr(f"nodes_{name}")
        for name in ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    )
    missing = s.attr("nodes_missing_value_tracks_true") or [0] * len(modes)
    _check_lengths(s, "nodes_", modes, values, feature, yes, no, missing, yes_leaf, no_leaf)
    forest = Forest(_real(s, "nodes_splits", double))
    first = forest.add(len(modes))
    weights = [float(w) for w in s.attr("leaf_weights").reshape(-1)]
    leaf_targets = s.attr("leaf_targetids")
    if len(weights) != len(leaf_targets) or not all(0 <= t < targets for t in leaf_targets):
        s.fail(f"the leaves' targets are not all among {targets}")
    leaves = [forest.leaf([vote]) for vote in zip(leaf_targets, weights, strict=True)]
    members = _memberships(s)

    def node(index: int, is_leaf: int) -> int:
        among = leaves if is_leaf else range(first, first + len(modes))
        if not 0 <= index < len(among):
            s.fail(f"no node or leaf {index}")
        return among[index]

    for n, mode in enumerate(modes):
        if not 0 <= mode < len(MODES) or feature[n] < 0:
            s.fail(f"node {n} has mode {mode}, feature {feature[n]}")
        ends = node(yes[n], yes_leaf[n]), node(no[n], no_leaf[n])
        if MODES[mode] == "MEMBER":
            if not members:
                s.fail("fewer sets in membership_values than nodes that test for one")
            for_nan = ends[0] if missing[n] == 1 else ends[1]
            forest.member(n, feature[n], members.pop(0), *ends, for_nan)
        else:
            forest.split(n, f"BRANCH_{MODES[mode]}", feature[n], values[n], missing[n] == 1, *ends)
    forest.roots = [node(root, 0) for root in s.attr("tree_roots")]
    return forest


def _check_lengths(s: Attributes, prefix: str, *lists: Sequence[Any]) -> None:
    if len({len(each) for each in lists}) > 1:
        s.fail(f"the {prefix} attributes differ in length")


def _memberships(s: Attributes) -> list[list[float]]:
    """The sets in membership_values: a NaN ends each."""
    sets: list[list[float]] = [[]]
    values: Any = s.attr("membership_values", np.zeros(0))
    for value in values.reshape(-1):
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(float(value))
    return sets


def floats(s: Attributes, name: str) -> list[float]:
    """A list of numbers, or the tensor of doubles that may stand for it."""
    tensor = s.attr(f"{name}_as_tensor")
    return [float(x) for x in (s.attr(name, []) if tensor is None else tensor.reshape(-1))]


def _real(s: Attributes, thresholds: str, double: bool) -> type[np.floating[Any]]:
    """The type in which features meet thresholds: double if either is, as onnxruntime."""
    array = s.attr(thresholds)
    stored = array is not None and array.dtype == np.float64
    return np.float64 if double or stored else np.float32
