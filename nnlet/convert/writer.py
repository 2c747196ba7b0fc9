"""writer: an ONNX graph written node by node, in one precision, for models without a converter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnlet.convert.converted import FLOATS, Array, Precision

OPSET = 18
IR_VERSION = 9

Operand = str | float | Array  # a value by its name, or a constant in the graph's precision


class Writer:
    """The nodes and constants of one graph. A value is known by its name, a string."""

    def __init__(self, precision: Precision) -> None:
        self.real = np.dtype(FLOATS[precision])
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[onnx.TensorProto] = []

    def node(self, op: str, *operands: Operand, **attributes: Any) -> str:
        """The value that an operator of one output makes."""
        inputs = [v if isinstance(v, str) else self.constant(v) for v in operands]
        output = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def constant(self, values: Any, dtype: Any = None) -> str:
        """A constant, in the graph's own precision unless `dtype` says otherwise."""
        array = np.ascontiguousarray(np.asarray(values, dtype or self.real))
        array = array.reshape(np.shape(values))  # a scalar stays one
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._tensors.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """A constant of integers, as axes and shapes are."""
        return self.constant(list(values), np.int64)

    def cast(self, value: str) -> str:
        """A value of any type in the graph's own precision."""
        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(self.real))

    def beside(self, values: Sequence[str]) -> str:
        """Values [N, *] side by side."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=1)

    def model(
        self, inputs: Mapping[str, tuple[Any, int]], outputs: Mapping[str, tuple[str, Any, int]]
    ) -> onnx.ModelProto:
        """The whole: inputs by name with dtype and width, outputs with the value they are."""
        for name, (value, _, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name], name))
        graph = helper.make_graph(
            self._nodes,
            "model",
            [_value(name, dtype, width) for name, (dtype, width) in inputs.items()],
            [_value(name, dtype, width) for name, (_, dtype, width) in outputs.items()],
            self._tensors,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="nnlet"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _value(name: str, dtype: Any, width: int) -> onnx.ValueInfoProto:
    """A tensor [N, width], or [N] for width 0."""
    shape: list[str | int | None] = ["N", width] if width else ["N"]
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
    )
