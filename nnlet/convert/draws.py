"""The forests of all posterior draws as arrays, read from stochtree's JSON.

A draw is one forest; its trees keep nodes that were pruned while sampling, which go here. The
text has one object a tree, some hundred thousand of them: each becomes arrays as soon as it is
read, so that the whole never stands in memory as Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlet.convert.converted import Array
from nnlet.errors import ConvertError


@dataclass(frozen=True)
class Draws:
    """All nodes of all trees of all draws, draw after draw, a tree's root first.

    `tree` is the number of each node's tree, `number` its own in that tree. A split sends a row
    to the node `left` of its tree where x[feature] <= threshold, else to `right`; both are -1 for
    a leaf, which adds `value` to its draw, `draw`.
    """

    count: int
    tree: Array
    number: Array
    feature: Array
    threshold: Array
    left: Array
    right: Array
    value: Array
    draw: Array

    @property
    def trees(self) -> int:
        """In one draw."""
        return (int(self.tree[-1]) + 1) // self.count


@dataclass(frozen=True)
class _Tree:
    left: Array
    right: Array
    feature: Array
    threshold: Array
    value: Array
    kept: Array


def read(text: str) -> Draws:
    """The forests of what ForestContainer.dump_json_string gives.

    Raises ConvertError for what has no such form.
    """
    forests = json.loads(text, object_hook=_tree_or_dict)
    trees: list[_Tree] = []
    draw_of: list[int] = []
    count = sum(key.startswith("forest_") for key in forests)
    for draw in range(count):
        forest = forests[f"forest_{draw}"]
        found = [forest[f"tree_{n}"] for n in range(int(forest["num_trees"]))]
        trees += found
        draw_of += [draw] * len(found)
    return _joined(trees, draw_of, count)


def _tree_or_dict(found: dict[str, Any]) -> Any:
    if "split_index" not in found or "leaf_value" not in found:
        return found
    if found["has_categorical_split"]:
        raise ConvertError(
            "a tree splits by a set of categories, which stochtree for Python does not"
        )
    if found["output_dimension"] != 1 or found["is_log_scale"]:
        raise ConvertError("the leaves of its trees are no single numbers: fit without a basis")
    return _Tree(
        np.array(found["left"], np.int32),
        np.array(found["right"], np.int32),
        np.array(found["split_index"], np.int32),
        np.array(found["threshold"]),
        np.array(found["leaf_value"]),
        ~np.array(found["node_deleted"], bool),
    )


def _joined(trees: list[_Tree], draw_of: list[int], count: int) -> Draws:
    sizes = [len(tree.left) for tree in trees]
    number = np.concatenate([np.arange(size) for size in sizes])
    kept = np.concatenate([tree.kept for tree in trees])

    def all_of(arrays: Iterable[Array]) -> Array:
        return np.asarray(np.concatenate(list(arrays))[kept])

    left = all_of(tree.left for tree in trees)
    return Draws(
        count=count,
        tree=np.repeat(np.arange(len(trees)), sizes)[kept],
        number=number[kept],
        feature=np.where(left < 0, 0, all_of(tree.feature for tree in trees)),
        threshold=np.where(left < 0, 0, all_of(tree.threshold for tree in trees)),
        left=left,
        right=all_of(tree.right for tree in trees),
        value=all_of(tree.value for tree in trees),
        draw=np.repeat(draw_of, sizes)[kept],
    )
