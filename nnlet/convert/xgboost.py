"""XGBoost: gbtree, dart and gblinear, read from the library's own JSON model.

Its schema is documented (doc/model.schema in XGBoost) and the same in memory, in JSON and in UBJ
files, whichever language wrote them. Features and thresholds are float32 in XGBoost itself, so
float32 decides as it does. Classification by a Booster has a label here: XGBClassifier's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from nnlet.convert import answers, inside
from nnlet.convert.codes import Categories, coded, declared
from nnlet.convert.columns import matched
from nnlet.convert.converted import FLOATS, Array, Converted, Precision
from nnlet.convert.ensemble import INPUT, Ensemble, Forest, Linear, model_of
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import Scalar

LINKS = {
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "reg:expectileerror": "identity",
    "reg:logistic": "sigmoid",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "count:poisson": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "binary:logistic": "sigmoid",
    "binary:logitraw": "identity",
    "binary:hinge": "hinge",
    "multi:softmax": "softmax",
    "multi:softprob": "softmax",
    "rank:ndcg": "identity",
    "rank:map": "identity",
    "rank:pairwise": "identity",
}
CLASSES = {"binary:logistic", "binary:hinge", "multi:softmax", "multi:softprob"}
RAW_BASE = {"binary:hinge", "binary:logitraw"}


def read(path: Path) -> Any:
    """The model in a .json or .ubj file: XGBClassifier's if it wrote it, else a Booster.

    Raises ConvertError.
    """
    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except (xgboost.core.XGBoostError, ValueError) as exc:
        raise ConvertError(f"{path} is no model that XGBoost {xgboost.__version__} reads") from exc
    if json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type") != "classifier":
        return booster
    model = xgboost.XGBClassifier()
    model.load_model(path)
    return model


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A fitted XGBModel or Booster as ONNX, with its answers to the sample. Raises ConvertError."""
    booster, rounds = _booster(model)
    names = booster.feature_names
    sample = matched(sample, names, booster.num_features(), type(model).__name__)
    learner = _learner(booster)
    categories = _categories(learner, sample)
    table = coded(sample, names is not None, categories, unknown="error")
    ensemble = _ensemble(model, learner, table.places)
    fields = answers.of(_Asked(model, learner), ensemble.kind, Sample(table.source))
    _name_quantiles(fields, learner)
    return Converted(
        proto=model_of(
            ensemble, booster.num_features(), [f.spec.output for f in fields], precision
        ),
        columns=table.columns,
        answer=tuple(field.spec for field in fields),
        feeds={INPUT: table.matrix.astype(FLOATS[precision])},
        expected={field.spec.output: field.expected for field in fields},
        made_by=f"{type(model).__name__} of XGBoost {xgboost.__version__}",
        precision=precision,
        notes=_notes(model, rounds),
    )


def register() -> None:
    """Make XGBoost's estimators known to skl2onnx, for those in a Pipeline."""
    for cls in (
        *(xgboost.XGBClassifier, xgboost.XGBRFClassifier),
        *(xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker),
    ):
        inside.register(cls, _inside)


def _inside(model: Any) -> Ensemble:
    booster, _ = _booster(model)
    learner = _learner(booster)
    if "c" in (booster.feature_types or ()):
        raise ConvertError(
            f"{type(model).__name__} with categorical features stands in a Pipeline: fit it on "
            "the DataFrame itself, without the Pipeline, or encode those columns in it"
        )
    return _ensemble(model, learner, {})


# What the library says --------------------------------------------------------


