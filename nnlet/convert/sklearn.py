"""scikit-learn: every estimator and transformer that skl2onnx converts, Pipelines included.

A table of numbers becomes one input `features`; a model that picks its columns by name (a
ColumnTransformer), or that has columns of strings, gets one input a column.

What the fields of the answers are called is in answers.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import skl2onnx
import sklearn
import sklearn.base
from skl2onnx._supported_operators import _get_sklearn_operator_name
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.mixture._base import BaseMixture
from sklearn.utils.validation import check_is_fitted

from nnlet.convert import answers, graphs, mends, strings
from nnlet.convert.columns import matched, number_spec
from nnlet.convert.converted import FLOATS, Array, Converted, Precision
from nnlet.convert.converters import recognised
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import ColumnSpec

OPSET = {"": 18, "ai.onnx.ml": 3}  # 3: trees may have thresholds in double
_CONTAINERS = {"Pipeline", "FeatureUnion", "ColumnTransformer"}  # skl2onnx takes them apart
MATRIX = "features"  # the one input of a table of numbers
TYPES = {"FP32": FloatTensorType, "FP64": DoubleTensorType}


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A fitted estimator, transformer or Pipeline as ONNX, with its answers to the sample.

    Raises ConvertError for one that is not fitted, does not fit the sample, or has a part that
    skl2onnx does not convert, which is named.
    """
    _require_fitted(model)
    _require_no_text(model)
    sample = _matched(model, sample)
    rows = sample.some()
    by_column = _by_column(model, sample)
    fields = answers.of(model, _kind(model), rows)
    proto = _converted(model, sample, precision, by_column)
    graphs.keep_outputs(proto, _outputs(fields, proto))
    encoded = strings.encode(
        proto,
        {c.name: c.seen for c in sample.columns if by_column and c.type == "category"},
        sample.known,
        {f.spec.output: f.spec.classes for f in fields if f.spec.kind == "label"},
    )
    feeds = _feeds(rows, precision, by_column)
    return Converted(
        proto=encoded.proto,
        columns=_columns(sample, by_column, encoded, _ignores_unknown(model)),
        answer=tuple(field.spec for field in fields),
        feeds=strings.encoded_feeds(feeds, encoded),
        expected={field.spec.output: field.expected for field in fields},
        made_by=f"{_name(model)} of scikit-learn {sklearn.__version__}",
        precision=precision,
    )


# The sample -------------------------------------------------------------------


def _require_fitted(model: Any) -> None:
    if isinstance(model, type):
        raise ConvertError(f"{model.__name__} is a class: hand over a fitted object of it")
    try:
        check_is_fitted(model)
    except NotFittedError as exc:
        raise ConvertError(
            f"this {type(model).__name__} is not fitted: call fit, then add it"
        ) from exc
    except TypeError as exc:
        raise ConvertError(f"{type(model).__name__} is not an estimator: {exc}") from exc


def _require_no_text(model: Any) -> None:
    for part in _parts(model):
        if hasattr(part, "vocabulary_") or type(part).__name__ == "HashingVectorizer":
            raise ConvertError(
                f"{type(part).__name__} reads text, and wasi-nn carries numbers only: compute its "
                "features where the text is, and add the rest of the pipeline"
            )


def _matched(model: Any, sample: Sample) -> Sample:
    """The sample with the names that the model knows. Raises ConvertError if it does not fit."""
    if not sample.columns:
        raise ConvertError(
            f"the sample has shape {list(np.shape(sample.source))}, expected a table, [rows, "
            "columns]: text models cannot be served (wasi-nn carries numbers only), and images "
            "are one row each"
        )
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    return matched(sample, names, count, type(model).__name__)


def _by_column(model: Any, sample: Sample) -> bool:
    """Whether each column is an input of its own: the model picks some, or not all are numbers."""
    if any(column.type == "category" for column in sample.columns):
        return True
    return sample.named and any(isinstance(part, ColumnTransformer) for part in _parts(model))


def _feeds(rows: Sample, precision: Precision, by_column: bool) -> dict[str, Array]:
    dtype = FLOATS[precision]
    if not by_column:
        return {MATRIX: rows.matrix(dtype)}
    return {
        column.name: strings.texts(column.values)
        if column.type == "category"
        else column.values.astype(dtype).reshape(-1, 1)
        for column in rows.columns
    }


def _columns(
    sample: Sample, by_column: bool, encoded: strings.Encoded, ignores: bool
) -> tuple[ColumnSpec, ...]:
    found = []
    for n, column in enumerate(sample.columns):
        if column.type == "category":
            found.append(encoded.column(column.name, ignores))
        elif by_column:
            found.append(number_spec(column, column.name))
        else:
            found.append(number_spec(column, MATRIX, n))
    return tuple(found)


