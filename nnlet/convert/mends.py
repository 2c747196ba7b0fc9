"""mends: what skl2onnx 1.20 does otherwise than the estimator, put right around its converters.

Each mend wraps one converter. It hands on a copy of the estimator, or a container that corrects
the attributes of the nodes that it is given; the fitted model is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common._registration import get_converter, register_converter

from nnlet.convert.strings import MISSING
from nnlet.errors import ConvertError

ConvertOne = Callable[[Any, Any, Any], None]  # skl2onnx's: scope, operator, container
Mend = Callable[[ConvertOne, Any, Any, Any], None]


def _hist_gradient_boosting(convert: ConvertOne, scope: Any, operator: Any, container: Any) -> None:
    """Booleans become integers, as protobuf wants them; thresholds are rounded down.

    x <= threshold in float64 is x <= (threshold rounded down to float32) for an x of float32;
    rounded to the nearest, some thresholds let other values through (skl2onnx issue 1192).
    """
    model = operator.raw_operator
    if getattr(model, "is_categorical_", None) is not None and np.any(model.is_categorical_):
        raise ConvertError(
            f"{type(model).__name__} with categorical_features has splits on sets, which "
            "skl2onnx leaves out: encode those columns in the pipeline (OrdinalEncoder, "
            "OneHotEncoder) and fit without categorical_features"
        )
    convert(scope, operator, _Trees(scope, operator, container, rounds=False))


def _trees(convert: ConvertOne, scope: Any, operator: Any, container: Any) -> None:
    """scikit-learn's own trees look at float32, whatever came: behind a scaler in float64, too."""
    convert(scope, operator, _Trees(scope, operator, container, rounds=True))


class _Trees:
    """A container of nodes that corrects tree ensembles.

    Where the graph is in float64, their scores, which are float32, become float64 again; with
    `rounds`, what they read is rounded to float32 first.
    """

    def __init__(self, scope: Any, operator: Any, container: Any, *, rounds: bool) -> None:
        self._container = container
        self._scope = scope
        self._rounds = rounds
        self._double = operator.inputs[0].type.__class__.__name__ == "DoubleTensorType"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        tracks = attributes.get("nodes_missing_value_tracks_true")
        if tracks is not None:
            attributes["nodes_missing_value_tracks_true"] = [int(track) for track in tracks]
        values = attributes.get("nodes_values")
        if values is not None and getattr(values, "dtype", None) != np.float64:
            attributes["nodes_values"] = [float(rounded_down(value)) for value in values]
        if not (self._double and op_type.startswith("TreeEnsemble")):
            self._container.add_node(op_type, inputs, outputs, **attributes)
            return
        inputs, outputs = _listed(inputs), _listed(outputs)
        if self._rounds:
            single = self._cast(inputs[0], TensorProto.FLOAT)
            inputs = [self._cast(single, TensorProto.DOUBLE), *inputs[1:]]
        scores = self._scope.get_unique_variable_name("scores")
        self._container.add_node(op_type, inputs, [*outputs[:-1], scores], **attributes)
        self._cast(scores, TensorProto.DOUBLE, outputs[-1])

    def _cast(self, name: str, to: int, result: str = "") -> str:
        result = result or self._scope.get_unique_variable_name(f"{name}_cast")
        node = self._scope.get_unique_operator_name("Cast")
        self._container.add_node("Cast", [name], [result], op_domain="", name=node, to=to)
        return result


def _listed(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def rounded_down(value: float) -> np.float32:
    """The largest float32 that is not above `value`."""
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
        return np.nextafter(nearest, np.float32(-np.inf)) if nearest > value else nearest


def _voting_classifier(convert: ConvertOne, scope: Any, operator: Any, container: Any) -> None:
    """flatten_transform says what transform gives; skl2onnx refuses its default."""
    model = copy.copy(operator.raw_operator)
    model.flatten_transform = False
    _with(convert, scope, operator, container, model)


def _simple_imputer(convert: ConvertOne, scope: Any, operator: Any, container: Any) -> None:
    """A missing string is the string MISSING by now, whatever it was for the imputer."""
    model = operator.raw_operator
    if operator.inputs[0].type.__class__.__name__ == "StringTensorType":
        model = copy.copy(model)
        model.missing_values = MISSING
        model.statistics_ = np.array([str(value) for value in model.statistics_], object)
        model.fill_value = None
    _with(convert, scope, operator, container, model)


def _with(convert: ConvertOne, scope: Any, operator: Any, container: Any, model: Any) -> None:
    original = operator.raw_operator
    operator.raw_operator = model
    try:
        convert(scope, operator, container)
    finally:
        operator.raw_operator = original


_TREES = (
    "SklearnDecisionTreeClassifier",
    "SklearnDecisionTreeRegressor",
    "SklearnExtraTreeClassifier",
    "SklearnExtraTreeRegressor",
    "SklearnExtraTreesClassifier",
    "SklearnExtraTreesRegressor",
    "SklearnGradientBoostingClassifier",
    "SklearnGradientBoostingRegressor",
    "SklearnRandomForestClassifier",
    "SklearnRandomForestRegressor",
)
# By skl2onnx's name of the converter.
MENDS: Mapping[str, Mend] = {
    **dict.fromkeys(_TREES, _trees),
    "SklearnHistGradientBoostingClassifier": _hist_gradient_boosting,
    "SklearnHistGradientBoostingRegressor": _hist_gradient_boosting,
    "SklearnSimpleImputer": _simple_imputer,
    "SklearnVotingClassifier": _voting_classifier,
}


def register() -> None:
    """Put the mends around skl2onnx's converters, once."""
    for name, mend in MENDS.items():
        known = get_converter(name)
        if not hasattr(known._fct, "mended"):
            register_converter(
                name, _wrapped(mend, known._fct), overwrite=True, options=known._options
            )


def _wrapped(mend: Mend, convert: ConvertOne) -> ConvertOne:
    def convert_mended(scope: Any, operator: Any, container: Any) -> None:
        mend(convert, scope, operator, container)

    convert_mended.mended = True  # type: ignore[attr-defined]
    return convert_mended
