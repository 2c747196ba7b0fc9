"""inside: boosted trees as a step of a scikit-learn Pipeline, through skl2onnx's registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

from nnlet.convert.answers import scalars
from nnlet.convert.ensemble import Ensemble, Steps, outputs
from nnlet.convert.sample import Array
from nnlet.errors import ConvertError

Read = Callable[[Any], Ensemble]


def register(cls: type, read: Read, *, doubles: bool = False) -> None:
    """Make known to skl2onnx the estimators of one class, of which `read` makes an Ensemble.

    `doubles`: whether the library compares float64; if not, what comes is rounded to float32
    first, as it does.
    """
    alias = f"nnlet{cls.__name__}"
    outputs = _CLASSIFIER if hasattr(cls, "predict_proba") else _REGRESSOR

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        operator = scope.declare_local_operator(alias, model)
        operator.inputs = inputs
        for name, kind in outputs:
            operator.outputs.append(scope.declare_local_variable(name, kind()))
        return operator.outputs

    def convert(scope: Any, operator: Any, container: Any) -> None:
        _convert(read, doubles, scope, operator, container)

    # The option of other classifiers, which their callers set; here it is always off.
    options = {"zipmap": [True, False]} if outputs is _CLASSIFIER else None
    update_registered_converter(
        cls, alias, _shapes, convert, overwrite=True, parser=parse, options=options
    )


# No list of maps as answer, whatever skl2onnx does with other classifiers.
_CLASSIFIER = (("label", Int64TensorType), ("probabilities", FloatTensorType))
_REGRESSOR = (("variable", FloatTensorType),)


def _shapes(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    if len(operator.outputs) == 2:
        classes = len(operator.raw_operator.classes_)
        operator.outputs[0].type = Int64TensorType([rows])
        operator.outputs[1].type = FloatTensorType([rows, classes])
    else:
        operator.outputs[0].type = FloatTensorType([rows, None])


def _convert(read: Read, doubles: bool, scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    ensemble = read(model)
    steps = Steps(scope.get_unique_variable_name("ensemble"))
    names = [value.onnx_name for value in operator.inputs]
    x = names[0] if len(names) == 1 else steps.add("Concat", *names, axis=1)
    double = doubles and operator.inputs[0].type.__class__.__name__ == "DoubleTensorType"
    if not double:  # a step before may hand on integers, too
        x = steps.add("Cast", x, to=TensorProto.FLOAT)
    made = outputs(ensemble, steps, x, model.n_features_in_, "FP64" if double else "FP32")
    if ensemble.kind == "classifier":
        made[0] = _labels(steps, made[0], model)
    for value, output in zip(made, operator.outputs, strict=True):
        steps.add("Identity", value, result=output.onnx_name)
    for constant in steps.constants:
        container.initializers.append(constant)
    for node in steps.nodes:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            op_domain=node.domain,
            op_version=3 if node.domain else 13,
            name=scope.get_unique_operator_name(node.op_type),
            **given,
        )


def _labels(steps: Steps, index: str, model: Any) -> str:
    """The classes themselves where they are numbers; words are indices in the end anyway."""
    classes: Array = np.asarray(model.classes_)
    if classes.ndim != 1:
        raise ConvertError(f"{type(model).__name__} answers several labels at once")
    values = scalars(classes)
    if any(isinstance(value, str) for value in values):
        return index
    return steps.add("Gather", steps.constant([int(v) for v in values], "int64"), index)