class _Asked:
    """The model's own answers, by scikit-learn's methods; a Booster has them here."""

    def __init__(self, model: Any, learner: Mapping[str, Any]) -> None:
        self._model = model
        self._learner = learner
        self._booster = isinstance(model, xgboost.Booster)
        outputs = max(int(learner["learner_model_param"]["num_class"]), 2)
        self.classes_ = np.arange(outputs) if self._booster else getattr(model, "classes_", None)

    def predict(self, x: Any) -> Array:
        """Labels of a classifier, values of any other."""
        if not self._booster:
            return np.asarray(self._model.predict(x))
        if _objective(self._learner) in CLASSES:
            return np.asarray(self.predict_proba(x).argmax(axis=1))
        return self._asked(x)

    def predict_proba(self, x: Any) -> Array:
        """[rows, classes]."""
        if not self._booster:
            return np.asarray(self._model.predict_proba(x))
        if _objective(self._learner) == "multi:softmax":  # whose predict is the label alone
            scores = np.exp(self._asked(x, output_margin=True).astype(np.float64))
            return np.asarray(scores / scores.sum(axis=1, keepdims=True))
        found = self._asked(x)
        return found if found.ndim == 2 else np.stack([1 - found, found], axis=1)

    def _asked(self, x: Any, **options: Any) -> Array:
        names = self._model.feature_names
        rows = xgboost.DMatrix(x, feature_names=names, enable_categorical=True)
        return np.asarray(self._model.predict(rows, **options))


def _booster(model: Any) -> tuple[Any, int]:
    """The rounds of boosting that predict uses, and how many there are of them in all."""
    if isinstance(model, type):
        raise ConvertError(f"{model.__name__} is a class: hand over a fitted object of it")
    try:
        booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
        rounds = booster.num_boosted_rounds()
    except Exception as exc:  # NotFittedError, of scikit-learn if that is installed
        raise ConvertError(
            f"this {type(model).__name__} is not fitted: call fit, then add it"
        ) from exc
    best = rounds if booster is model else _best(booster, rounds)
    linear = getattr(model, "booster", "") == "gblinear"
    return (booster if best >= rounds or linear else booster[:best]), rounds


def _best(booster: Any, rounds: int) -> int:
    """The rounds up to the best, if training was stopped early; else all."""
    found = booster.attr("best_iteration")
    return rounds if found is None else int(found) + 1


def _notes(model: Any, rounds: int) -> tuple[str, ...]:
    if not isinstance(model, xgboost.Booster) or _best(model, rounds) >= rounds:
        return ()
    best = _best(model, rounds)
    return (
        f"all {rounds} rounds are used, as Booster.predict does, though the best was {best}: add "
        f"booster[:{best}] to serve those",
    )


