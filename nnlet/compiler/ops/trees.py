"""Tree ensembles of ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnlet.carrier import numpy_dtype
from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops import scores, tree_attributes
from nnlet.compiler.ops.cast import converted
from nnlet.compiler.ops.forest import LANES, Apart, Forest, Packed, apart, pack
from nnlet.compiler.ops.tree_attributes import floats
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES, DataType

FP64 = DATATYPES["FP64"]
UINT8 = DATATYPES["UINT8"]
UINT16 = DATATYPES["UINT16"]
UINT32 = DATATYPES["UINT32"]
BLOCK = 64  # trees.c: TREE_BLOCK
FEW_SHAPES = 4096  # up to so many, what BLOCK rows find in all of them stays in the cache
# TreeEnsemble gives these as their place in the list.
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def regressor(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html"""
    aggregate = str(s.attr("aggregate_function", "SUM"))
    targets = int(s.attr("n_targets", 1))
    base = floats(s, "base_values")
    transform = scores.transform_of(s)
    forest = tree_attributes.from_lists(s, "target", targets, s.input(0).dtype is FP64)
    _regress(s, forest, aggregate, targets, base, transform, FP32)


def ensemble(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html"""
    aggregate = _one_of(s, AGGREGATES, "aggregate_function", 1)
    transform = scores.TRANSFORMS.index(_one_of(s, TRANSFORMS, "post_transform", 0))
    targets = int(s.attr("n_targets", 1))
    forest = tree_attributes.from_parts(s, targets, s.input(0).dtype is FP64)
    _regress(s, forest, aggregate, targets, [], transform, s.input(0).dtype)


def _one_of(s: Site, names: Sequence[str], name: str, default: int) -> str:
    """What the attribute means, which is a place in `names`."""
    at = int(s.attr(name, default))
    if not 0 <= at < len(names):
        s.fail(f"unknown {name} {at}")
    return names[at]


def classifier(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html"""
    transform = scores.transform_of(s)
    base = floats(s, "base_values")
    labels = scores.labels_of(s)
    n = len(labels)
    if len(base) not in (0, 1, n):
        s.fail(f"{len(base)} base values for {n} classes")
    if n == 1 and transform != scores.PROBIT:
        transform = 0
    forest = tree_attributes.from_lists(s, "class", n, s.input(0).dtype is FP64)
    votes = [vote for leaf in forest.votes.values() for vote in leaf]
    one_voted = n == 2 and len({target for target, _ in votes}) == 1
    positive = all(weight >= 0 for _, weight in votes)
    x, dtype = _features(s, forest)
    rows, _ = scores.rows_and_features(s)
    label = scores.label_output(s, rows)
    y = s.output(1, FP32, (rows, n))
    sums, voted, voted_step = _votes(s, x, pack(forest), dtype, "SUM", n)
    if n > 2 and base:
        voted, voted_step = s.value_of(np.ones(n, np.uint8)), 0
    s.call(
        "scores.classify", (dtype, FP32), label, y, sums, voted, voted_step,
        s.value_of(np.array(base, forest.real)) if base else None, len(base),
        s.value_of(np.array(labels, np.int64)), rows, n, transform, one_voted, positive,
    )  # fmt: skip


def _regress(
    s: Site,
    forest: Forest,
    aggregate: str,
    targets: int,
    base: Sequence[float],
    transform: int,
    out: DataType,
) -> None:
    if aggregate not in AGGREGATES:
        s.fail(f"unknown aggregate_function {aggregate!r}")
    if len(base) not in (0, targets):
        s.fail(f"{len(base)} base values for {targets} targets")
    if targets == 1 and transform != scores.PROBIT:
        transform = 0  # as onnxruntime: a single target has no other transform
    x, dtype = _features(s, forest)
    rows, _ = scores.rows_and_features(s)
    y = s.output(0, out, (rows, targets))
    sums, voted, voted_step = _votes(s, x, pack(forest), dtype, aggregate, targets)
    bases = s.value_of(np.array(base, forest.real)) if base else None
    divisor = max(len(forest.roots), 1) if aggregate == "AVERAGE" else 1
    s.call(
        "scores.transform", (dtype, out), y, sums, voted, voted_step, bases, rows, targets,
        divisor, transform,
    )  # fmt: skip


def _features(s: Site, forest: Forest) -> tuple[Value, DataType]:
    """The input in the type in which the trees compare; checks that it has enough columns."""
    dtype = FP64 if forest.real is np.float64 else FP32
    _, features = scores.rows_and_features(s)
    needed = 1 + max(forest.feature, default=-1)
    if isinstance(features, int) and features < needed:
        s.fail(f"it looks at feature {needed - 1} of {features}")
    if not isinstance(features, int):
        text = d.c(features)
        s.check(f"{text} >= {needed}", f"{needed} features expected, %d given", text)
    return converted(s, s.input(0), dtype), dtype


def _votes(
    s: Site, x: Value, packed: Packed, dtype: DataType, aggregate: str, n: int
) -> tuple[Value, Value, Dim]:
    """The votes of all trees for n targets, and who voted with its stride from row to row."""
    summed = aggregate in ("SUM", "AVERAGE")
    columns = _columns(packed, n) if summed else []
    if summed and not columns and (found := apart(packed, n)):
        return _sum_apart(s, x, packed, found, dtype, n)
    rows, features = scores.rows_and_features(s)
    link, real = _link(packed), _real(dtype)
    tree_count = len(packed.trees)
    sums = s.scratch(dtype, (rows, n))
    leaves = s.scratch(UINT32, (tree_count, BLOCK))
    nodes, trees = s.value_of(packed.nodes), s.value_of(packed.trees)
    if columns:
        votes = np.zeros((len(packed.leaves), len(columns)), real)
        for number, leaf in enumerate(packed.leaves):
            for target, weight in leaf:
                votes[number, target - columns[0]] = weight
        s.call(
            "trees.sum_dense", (dtype, link), sums, leaves, x, nodes, trees, s.value_of(votes),
            rows, features, tree_count, n, columns[0], len(columns), packed.shift, packed.has_nan,
        )  # fmt: skip
        voted = np.zeros(n, np.uint8)
        voted[columns] = 1
        return sums, s.value_of(voted), 0
    first = np.cumsum([0, *(len(leaf) for leaf in packed.leaves)]).astype(np.uint32)
    targets = np.array([t for leaf in packed.leaves for t, _ in leaf], np.uint32)
    weights = np.array([w for leaf in packed.leaves for _, w in leaf], real)
    voted_rows = s.scratch(UINT8, (rows, n))
    s.call(
        "trees.gather", (dtype, link), sums, voted_rows, leaves, x, nodes, trees,
        s.value_of(first), s.value_of(targets), s.value_of(weights), rows, features, tree_count,
        n, packed.shift, packed.has_nan, max(AGGREGATES.index(aggregate) - 1, 0),
    )  # fmt: skip
    return sums, voted_rows, n


def _sum_apart(
    s: Site, x: Value, packed: Packed, found: Apart, dtype: DataType, n: int
) -> tuple[Value, Value, Dim]:
    """The votes where each tree has one target."""
    rows, features = scores.rows_and_features(s)
    shape_count = len(found.shapes)
    block = BLOCK if shape_count <= FEW_SHAPES else LANES
    number = UINT16 if shape_count <= 2**16 else UINT32
    sums = s.scratch(dtype, (rows, n))
    s.call(
        "trees.sum_apart", (dtype, _link(packed), number), sums,
        s.scratch(UINT32, (shape_count, block)), x, s.value_of(packed.nodes),
        s.value_of(found.shapes), s.value_of(found.leaf_counts),
        s.value_of(found.trees.astype(numpy_dtype(number))), s.value_of(found.ends),
        s.value_of(found.votes.astype(_real(dtype))), rows, features, shape_count, n,
        packed.shift, packed.has_nan, block,
    )  # fmt: skip
    return sums, s.value_of(found.voted), 0


def _link(packed: Packed) -> DataType:
    return DATATYPES[f"INT{8 * packed.link_size}"]


def _real(dtype: DataType) -> type[np.floating[Any]]:
    return np.float64 if dtype is FP64 else np.float32


def _columns(packed: Packed, n: int) -> list[int]:
    """The targets that every leaf votes for, once each; [] if they are not one run or vary."""
    leaves = packed.leaves[: packed.padding]
    columns = sorted(target for target, _ in leaves[0]) if leaves else []
    if not columns or columns != list(range(columns[0], columns[0] + len(columns))):
        return []
    same = all(sorted(target for target, _ in leaf) == columns for leaf in leaves)
    return columns if same else []
