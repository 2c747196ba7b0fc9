"""LightGBM: gbdt, dart, rf and goss, read from the library's own text model.

The text is the same in memory and in files, whichever language wrote it. Features and thresholds
are float64: float32 is tried first, with thresholds rounded down. The Booster of LightGBM says
what it is by its objective; a classifier's label is LGBMClassifier's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from nnlet.convert import answers, inside
from nnlet.convert.codes import Categories, coded
from nnlet.convert.columns import matched
from nnlet.convert.converted import FLOATS, Array, Converted, Precision
from nnlet.convert.ensemble import INPUT, Ensemble, Forest, model_of
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError

LINKS = {
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "lambdarank": "identity",
    "rank_xendcg": "identity",
    "custom": "identity",
}
CLASSES = {"binary", "multiclass", "multiclassova"}
# Bits of decision_type.
CATEGORICAL, DEFAULT_LEFT, MISSING = 1, 2, 2
NO_GAPS, ZERO_IS_GAP, NAN_IS_GAP = range(3)


def read(path: Path) -> Any:
    """The Booster in a text file. Raises ConvertError."""
    if not path.read_bytes().startswith(b"tree"):
        raise ConvertError(
            f"{path} is no model of LightGBM: expected a file that save_model wrote, which "
            "begins with the word tree"
        )
    try:
        return lightgbm.Booster(model_file=path)
    except lightgbm.basic.LightGBMError as exc:
        raise ConvertError(f"{path} cannot be read by LightGBM: {exc}") from exc


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A fitted LGBMModel or Booster as ONNX, with its answers to the sample.

    Raises ConvertError.
    """
    text = _text(model)
    count = int(text.header["max_feature_idx"]) + 1
    sample = matched(sample, _names(text, sample), count, type(model).__name__)
    table = coded(sample, sample.named, _categories(text, sample), unknown="ignore")
    ensemble = _ensemble(model, text, table.places)
    fields = answers.of(_Asked(model, text), ensemble.kind, Sample(table.source))
    return Converted(
        proto=model_of(ensemble, count, [f.spec.output for f in fields], precision),
        columns=table.columns,
        answer=tuple(field.spec for field in fields),
        feeds={INPUT: table.matrix.astype(FLOATS[precision])},
        expected={field.spec.output: field.expected for field in fields},
        made_by=f"{type(model).__name__} of LightGBM {lightgbm.__version__}",
        precision=precision,
    )


def register() -> None:
    """Make LightGBM's estimators known to skl2onnx, for those in a Pipeline."""
    for cls in (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
        inside.register(cls, lambda model: _ensemble(model, _text(model), {}), doubles=True)


class _Asked:
    """The model's own answers, by scikit-learn's methods; a Booster has them here."""

    def __init__(self, model: Any, text: _Text) -> None:
        self._model = model
        self._booster = isinstance(model, lightgbm.Booster)
        outputs = max(int(text.header["num_class"]), 2)
        self.classes_ = np.arange(outputs) if self._booster else getattr(model, "classes_", None)
        self._is_classifier = text.objective in CLASSES

    def predict(self, x: Any) -> Array:
        """Labels of a classifier, values of any other."""
        if self._booster and self._is_classifier:
            return np.asarray(self.predict_proba(x).argmax(axis=1))
        return np.asarray(self._model.predict(x))

    def predict_proba(self, x: Any) -> Array:
        """[rows, classes]."""
        if not self._booster:
            return np.asarray(self._model.predict_proba(x))
        found = np.asarray(self._model.predict(x))
        return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)


# Its text ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """A model as LightGBM writes it: `header` by key, each tree by key, and what pandas knew."""

    header: Mapping[str, str]
    trees: Sequence[Mapping[str, str]]
    pandas_categorical: Sequence[Sequence[Any]]

    @property
    def names(self) -> list[str]:
        return self.header["feature_names"].split(" ")

    @property
    def objective(self) -> str:
        """Its name, without parameters; "custom" for a function of the user's own."""
        return (self.header.get("objective") or "custom").split(" ")[0]

    def parameter(self, name: str, default: str) -> str:
        """A parameter of the objective, which stands as name:value behind it."""
        for word in self.header.get("objective", "").split(" ")[1:]:
            key, _, value = word.partition(":")
            if key == name:
                return value or name
        return default


def _text(model: Any) -> _Text:
    if isinstance(model, type):
        raise ConvertError(f"{model.__name__} is a class: hand over a fitted object of it")
    try:
        booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    except Exception as exc:  # LGBMNotFittedError, which scikit-learn may or may not have
        raise ConvertError(
            f"this {type(model).__name__} is not fitted: call fit, then add it"
        ) from exc
    head, *rest = booster.model_to_string().split("\nTree=")
    known = booster.pandas_categorical or ()
    return _Text(_keys(head), [_keys(tree) for tree in rest], known)


def _keys(block: str) -> dict[str, str]:
    """The lines key=value up to the end of the trees; a line without a value is a flag."""
    found = {}
    for line in block.partition("\nend of trees")[0].splitlines():
        key, _, value = line.partition("=")
        found[key] = value
    return found


