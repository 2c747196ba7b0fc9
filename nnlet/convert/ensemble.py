"""ensemble: boosted trees (or boosted linear terms) as ONNX, whatever library fitted them.

    features [N, K] --> gaps as NaN --> Forest or Linear --> scores [N, T] --> link --> outputs

A library's module reads its own format into an Ensemble; what is here knows no library. Splits
on sets of categories become chains of BRANCH_EQ that share a child, which onnxruntime and the
compiler take as one question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnlet.convert.converted import FLOATS, Array, Precision

OPSET = {"": 18, "ai.onnx.ml": 3}  # 3: trees may have thresholds in double
INPUT = "features"
Kind = Literal["classifier", "regressor"]
ELEM_TYPES = {"FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE}


@dataclass
class Forest:
    """Trees with `targets` sums over their leaves, which start from `base`.

    A node is known by its place in the lists. `modes` are BRANCH_LT, BRANCH_LEQ and BRANCH_EQ of
    x[feature] with value, or LEAF; NaN goes to `yes` where `nan_yes` is set, else to `no`.
    `votes` are (node, target, weight).
    """

    targets: int
    base: Sequence[float] = ()
    trees: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    nan_yes: list[int] = field(default_factory=list)
    votes: list[tuple[int, int, float]] = field(default_factory=list)

    def tree(self, count: int) -> int:
        """Makes room for the `count` nodes of one more tree; the place of the first, its root."""
        number = self.trees[-1] + 1 if self.trees else 0
        return self._add(number, count)

    def _add(self, tree: int, count: int) -> int:
        first = len(self.modes)
        self.trees += [tree] * count
        self.modes += ["LEAF"] * count
        for numbers in (self.features, self.yes, self.no, self.nan_yes):
            numbers += [0] * count
        self.values += [0.0] * count
        return first

    def split(
        self, at: int, mode: str, feature: int, value: float, yes: int, no: int, nan_yes: bool
    ) -> None:
        """Makes node `at` a question with two answers, both nodes of its tree."""
        self.modes[at], self.features[at], self.values[at] = mode, feature, value
        self.yes[at], self.no[at], self.nan_yes[at] = yes, no, int(nan_yes)

    def member(
        self, at: int, feature: int, values: Sequence[int], yes: int, no: int, nan_yes: bool
    ) -> None:
        """Makes node `at` of the last tree the question whether x is one of `values`."""
        if not values:  # only NaN can go to `yes`
            self.split(at, "BRANCH_LT", feature, -math.inf, yes, no, nan_yes)
            return
        for n, value in enumerate(values):
            following = no if n + 1 == len(values) else self._add(self.trees[at], 1)
            self.split(at, "BRANCH_EQ", feature, float(value), yes, following, nan_yes)
            at = following

    def leaf(self, at: int, target: int, weight: float) -> None:
        """Lets the leaf `at` add `weight` to a target."""
        self.votes.append((at, target, weight))

    def attributes(self, precision: Precision) -> dict[str, Any]:
        """Those of TreeEnsembleRegressor.

        In FP32, thresholds of <= are rounded down: that decides as float64 does, for an x of
        float32. Those of < are float32 in the libraries that have them.
        """
        place, counts = [], [0] * (self.trees[-1] + 1 if self.trees else 0)
        for tree in self.trees:
            place.append(counts[tree])
            counts[tree] += 1
        votes = sorted(self.votes, key=lambda vote: vote[0])
        numbers = {
            "nodes_values": self.values,
            "target_weights": [weight for _, _, weight in votes],
            "base_values": list(self.base),
        }
        if precision == "FP32":
            numbers["nodes_values"] = _rounded_down(self.values, self.modes)
        return {
            "n_targets": self.targets,
            "nodes_treeids": self.trees,
            "nodes_nodeids": place,
            "nodes_modes": self.modes,
            "nodes_featureids": self.features,
            "nodes_truenodeids": [place[n] for n in self.yes],
            "nodes_falsenodeids": [place[n] for n in self.no],
            "nodes_missing_value_tracks_true": self.nan_yes,
            "target_treeids": [self.trees[at] for at, _, _ in votes],
            "target_nodeids": [place[at] for at, _, _ in votes],
            "target_ids": [target for _, target, _ in votes],
            **_numbers(numbers, precision),
        }


def _numbers(lists: Mapping[str, Sequence[float]], precision: Precision) -> dict[str, Any]:
    """Lists of float32, or tensors of float64, which are other attributes."""
    given = {name: values for name, values in lists.items() if len(values)}
    if precision == "FP32":
        return {name: [float(np.float32(v)) for v in values] for name, values in given.items()}
    return {
        f"{name}_as_tensor": numpy_helper.from_array(np.array(values, np.float64), name)
        for name, values in given.items()
    }


def _rounded_down(values: Sequence[float], modes: Sequence[str]) -> list[float]:
    with np.errstate(over="ignore"):
        exact = np.array(values, np.float64)
        nearest = exact.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    rounds = (nearest > exact) & (np.array(modes) == "BRANCH_LEQ")
    return [float(v) for v in np.where(rounds, below, nearest)]


@dataclass(frozen=True)
class Linear:
    """Scores that are sums: `weights` [features, targets], `bias` [targets]; a gap adds nothing."""

    weights: Array
    bias: Array


@dataclass(frozen=True)
class Ensemble:
    """What a library computes from features.

    `link` names what turns scores into answers (LINKS), `factor` is multiplied in before.
    `missing`: the value that is a gap besides NaN. `zeros`: features whose zero is a gap.
    """

    kind: Kind
    scores: Forest | Linear
    link: str = "identity"
    factor: float = 1.0
    missing: float = math.nan
    zeros: tuple[int, ...] = ()


ZERO = 1e-35  # LightGBM's: up to here, from both sides, a number is zero


class Steps:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def add(self, op: str, *inputs: str, result: str = "", domain: str = "", **given: Any) -> str:
        """One more node; the name of its output."""
        result = result or f"{self._prefix}{op.lower()}{len(self.nodes)}"
        node = helper.make_node(op, inputs, [result], f"{result}/node", domain=domain, **given)
        self.nodes.append(node)
        return result

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """One more constant; its name."""
        name = f"{self._prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name


# From scores to answers -------------------------------------------------------


def _sigmoid(steps: Steps, x: str) -> str:
    return steps.add("Sigmoid", x)


def _softmax(steps: Steps, x: str) -> str:
    return steps.add("Softmax", x, axis=1)


def _exp(steps: Steps, x: str) -> str:
    return steps.add("Exp", x)


def _square(steps: Steps, x: str) -> str:
    """sign(x) x^2: LightGBM's reg_sqrt."""
    return steps.add("Mul", x, steps.add("Abs", x))


