"""answers: what a model answers, asked through the methods that libraries share.

scikit-learn's methods (predict, predict_proba, transform, decision_function) are those of
boosted trees and others too. The fields are named for people: `label` and `probabilities` of a
classifier, `prediction` of a regressor, `features` of a transformer, `cluster` and `distances`
(or `probabilities`, of a mixture) of a clusterer, `label` and `score` of an outlier detector.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nnlet.convert.converted import Array
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec

Kind = Literal["classifier", "regressor", "transformer", "clusterer", "outlier detector"]


@dataclass(frozen=True)
class Field:
    """One field of the answer, what the library answers, and which of the converter's outputs
    it is."""

    place: int
    spec: AnswerSpec
    expected: Array


def of(model: Any, kind: Kind, rows: Sample) -> list[Field]:
    """What the model answers to the rows, computed by the library itself, in its own order.

    Raises ConvertError where it cannot answer for new rows, or does not take these.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of feature names: which columns are which is checked
        try:
            return list(_KINDS[kind](model, rows.source))
        except ConvertError:
            raise
        except Exception as exc:  # a library raises anything for a sample that it cannot take
            raise ConvertError(
                f"{type(model).__name__} does not take the sample ({type(exc).__name__}: "
                f"{str(exc).splitlines()[0]}): hand over rows as it was fitted on"
            ) from exc


def _classifier(model: Any, x: Any) -> Iterator[Field]:
    found = np.asarray(model.predict(x))
    if found.ndim == 2 and found.shape[1] == 1:  # CatBoost's, of several classes
        found = found.reshape(-1)
    if isinstance(model.classes_, list) or found.ndim != 1:
        raise ConvertError(
            f"{type(model).__name__} answers several labels at once: add one classifier for each"
        )
    classes = scalars(model.classes_)
    index = {label: n for n, label in enumerate(classes)}
    labels = np.array([index[label] for label in scalars(found)], np.int64)
    yield Field(0, AnswerSpec("label", "label", "label", classes), labels)
    if hasattr(model, "predict_proba"):
        spec = AnswerSpec("probabilities", "probabilities", "probabilities", classes)
        yield Field(1, spec, np.asarray(model.predict_proba(x)))


def _regressor(model: Any, x: Any) -> Iterator[Field]:
    values = np.asarray(model.predict(x))
    values = values.reshape(len(values), -1)
    kind = "number" if values.shape[1] == 1 else "numbers"
    yield Field(0, AnswerSpec("prediction", "prediction", kind), values)


def _transformer(model: Any, x: Any) -> Iterator[Field]:
    if not hasattr(model, "transform"):
        raise ConvertError(
            f"{type(model).__name__} has neither predict nor transform for new rows: nothing to "
            "serve"
        )
    values = _dense(model.transform(x))
    try:
        names = tuple(str(name) for name in model.get_feature_names_out())
    except (AttributeError, ValueError):  # of some transformers; NotFittedError is a ValueError
        names = ()
    yield Field(0, AnswerSpec("features", "transformed", "numbers", names=names), values)


def _clusterer(model: Any, x: Any) -> Iterator[Field]:
    if not hasattr(model, "predict"):
        raise ConvertError(
            f"{type(model).__name__} does not tell the cluster of new rows: nothing to serve"
        )
    labels = np.asarray(model.predict(x)).astype(np.int64)
    yield Field(0, AnswerSpec("cluster", "cluster", "number"), labels)
    if hasattr(model, "predict_proba"):
        scores = np.asarray(model.predict_proba(x))
        yield Field(1, AnswerSpec("probabilities", "probabilities", "numbers"), scores)
    elif hasattr(model, "transform"):
        distances = np.asarray(model.transform(x))
        yield Field(1, AnswerSpec("distances", "distances", "numbers"), distances)


def _outlier_detector(model: Any, x: Any) -> Iterator[Field]:
    classes = (-1, 1)
    labels = (np.asarray(model.predict(x)) > 0).astype(np.int64)
    yield Field(0, AnswerSpec("label", "label", "label", classes), labels)
    scores = np.asarray(model.decision_function(x)).reshape(-1, 1)
    yield Field(1, AnswerSpec("score", "score", "number"), scores)


def _dense(values: Any) -> Array:
    found: Array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    return found


def scalars(values: Any) -> tuple[Any, ...]:
    """Python's own strings, integers, floats or booleans of an array."""
    return tuple(v.item() if isinstance(v, np.generic) else v for v in np.asarray(values))


_KINDS: Mapping[Kind, Callable[[Any, Any], Iterator[Field]]] = {
    "classifier": _classifier,
    "regressor": _regressor,
    "transformer": _transformer,
    "clusterer": _clusterer,
    "outlier detector": _outlier_detector,
}
