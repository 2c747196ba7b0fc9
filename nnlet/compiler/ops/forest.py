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

    def add_splits(
        self, modes: Array, feature: Array, values: Array, nan_yes: Array, yes: Array, no: Array
    ) -> None:
        """Adds the ONNX nodes whose modes compare by order, as `split` makes them, many at once.

        Those of other modes (leaves too) get their place, and have yet to be made.
        """
        first = self.add(len(modes))
        turned = np.isin(modes, ("BRANCH_GT", "BRANCH_GTE"))
        cut = values.astype(np.float64)
        cut[turned & np.isnan(cut)] = math.inf
        with np.errstate(over="ignore"):
            under = np.nextafter(cut.astype(self.real), self.real(-math.inf)).astype(np.float64)
        under[cut == -math.inf] = math.nan
        cut = np.where(np.isin(modes, ("BRANCH_LT", "BRANCH_GTE")), under, cut)
        self.feature[first:] = feature.tolist()
        self.threshold[first:] = cut.tolist()
        self.nan_yes[first:] = (nan_yes ^ turned).tolist()
        self.yes[first:] = np.where(turned, no, yes).tolist()
        self.no[first:] = np.where(turned, yes, no).tolist()

    def add_leaves(self, targets: Sequence[int], weights: Sequence[float]) -> None:
        """Adds a leaf with one vote for each of `targets`."""
        first = self.add(len(targets))
        votes = ([vote] for vote in zip(targets, weights, strict=True))
        self.votes.update(zip(range(first, first + len(targets)), votes, strict=True))

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
    `padding` on are of trees that were added. Trees that ask the same questions share nodes,
    whatever they answer.
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

    A tree whose splits are those of an earlier one has its place. Trees without votes are added
    up to a multiple of LANES.
    """
    size = np.dtype(forest.real).itemsize
    splits = _split_numbers(forest)
    roots = list(forest.roots)
    added = -len(roots) % LANES if roots else LANES
    roots += [forest.leaf([]) for _ in range(added)]
    splits += [-1] * added
    order: list[int] = []  # the node of each place
    steps: list[int] = []  # from there to the place of its `no`; 0 for a leaf
    leaf_places: list[int] = []
    leaf_numbers: list[int] = []
    leaves: list[list[tuple[int, float]]] = []
    trees: list[tuple[int, int]] = []
    placed: dict[tuple[tuple[int, ...], ...], int] = {}  # a tree's splits and steps -> its place
    for number, root in enumerate(roots):
        start = len(order)
        found = _place(forest, root, order, steps)
        key = tuple(map(splits.__getitem__, order[start:])), tuple(steps[start:])
        place = placed.setdefault(key, start) if number < len(forest.roots) else start
        trees.append((place, len(leaves)))
        leaves += [forest.votes.get(node, []) for _, node in found]
        if place != start:
            del order[start:], steps[start:]
            continue
        leaf_places += [at for at, _ in found]
        leaf_numbers += range(len(found))
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


def _split_numbers(forest: Forest) -> list[int]:
    """The number of each node's question, the same for equal ones; -1 for leaves."""
    kind = np.dtype([("feature", "i8"), ("threshold", "f8"), ("nan_yes", "i8")])
    asked = np.zeros(len(forest.feature), kind)
    asked["feature"], asked["nan_yes"] = forest.feature, forest.nan_yes
    asked["threshold"] = np.array(forest.threshold) + 0.0  # -0 and 0 are one threshold
    _, number = np.unique(asked.view("V24"), return_inverse=True)
    found: list[int] = np.where(np.array(forest.yes) < 0, -1, number).tolist()
    return found


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


@dataclass(frozen=True)
class Apart:
    """Trees of one target each, by target, as trees.c's sum_apart reads them.

    `shapes[:, 0]` is where the nodes of each different tree lie (padded to a multiple of LANES)
    and `leaf_counts` how many leaves it has; `trees` is each tree's shape, those of target c
    up to `ends[c]`; `votes` has one number a leaf, tree after tree. `voted[c]` is 1 if target c
    has a tree.
    """

    shapes: Array
    leaf_counts: Array
    trees: Array
    ends: Array
    votes: Array
    voted: Array


def apart(packed: Packed, targets: int) -> Apart | None:
    """None unless every leaf votes once, and all leaves of a tree for the same target."""
    leaves = packed.leaves[: packed.padding]
    if not leaves or any(len(leaf) != 1 for leaf in leaves):
        return None
    voted_for = np.array([target for ((target, _),) in leaves])
    votes = np.array([weight for ((_, weight),) in leaves])
    first = packed.trees[:, 1].astype(np.int64)
    first = first[first < packed.padding]
    counts = np.diff(first, append=packed.padding)
    target = voted_for[first]
    if (voted_for != np.repeat(target, counts)).any():
        return None
    order = np.argsort(target, kind="stable")
    sizes = counts[order]
    leaf = np.arange(len(leaves)) + np.repeat(first[order] - np.cumsum(sizes) + sizes, sizes)
    places, shape = np.unique(packed.trees[: len(first), 0], return_inverse=True)
    leaf_counts = np.zeros(len(places), np.uint32)
    leaf_counts[shape] = counts
    padded = np.pad(places, (0, -len(places) % LANES), mode="edge").astype(np.uint32)
    voting = np.bincount(target, minlength=targets)
    return Apart(
        shapes=np.stack([padded, np.zeros_like(padded)], axis=1),
        leaf_counts=leaf_counts,
        trees=shape[order],
        ends=np.cumsum(voting).astype(np.uint32),
        votes=votes[leaf],
        voted=(voting > 0).astype(np.uint8),
    )
