"""Decision trees as data: read from attributes, made of one kind of node, packed for trees.c."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nnlet.compiler.graph import Array
from nnlet.errors import CompileError

LANES = 8  # trees.c: so many trees are walked at once
NAN_BITS = {4: 0x7FC00000, 8: 0x7FF8000000000000}
LEAF_BITS = {4: 22, 8: 32}  # bits of a leaf's number that fit its NaN


@dataclass
class Forest:
    """Nodes of all trees, by index; each is a split or a leaf.

    A split goes to `yes` where x[feature] <= threshold, or where x[feature] is NaN and
    `nan_yes` is set; else to `no`. A leaf has a list of (target, weight) in `votes`.
    """

    real: type[np.floating]  # float32 or float64: the type in which x is compared
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    nan_yes: list[bool] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    votes: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)

    def add(self, count: int = 1) -> int:
        """Makes room for `count` nodes; the index of the first."""
        first = len(self.feature)
        self.feature += [0] * count
        self.threshold += [math.nan] * count
        self.nan_yes += [False] * count
        self.yes += [-1] * count
        self.no += [-1] * count
        return first

    def leaf(self, votes: list[tuple[int, float]]) -> int:
        """Adds a leaf."""
        at = self.add()
        self.votes[at] = votes
        return at

    def split(
        self, at: int, mode: str, feature: int, value: float, nan_yes: bool, yes: int, no: int
    ) -> None:
        """Makes node `at` the ONNX node of that mode, as one or more splits by <=."""
        if mode in ("BRANCH_EQ", "BRANCH_NEQ"):
            equal = mode == "BRANCH_EQ"
            inside, outside = (yes, no) if equal else (no, yes)
            self.member(at, feature, [value], inside, outside, yes if nan_yes else outside)
            return
        if mode in ("BRANCH_GT", "BRANCH_GTE"):
            # x > t is the other way round, and so is where NaN goes.
            yes, no, nan_yes = no, yes, not nan_yes
            if math.isnan(value):
                value = math.inf  # nothing is above NaN: all go the way of x <= t
        if mode in ("BRANCH_LT", "BRANCH_GTE"):
            value = self.below(value)
        self._set(at, feature, value, nan_yes, yes, no)

    def member(
        self,
        at: int,
        feature: int,
        values: Sequence[float],
        inside: int,
        outside: int,
        for_nan: int,
    ) -> None:
        """Makes node `at` the question whether x is one of `values`: a search by halves.

        The cuts are every value and what lies directly below it, so each value is alone
        between two cuts. NaN, never below a cut, ends above the last: outside.
        """
        wanted = {float(self.real(v)) + 0.0 for v in values if not math.isnan(v)}
        cuts = sorted(wanted | {b for b in map(self.below, wanted) if not math.isnan(b)})
        targets = [inside if cut in wanted else outside for cut in cuts] + [outside]
        if for_nan != outside:
            search = self.add()
            self._set(at, feature, math.nan, True, for_nan, search)
            at = search
        self._search(at, feature, cuts, targets)

    def _search(self, at: int, feature: int, cuts: Sequence[float], targets: Sequence[int]) -> None:
        """Node `at` leads to targets[k] where x is above k of the cuts."""
        if not cuts:
            self._set(at, feature, math.nan, False, targets[0], targets[0])
            return
        middle = len(cuts) // 2
        sides = []
        for part, ends in (
            (cuts[:middle], targets[: middle + 1]),
            (cuts[middle + 1 :], targets[middle + 1 :]),
        ):
            side = ends[0]
            if part:
                side = self.add()
                self._search(side, feature, part, ends)
            sides.append(side)
        self._set(at, feature, cuts[middle], False, sides[0], sides[1])

    def _set(
        self, at: int, feature: int, threshold: float, nan_yes: bool, yes: int, no: int
    ) -> None:
        self.feature[at], self.threshold[at] = feature, threshold
        self.nan_yes[at], self.yes[at], self.no[at] = nan_yes, yes, no

    def below(self, value: float) -> float:
        """The largest number below `value`; NaN if there is none."""
        if value == -math.inf:
            return math.nan
        return float(np.nextafter(self.real(value), self.real(-math.inf)))


@dataclass(frozen=True)
class Packed:
    """A Forest as trees.c reads it; the layout is described there.

    `leaves` holds every leaf's votes in the order of their numbers, tree after tree; those from
    `padding` on are of trees that were added.
    """

    nodes: Array
    link_size: int
    shift: int
    trees: Array
    leaves: list[list[tuple[int, float]]]
    padding: int
    has_nan: bool


def pack(forest: Forest) -> Packed:
    """Lays out the trees one after the other, each breadth first.

    Trees without votes are added up to a multiple of LANES.
    """
    size = np.dtype(forest.real).itemsize
    roots = list(forest.roots)
    added = -len(roots) % LANES if roots else LANES
    roots += [forest.leaf([]) for _ in range(added)]
    order: list[int] = []  # the node of each place
    steps: list[int] = []  # from there to the place of its `no`; 0 for a leaf
    leaf_places: list[int] = []
    leaf_numbers: list[int] = []
    leaves: list[list[tuple[int, float]]] = []
    trees: list[tuple[int, int]] = []
    for root in roots:
        trees.append((len(order), len(leaves)))
        numbers = _place(forest, root, order, steps)
        for place, node in numbers:
            leaf_places.append(place)
            leaf_numbers.append(len(leaves) - trees[-1][1])
            leaves.append(forest.votes.get(node, []))
    if max(leaf_numbers) >> LEAF_BITS[size]:
        raise CompileError(f"a tree with more than {2 ** LEAF_BITS[size]} leaves")
    chosen = np.array(order, np.int64)
    thresholds = np.array(forest.threshold, np.float64).astype(forest.real)[chosen]
    bits = thresholds.view(f"u{size}")
    bits[leaf_places] = np.array(leaf_numbers, np.uint64) | np.uint64(NAN_BITS[size])
    feature = np.array(forest.feature, np.int64)[chosen]
    nan_yes = np.array(forest.nan_yes, bool)[chosen]
    feature_bits = max(int(feature.max()).bit_length(), 1)
    shift = feature_bits + 1
    links = np.array(steps, np.int64) << shift | nan_yes.astype(np.int64) << feature_bits | feature
    narrow = size == 4 and shift < 31 and -(2**31) <= links.min() and links.max() < 2**31
    link_size = 4 if narrow else 8
    record = np.dtype([("threshold", forest.real), ("link", f"i{link_size}")], align=True)
    nodes = np.zeros(len(order), record)
    nodes["threshold"].view(f"u{size}")[:] = bits
    nodes["link"] = links
    return Packed(
        nodes.view(np.uint8),
        link_size,
        shift,
        np.array(trees, np.uint32),
        leaves,
        len(leaves) - added,
        bool(nan_yes.any()),
    )


def _place(forest: Forest, root: int, order: list[int], steps: list[int]) -> list[tuple[int, int]]:
    """Appends one tree to `order` and `steps`; its leaves as (place, node).

    A node that several lead to has several places, and its children one.
    """
    leaves: list[tuple[int, int]] = []
    children: dict[int, int] = {}  # node -> place of its `no`; `yes` is the next
    shared = False
    order.append(root)
    steps.append(0)
    queue = deque([len(order) - 1])
    while queue:
        place = queue.popleft()
        node = order[place]
        if forest.yes[node] < 0:
            leaves.append((place, node))
            continue
        at = children.get(node)
        if at is None:
            at = children[node] = len(order)
            order += [forest.no[node], forest.yes[node]]
            steps += [0, 0]
            queue += [at, at + 1]
        else:
            shared = True
        steps[place] = at - place
    if shared:
        _check_acyclic(forest, children)
    return leaves


def _check_acyclic(forest: Forest, splits: dict[int, int]) -> None:
    """Raises CompileError where a walk down from some of `splits` would never end."""
    parents = dict.fromkeys(splits, 0)
    for node in splits:
        for child in (forest.yes[node], forest.no[node]):
            if child in parents:
                parents[child] += 1
    free = [node for node, count in parents.items() if count == 0]
    done = 0
    while free:
        node = free.pop()
        done += 1
        for child in (forest.yes[node], forest.no[node]):
            if child in parents:
                parents[child] -= 1
                if parents[child] == 0:
                    free.append(child)
    if done < len(splits):
        raise CompileError("a node of a tree is its own descendant")
