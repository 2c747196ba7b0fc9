"""Builder: the nodes and constants that take the place of one node of ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Union

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnlet.compiler.graph import Array, Node, as_array
from nnlet.errors import ModelError, UnsupportedModel

# OpenVINO's processor plugin computes INT64 as INT32.
INT32 = np.iinfo(np.int32)
NEW_REDUCTIONS = 18  # from here ReduceMax and its like take their axes as an input

Operand = Union[str, Array]  # noqa: UP007
Type = tuple[int, int]  # element type as ONNX counts, rank


class Names:
    """Names that no value of the model has yet."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._count = 0

    def new(self, stem: str) -> str:
        while True:
            self._count += 1
            name = f"{stem}/plain_{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name


class Builder:
    """One node on its way to plain ONNX: its attributes and inputs, and what replaces it.

    Operands are names of values, or arrays, which become constants. What is built needs
    opset 13; operators whose form changed later are written in that of `opset`.
    """

    def __init__(self, node: Node, types: Mapping[str, Type], opset: int, names: Names) -> None:
        self.node = node
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.results: dict[str, Type] = {}
        self._types = types
        self._opset = opset
        self._names = names
        self._stem = next(filter(None, node.outputs), node.op)

    # What the node says.

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where the node has none."""
        return self.node.attrs.get(name, default)

    def input(self, index: int = 0) -> str:
        """The name of an input, which must be there."""
        if index >= len(self.node.inputs) or not self.node.inputs[index]:
            self.fail(f"input {index} is missing")
        return self.node.inputs[index]

    def type(self, index: int = 0) -> int:
        """The element type of an input, as ONNX counts."""
        return self._type(index)[0]

    def rank(self, index: int = 0) -> int:
        return self._type(index)[1]

    def dtype(self, index: int = 0) -> np.dtype[Any]:
        """The same as numpy's."""
        return helper.tensor_dtype_to_np_dtype(self.type(index))

    def _type(self, index: int) -> Type:
        name = self.input(index)
        if name not in self._types:
            self.unsupported(f"neither the model nor ONNX says what type and rank {name!r} has")
        return self._types[name]

    # What comes out.

    def op(self, op: str, *inputs: Operand, **attrs: Any) -> str:
        """Adds a node with one output: its name."""
        output = self._names.new(self._stem)
        operands = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(op, operands, [output], name=output, **attrs))
        return output

    def constant(self, array: Array) -> str:
        name = self._names.new(self._stem)
        self.constants.append(numpy_helper.from_array(as_array(array), name))
        return name

    def result(self, index: int, value: str, dtype: int, rank: int) -> None:
        """Makes `value` output `index`, if anyone wants that."""
        name = self.node.outputs[index] if index < len(self.node.outputs) else ""
        if name:
            self.nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}/plain"))
            self.results[name] = (dtype, rank)

    def inner(self) -> Builder:
        """For the nodes of a graph inside this one's, which sees this one's values."""
        return Builder(self.node, self._types, self._opset, self._names)

    # Operators in the form of the opset, and pieces that several lowerings share.

    def reduce(self, op: str, x: str, axis: int, keepdims: bool = True) -> str:
        """ReduceSum, ReduceMax or ReduceMin along one axis."""
        if op == "ReduceSum" or self._opset >= NEW_REDUCTIONS:
            return self.op(op, x, ints(axis), keepdims=int(keepdims))
        return self.op(op, x, axes=[axis], keepdims=int(keepdims))

    def cast(self, x: str, dtype: int) -> str:
        return self.op("Cast", x, to=dtype)

    def reals(self, index: int = 0) -> str:
        """An input as FLOAT."""
        x = self.input(index)
        return x if self.type(index) == TensorProto.FLOAT else self.cast(x, TensorProto.FLOAT)

    def matrix(self, x: str, index: int = 0) -> str:
        """`x`, which has the rank of that input, as [rows, features]; one dimension is one row."""
        if self.rank(index) not in (1, 2):
            self.fail(f"an input of rank {self.rank(index)}: it should be [rows, features]")
        return self.op("Unsqueeze", x, ints(0)) if self.rank(index) == 1 else x

    def rows(self, x: str) -> str:
        """The first dimension of `x`, as [1]."""
        return self.op("Slice", self.op("Shape", x), ints(0), ints(1))

    def column(self, x: str, at: int) -> str:
        """Column `at` of [rows, columns], as [rows, 1]."""
        return self.op("Gather", x, ints(at), axis=1)

    def first_highest(self, x: str, n: int) -> str:
        """The column of the highest of x [rows, n], the first of equal ones: INT32 [rows].

        ArgMax would leave the choice among equal ones to OpenVINO.
        """
        highest = self.op("Equal", x, self.reduce("ReduceMax", x, 1))
        columns = np.arange(n, dtype=np.int32)[None]
        # In a row with a NaN nothing equals the highest.
        found = self.op("Where", highest, columns, np.array(n - 1, np.int32))
        return self.reduce("ReduceMin", found, 1, keepdims=False)

    # When it cannot be.

    @property
    def note(self) -> str:
        """The operator and the node's name, for messages."""
        return f"{self.node.op} '{self.node.name or self._stem}'"

    def fail(self, message: str) -> NoReturn:
        """This node contradicts itself or its inputs."""
        raise ModelError(f"{self.note}: {message}")

    def unsupported(self, message: str) -> NoReturn:
        """A valid node in a form that has no plain ONNX, or none that OpenVINO computes."""
        raise UnsupportedModel(f"{self.note}: {message}")

    def integers(self, values: Sequence[int], what: str) -> Array:
        """`values` as INT64. Refuses those that OpenVINO would change."""
        array = np.array(values, np.int64)
        outside = array[(array < INT32.min) | (array > INT32.max)]
        if outside.size:
            self.unsupported(f"{what} {outside[0]}, but OpenVINO computes INT64 as INT32")
        return array


def ints(*values: int) -> Array:
    """Axes, sizes and places, as ONNX takes them."""
    return np.array(values, np.int64)


def real(value: float | np.float32) -> Array:
    """A FLOAT of rank 0, which broadcasts to anything."""
    return np.array(value, np.float32)
