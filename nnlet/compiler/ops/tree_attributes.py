"""The attributes of tree ensembles, as a Forest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlet.compiler.attributes import Attributes
from nnlet.compiler.graph import Array
from nnlet.compiler.ops.forest import Forest

# TreeEnsemble gives a mode as its place in the list.
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")
BRANCHES = frozenset(f"BRANCH_{mode}" for mode in MODES[:-1])  # what the lists call them


def from_lists(s: Attributes, kind: str, targets: int, double: bool) -> Forest:
    """From the attributes that classifier and regressor share; `kind` names the votes'.

    `double`: the input is of float64.
    """
    values = np.array(floats(s, "nodes_values"))
    modes = np.array(s.attr("nodes_modes", []), str)
    feature, yes, no = (
        _integers(s, f"nodes_{n}") for n in ("featureids", "truenodeids", "falsenodeids")
    )
    missing = np.array(s.attr("nodes_missing_value_tracks_true") or [0] * len(modes)) == 1
    trees, numbers = _integers(s, "nodes_treeids"), _integers(s, "nodes_nodeids")
    _check_lengths(s, "nodes_", modes, values, feature, yes, no, missing, trees, numbers)
    nodes = _Nodes.of(trees, numbers)
    if nodes.repeated:
        s.fail("a node is there twice")
    is_leaf = modes == "LEAF"
    split = np.flatnonzero(~is_leaf)
    for n in split[~np.isin(modes[split], list(BRANCHES)) | (feature[split] < 0)][:1]:
        mode = str(modes[n])
        s.fail(f"node {nodes.name(n)} has mode {mode!r}, feature {feature[n]}")
    ends = [np.full(len(modes), -1), np.full(len(modes), -1)]
    for to, side in zip(ends, (yes, no), strict=True):
        to[split] = nodes.find(trees[split], side[split])
    for n in split[(ends[0][split] < 0) | (ends[1][split] < 0)][:1]:
        s.fail(f"node {nodes.name(n)} leads to a node that is not there")
    forest = Forest(_real(s, "nodes_values_as_tensor", double))
    forest.add_splits(modes, feature, values, missing, *ends)
    forest.votes.update((n, []) for n in np.flatnonzero(is_leaf).tolist())
    forest.roots = np.flatnonzero(np.diff(trees, prepend=trees[:1] - 1)).tolist()
    for n in np.flatnonzero(np.isin(modes, ("BRANCH_EQ", "BRANCH_NEQ"))).tolist():
        yes_at, no_at = int(ends[0][n]), int(ends[1][n])
        forest.split(
            n, str(modes[n]), int(feature[n]), float(values[n]), bool(missing[n]), yes_at, no_at
        )
    _add_votes(s, forest, kind, targets, nodes)
    return forest


@dataclass(frozen=True)
class _Nodes:
    """Nodes by the number of their tree and their own in it; their place is that in the lists.

    `codes` are sorted numbers for the pairs, `order` the places in that order.
    """

    trees: Array
    numbers: Array
    tree_numbers: Array
    node_numbers: Array
    codes: Array
    order: Array

    @classmethod
    def of(cls, trees: Array, numbers: Array) -> _Nodes:
        tree_numbers, tree = np.unique(trees, return_inverse=True)
        node_numbers, node = np.unique(numbers, return_inverse=True)
        codes = tree * max(len(node_numbers), 1) + node
        order = np.argsort(codes, kind="stable")
        return cls(trees, numbers, tree_numbers, node_numbers, codes[order], order)

    @property
    def repeated(self) -> bool:
        return bool((np.diff(self.codes) == 0).any())

    def name(self, place: int) -> tuple[int, int]:
        """For messages."""
        return int(self.trees[place]), int(self.numbers[place])

    def find(self, trees: Array, numbers: Array) -> Array:
        """The places of nodes; -1 for those that are not there."""
        tree, known_tree = _among(self.tree_numbers, trees)
        node, known_node = _among(self.node_numbers, numbers)
        code, known = _among(self.codes, tree * max(len(self.node_numbers), 1) + node)
        if not len(self.order):
            return np.full(len(trees), -1)
        return np.where(known & known_tree & known_node, self.order[code], -1)


def _among(values: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each of `wanted` is in sorted `values`, and whether it is."""
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return at, values[at] == wanted