def _learner(booster: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(booster.save_raw("json"))["learner"]
    return found


def _objective(learner: Mapping[str, Any]) -> str:
    return str(learner["objective"]["name"])


def _name_quantiles(fields: list[answers.Field], learner: Mapping[str, Any]) -> None:
    """Several quantiles at once are named by their level."""
    levels = learner["objective"].get("quantile_loss_param", {}).get("quantile_alpha", "[]")
    names = tuple(f"{float(level):g}" for level in json.loads(str(levels)))
    for n, field in enumerate(fields):
        if field.spec.kind == "numbers" and len(names) == field.expected.shape[1]:
            fields[n] = replace(field, spec=replace(field.spec, names=names))


def _categories(learner: Mapping[str, Any], sample: Sample) -> Categories:
    """What each categorical feature's numbers mean.

    Since 3.1 XGBoost keeps the categories of a DataFrame; where it did not, or they are not
    ASCII, the sample's are taken.
    """
    types = learner.get("feature_types") or ()
    kept = _gradient_booster(learner).get("model", {}).get("cats", {}).get("enc") or ()
    found: dict[int, Sequence[Scalar]] = {}
    for n, kind in enumerate(types):
        if kind != "c":
            continue
        own = _decoded(kept[n]) if n < len(kept) else ()
        if own:
            found[n] = own
        elif sample.columns[n].type == "category":
            found[n] = declared(sample, n)
    return found


def _decoded(stored: Mapping[str, Any]) -> tuple[Scalar, ...]:
    """The categories of one feature: integers, or strings as bytes one after the other."""
    offsets, values = stored.get("offsets"), stored["values"]
    if offsets is None:
        return tuple(values)
    text = bytes(value & 0xFF for value in values)
    if not text.isascii():  # XGBoost 3.2 counts characters and cuts bytes: words are lost
        return ()
    ends = zip(offsets, offsets[1:], strict=False)
    return tuple(text[start:end].decode() for start, end in ends)


# Its trees --------------------------------------------------------------------


def _gradient_booster(learner: Mapping[str, Any]) -> Mapping[str, Any]:
    """That of gbtree, also inside dart."""
    outer: Mapping[str, Any] = learner["gradient_booster"]
    found: Mapping[str, Any] = outer.get("gbtree", outer)
    return found


def _ensemble(
    model: Any, learner: Mapping[str, Any], places: Mapping[int, Sequence[int]]
) -> Ensemble:
    objective = _objective(learner)
    if objective not in LINKS:
        raise ConvertError(
            f"XGBoost's objective {objective!r} is not one that nnlet converts: it knows "
            f"{', '.join(LINKS)}"
        )
    wants = hasattr(model, "classes_") or hasattr(model, "predict_proba")
    if wants and objective not in CLASSES:
        raise ConvertError(
            f"{type(model).__name__} with objective {objective!r} has no probabilities: fit it "
            "with binary:logistic, or add model.get_booster()"
        )
    missing = getattr(model, "missing", None)
    return Ensemble(
        kind="classifier" if objective in CLASSES else "regressor",
        scores=_scores(learner, places),
        link=LINKS[objective],
        missing=math.nan if missing is None else float(missing),
    )


def _scores(learner: Mapping[str, Any], places: Mapping[int, Sequence[int]]) -> Forest | Linear:
    parameters = learner["learner_model_param"]
    targets = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    base = np.resize(_base(learner), targets)
    gradient_booster = _gradient_booster(learner)
    model = gradient_booster["model"]
    if gradient_booster["name"] == "gblinear":
        weights = np.array(model["weights"], np.float32).reshape(-1, targets)
        return Linear(weights[:-1], weights[-1] + base[0])  # one for all, as XGBoost 3.2 does
    drops = learner["gradient_booster"].get("weight_drop")
    forest = Forest(targets, [float(b) for b in base])
    for n, tree in enumerate(model["trees"]):
        weight = np.float32(1.0 if drops is None else drops[n])
        _add_tree(forest, tree, int(model["tree_info"][n]), weight, places)
    return forest


def _base(learner: Mapping[str, Any]) -> Array:
    """The scores before the first tree. base_score is what they would answer, one or a list."""
    given = json.loads(str(learner["learner_model_param"]["base_score"]))
    base = np.atleast_1d(np.array(given, np.float32))
    objective = _objective(learner)
    if objective in RAW_BASE:
        return base
    if LINKS[objective] == "sigmoid":
        return np.asarray(-np.log(1 / base - 1))
    return np.log(base) if LINKS[objective] == "exp" else base


def _add_tree(
    forest: Forest,
    tree: Mapping[str, Any],
    target: int,
    weight: np.float32,
    places: Mapping[int, Sequence[int]],
) -> None:
    count = len(tree["left_children"])
    root = forest.tree(count)
    sets = _sets(tree)
    for n in range(count):
        left, right = tree["left_children"][n], tree["right_children"][n]
        if left == -1:
            for t, value in _leaf(tree, n, target):
                forest.leaf(root + n, t, float(np.float32(value) * weight))
            continue
        feature = tree["split_indices"][n]
        by_default = bool(tree["default_left"][n])
        if n not in sets:
            forest.split(
                root + n, "BRANCH_LT", feature, tree["split_conditions"][n],
                root + left, root + right, by_default,
            )  # fmt: skip
            continue
        at = places.get(feature)
        listed = [code if at is None else at[code] for code in sets[n]]
        # A category in the set goes right.
        forest.member(root + n, feature, listed, root + right, root + left, not by_default)


def _sets(tree: Mapping[str, Any]) -> dict[int, list[int]]:
    """The categories that each split on a set lists, by node."""
    found = {}
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        found[node] = tree["categories"][start : start + size]
    return found


def _leaf(tree: Mapping[str, Any], node: int, target: int) -> list[tuple[int, float]]:
    """What a leaf adds to which target: all of them in a tree of several outputs."""
    size = int(tree["tree_param"].get("size_leaf_vector", 1))
    if size <= 1:
        return [(target, tree["split_conditions"][node])]
    weights = tree.get("leaf_weights")
    start = (tree["right_children"][node] if weights else node) * size
    values = (weights or tree["base_weights"])[start : start + size]
    return list(enumerate(values))