def _kind(model: Any) -> answers.Kind:
    if isinstance(model, SelectorMixin):  # RFE predicts too; it is converted as what it selects
        return "transformer"
    if sklearn.base.is_classifier(model):
        return "classifier"
    if sklearn.base.is_outlier_detector(model):
        return "outlier detector"
    if sklearn.base.is_regressor(model):
        return "regressor"
    if sklearn.base.is_clusterer(model) or isinstance(model, BaseMixture):
        return "clusterer"
    return "transformer"


# The conversion ---------------------------------------------------------------


def _converted(
    model: Any, sample: Sample, precision: Precision, by_column: bool
) -> onnx.ModelProto:
    real = TYPES[precision]
    if by_column:
        types = [
            (c.name, (StringTensorType if c.type == "category" else real)([None, 1]))
            for c in sample.columns
        ]
    else:
        types = [(MATRIX, real([None, len(sample.columns)]))]
    mends.register()
    _register_others(model)
    try:
        return _to_onnx(model, types, _options(model))
    except ConvertError:
        raise
    except Exception as exc:  # skl2onnx raises RuntimeError, NotImplementedError and others
        raise ConvertError(_refusal(model, exc)) from exc


def _to_onnx(model: Any, types: Any, options: dict[Any, Any]) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto: onnx.ModelProto = skl2onnx.to_onnx(
            model, initial_types=types, target_opset=OPSET, options=options
        )
    graphs.require_ml(proto, OPSET["ai.onnx.ml"])
    graphs.declare_scores(proto.graph)
    return proto


def _register_others(model: Any) -> None:
    """Make known to skl2onnx what estimators of other libraries stand in a Pipeline."""
    for part in _parts(model):
        row = recognised(part)
        if row is not None and row.inside:
            row.register_inside()


def _options(model: Any) -> dict[Any, Any]:
    """No list of maps as answer, for the classifiers that would give one (LinearSVC does not)."""
    last = model
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    name = _converter_name(last)
    known = get_converter(name).get_allowed_options() if name else None
    # Without any options, skl2onnx asks the last step of a Pipeline for one all the same.
    if isinstance(known, dict) and "zipmap" not in known:
        return {id(last): {}}
    return {id(model): {"zipmap": False}} if sklearn.base.is_classifier(model) else {id(last): {}}


def _outputs(fields: Sequence[answers.Field], proto: onnx.ModelProto) -> dict[str, str]:
    """What each output is called, and what it will be called."""
    return {proto.graph.output[field.place].name: field.spec.output for field in fields}


def _refusal(model: Any, exc: Exception) -> str:
    """Which part cannot be converted, and what to do."""
    told = " ".join(str(exc).split())
    for part in _parts(model):
        name = type(part).__name__
        if not _is_supported(part):
            return (
                f"{name} has no converter to ONNX: replace that step (docs/models.md lists what "
                "converts), or apply it before the function is called"
            )
    return f"skl2onnx cannot convert {_name(model)}: {told[:300]}"


def _is_supported(part: Any) -> bool:
    return type(part).__name__ in _CONTAINERS or _converter_name(part) is not None


def _converter_name(part: Any) -> str | None:
    """skl2onnx's name of the converter for an estimator; None if it has none."""
    try:
        name = str(_get_sklearn_operator_name(type(part)))
        get_converter(name)
    except (RuntimeError, ValueError):
        return None
    return name


def _parts(model: Any) -> Iterator[Any]:
    """The estimator, and all fitted ones inside it."""
    yield model
    for value in list(vars(model).values()):
        for inner in _estimators(value):
            yield from _parts(inner)


def _estimators(value: Any) -> Iterator[Any]:
    if isinstance(value, sklearn.base.BaseEstimator) or _is_other(value):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _estimators(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _estimators(inner)


def _is_other(value: Any) -> bool:
    """Whether it is an estimator of a library that can stand inside; not all derive from
    scikit-learn's."""
    if not hasattr(type(value), "fit"):
        return False
    row = recognised(value)
    return row is not None and bool(row.inside)


def _ignores_unknown(model: Any) -> bool:
    """Whether all encoders in it take categories that they have not seen."""
    policies = [getattr(part, "handle_unknown", None) for part in _parts(model)]
    given = [policy for policy in policies if policy is not None]
    return bool(given) and "error" not in given


def _name(model: Any) -> str:
    name = type(model).__name__
    steps = getattr(model, "steps", None)
    if not steps:
        return name
    return f"{name} ({', '.join(type(step).__name__ for _, step in steps)})"