def _integers(s: Attributes, name: str) -> Array:
    return np.array(s.attr(name, []), np.int64)


def _add_votes(s: Attributes, forest: Forest, kind: str, targets: int, nodes: _Nodes) -> None:
    ids, trees, numbers = (_integers(s, f"{kind}_{n}") for n in ("ids", "treeids", "nodeids"))
    weights = floats(s, f"{kind}_weights")
    _check_lengths(s, f"{kind}_", ids, trees, numbers, weights)
    places = nodes.find(trees, numbers)
    for n in np.flatnonzero((places < 0) | ~_within(ids, targets))[:1]:
        node = int(trees[n]), int(numbers[n])
        s.fail(f"a vote for {kind} {ids[n]} of {targets} in node {node}")
    for at, target, weight in zip(places.tolist(), ids.tolist(), weights, strict=True):
        if at in forest.votes:  # those of splits are never counted
            forest.votes[at].append((target, weight))
    if targets == 1:  # a leaf without a vote votes for 0, as in onnxruntime
        for votes in forest.votes.values():
            votes[:] = votes or [(0, 0.0)]


def from_parts(s: Attributes, targets: int, double: bool) -> Forest:
    """From the attributes of TreeEnsemble: splits and leaves apart."""
    modes = np.asarray(s.attr("nodes_modes", [])).reshape(-1).astype(np.int64)
    values, weights = (
        np.asarray(s.attr(name, [])).reshape(-1) for name in ("nodes_splits", "leaf_weights")
    )
    feature, yes, no, yes_leaf, no_leaf = (
        _integers(s, f"nodes_{name}")
        for name in ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    )
    missing = np.array(s.attr("nodes_missing_value_tracks_true") or [0] * len(modes)) == 1
    _check_lengths(s, "nodes_", modes, values, feature, yes, no, missing, yes_leaf, no_leaf)
    leaf_targets = _integers(s, "leaf_targetids")
    if len(weights) != len(leaf_targets) or not _within(leaf_targets, targets).all():
        s.fail(f"the leaves' targets are not all among {targets}")
    for n in np.flatnonzero(~_within(modes, len(MODES)) | (feature < 0))[:1]:
        s.fail(f"node {n} has mode {modes[n]}, feature {feature[n]}")
    counts = {0: len(modes), 1: len(weights)}

    def places(index: Array, is_leaf: Array) -> Array:
        """Splits come first, then leaves."""
        known = _within(index, np.where(is_leaf != 0, counts[1], counts[0]))
        for n in np.flatnonzero(~known)[:1]:
            s.fail(f"no node or leaf {index[n]}")
        return np.where(is_leaf != 0, index + counts[0], index)

    ends = places(yes, yes_leaf), places(no, no_leaf)
    forest = Forest(_real(s, "nodes_splits", double))
    names = np.array([f"BRANCH_{mode}" for mode in MODES])[modes]
    forest.add_splits(names, feature, values, missing, *ends)
    forest.add_leaves(leaf_targets.tolist(), weights.tolist())
    members = _memberships(s)
    for n in np.flatnonzero(modes >= MODES.index("EQ")).tolist():
        column, yes_at, no_at = int(feature[n]), int(ends[0][n]), int(ends[1][n])
        if MODES[modes[n]] != "MEMBER":
            value = float(values[n])
            forest.split(n, names[n], column, value, bool(missing[n]), yes_at, no_at)
            continue
        if not members:
            s.fail("fewer sets in membership_values than nodes that test for one")
        for_nan = yes_at if missing[n] else no_at
        forest.member(n, column, members.pop(0), yes_at, no_at, for_nan)
    roots = _integers(s, "tree_roots")
    forest.roots = places(roots, np.zeros_like(roots)).tolist()
    return forest


def _within(index: Array, count: Array | int) -> Array:
    found: Array = (index >= 0) & (index < count)
    return found


def _check_lengths(s: Attributes, prefix: str, *lists: Sequence[Any] | Array) -> None:
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