def _names(text: _Text, sample: Sample) -> list[str] | None:
    """The features' names; None where LightGBM made them up. It writes _ for a space."""
    if [name.replace(" ", "_") for name in sample.names] == text.names:
        return list(sample.names)
    made_up = text.names == [f"Column_{n}" for n in range(len(text.names))]
    return None if made_up else text.names


def _categories(text: _Text, sample: Sample) -> Categories:
    """What the numbers of pandas' categorical columns mean. LightGBM keeps the lists without
    names, in the columns' order; which columns they are, the sample or the model says."""
    if not text.pandas_categorical:
        return {}
    features = [n for n, column in enumerate(sample.columns) if column.type == "category"]
    if len(features) != len(text.pandas_categorical):
        # [least:greatest] of numbers, a:b:c of categories, none of a feature that is not used.
        infos = text.header["feature_infos"].split(" ")
        features = [n for n, info in enumerate(infos) if not info.startswith(("[", "none"))]
    if len(features) != len(text.pandas_categorical):
        raise ConvertError(
            f"the model was fitted on {len(text.pandas_categorical)} categorical columns, the "
            f"sample has {sum(c.type == 'category' for c in sample.columns)}: hand over a "
            "DataFrame with the types that it was fitted on"
        )
    return dict(zip(features, map(tuple, text.pandas_categorical), strict=True))


# Its trees --------------------------------------------------------------------


def _ensemble(model: Any, text: _Text, places: Mapping[int, Sequence[int]]) -> Ensemble:
    if text.objective not in LINKS:
        raise ConvertError(
            f"LightGBM's objective {text.objective!r} is not one that nnlet converts: it knows "
            f"{', '.join(LINKS)}"
        )
    is_classifier = text.objective in CLASSES
    if hasattr(model, "predict_proba") and not is_classifier:
        raise ConvertError(
            f"{type(model).__name__} with objective {text.objective!r} has no probabilities: fit "
            "it with binary or multiclass, or add model.booster_"
        )
    link, targets = LINKS[text.objective], int(text.header["num_tree_per_iteration"])
    if text.objective == "regression" and text.parameter("sqrt", ""):
        link = "square"
    forest = Forest(targets)
    # A random forest answers the mean of its trees.
    share = targets / len(text.trees) if "average_output" in text.header else 1.0
    zeros: set[int] = set()
    for n, tree in enumerate(text.trees):
        zeros |= _add_tree(forest, tree, n % targets, share, places)
    return Ensemble(
        kind="classifier" if is_classifier else "regressor",
        scores=forest,
        link=link,
        factor=float(text.parameter("sigmoid", "1")),
        zeros=tuple(sorted(zeros)),
    )


def _add_tree(
    forest: Forest,
    tree: Mapping[str, str],
    target: int,
    share: float,
    places: Mapping[int, Sequence[int]],
) -> set[int]:
    """One more tree; the features whose zero is a gap in it."""
    if tree.get("is_linear", "0") != "0":
        raise ConvertError(
            "trees with linear models in their leaves are not converted: fit without linear_tree"
        )
    splits = int(tree["num_leaves"]) - 1
    root = forest.tree(2 * splits + 1)
    for n, weight in enumerate(_floats(tree, "leaf_value")):
        forest.leaf(root + splits + n, target, weight * share)
    if not splits:
        return set()

    def node(child: int) -> int:
        return root + (child if child >= 0 else splits + ~child)

    zeros = set()
    sets = _sets(tree)
    features, decisions = _integers(tree, "split_feature"), _integers(tree, "decision_type")
    thresholds = _floats(tree, "threshold")
    lefts, rights = _integers(tree, "left_child"), _integers(tree, "right_child")
    for n in range(splits):
        feature, decision, threshold = features[n], decisions[n], thresholds[n]
        left, right = node(lefts[n]), node(rights[n])
        if decision & CATEGORICAL:
            at = places.get(feature)
            codes = sets[int(threshold)]
            listed = [at[c] for c in codes if c < len(at)] if at is not None else codes
            forest.member(root + n, feature, listed, left, right, False)
            continue
        gap = decision >> MISSING & 3
        if gap == ZERO_IS_GAP:
            zeros.add(feature)
        # Where training saw no NaN, NaN is zero.
        left_for_nan = 0.0 <= threshold if gap == NO_GAPS else bool(decision & DEFAULT_LEFT)
        forest.split(root + n, "BRANCH_LEQ", feature, threshold, left, right, left_for_nan)
    return zeros


def _sets(tree: Mapping[str, str]) -> list[list[int]]:
    """The categories that each set lists; they stand as bits of 32-bit words."""
    if tree.get("num_cat", "0") == "0":
        return []
    bounds, words = _integers(tree, "cat_boundaries"), _integers(tree, "cat_threshold")
    return [
        [
            32 * n + bit
            for n, word in enumerate(words[start:end])
            for bit in range(32)
            if word >> bit & 1
        ]
        for start, end in zip(bounds, bounds[1:], strict=False)
    ]


def _floats(tree: Mapping[str, str], key: str) -> list[float]:
    return [float(word) for word in tree[key].split()]


def _integers(tree: Mapping[str, str], key: str) -> list[int]:
    return [int(word) for word in tree[key].split()]