def _softplus(steps: Steps, x: str) -> str:
    return steps.add("Softplus", x)


def _hinge(steps: Steps, x: str) -> str:
    above = steps.add("Greater", x, steps.constant(0.0))
    return steps.add("Cast", above, to=TensorProto.FLOAT)


LINKS: Mapping[str, Callable[[Steps, str], str]] = {
    "identity": lambda steps, x: x,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "exp": _exp,
    "square": _square,
    "softplus": _softplus,
    "hinge": _hinge,
}


def outputs(
    ensemble: Ensemble, steps: Steps, x: str, width: int, precision: Precision
) -> list[str]:
    """Adds all of it after the value `x` [N, width]; the prediction [N, T], or the label [N] as an
    index and the probabilities [N, classes]. All in float32."""
    x = _with_gaps(ensemble, steps, x, width, precision)
    scores = _scores(ensemble.scores, steps, x, precision)
    if ensemble.factor != 1.0:
        scores = steps.add("Mul", scores, steps.constant(ensemble.factor))
    found = LINKS[ensemble.link](steps, scores)
    if ensemble.kind == "regressor":
        return [steps.add("Identity", found)]
    if _targets(ensemble.scores) > 1:
        return [steps.add("ArgMax", found, axis=1, keepdims=0), steps.add("Identity", found)]
    positive = steps.add("Greater", found, steps.constant(0.5))
    label = steps.add("Cast", positive, to=TensorProto.INT64)
    label = steps.add("Reshape", label, steps.constant([-1], "int64"))
    negative = steps.add("Sub", steps.constant(1.0), found)
    return [label, steps.add("Concat", negative, found, axis=1)]


def _targets(scores: Forest | Linear) -> int:
    return scores.targets if isinstance(scores, Forest) else len(scores.bias)


def _with_gaps(ensemble: Ensemble, steps: Steps, x: str, width: int, precision: Precision) -> str:
    dtype = FLOATS[precision]
    gaps = []
    if not math.isnan(ensemble.missing):
        gaps.append(steps.add("Equal", x, steps.constant(ensemble.missing, dtype)))
    if ensemble.zeros:
        listed = steps.constant([n in ensemble.zeros for n in range(width)], "bool")
        small = steps.add("LessOrEqual", steps.add("Abs", x), steps.constant(ZERO, dtype))
        gaps.append(steps.add("And", small, listed))
    for gap in gaps:
        x = steps.add("Where", gap, steps.constant(math.nan, dtype), x)
    return x


def _scores(scores: Forest | Linear, steps: Steps, x: str, precision: Precision) -> str:
    if isinstance(scores, Forest):
        return steps.add(
            "TreeEnsembleRegressor", x, domain="ai.onnx.ml", **scores.attributes(precision)
        )
    if precision == "FP64":
        x = steps.add("Cast", x, to=TensorProto.FLOAT)
    present = steps.add("Where", steps.add("IsNaN", x), steps.constant(0.0), x)
    return steps.add("Gemm", present, steps.constant(scores.weights), steps.constant(scores.bias))


def model_of(
    ensemble: Ensemble, width: int, names: Sequence[str], precision: Precision
) -> onnx.ModelProto:
    """A whole model from `features` [N, width] to outputs with these names."""
    steps = Steps()
    made = outputs(ensemble, steps, INPUT, width, precision)
    columns = _targets(ensemble.scores)
    types: list[tuple[int, list[int | None]]] = [(TensorProto.FLOAT, [None, columns])]
    if ensemble.kind == "classifier":
        types = [(TensorProto.INT64, [None]), (TensorProto.FLOAT, [None, max(columns, 2)])]
    for name, value in zip(names, made, strict=True):
        steps.add("Identity", value, result=name)
    given = helper.make_tensor_value_info(INPUT, ELEM_TYPES[precision], [None, width])
    graph = helper.make_graph(
        steps.nodes,
        "ensemble",
        [given],
        [helper.make_tensor_value_info(n, *t) for n, t in zip(names, types, strict=True)],
        steps.constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="nnlet")
