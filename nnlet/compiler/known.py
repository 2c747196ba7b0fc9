"""What is known at compile time of the elements of small tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union, cast

import numpy as np
import numpy.typing as npt

from nnlet.compiler import reals
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.reals import Real
from nnlet.tensor import DataType

MAX_ITEMS = 256  # more elements than any shape has: then it is data
FLOATS = frozenset({"FP32", "FP64"})

Item = Union[Dim, Real]  # noqa: UP007
Items = npt.NDArray[Any]  # of objects: a Dim or Real each


@dataclass(frozen=True)
class Known:
    """A tensor whose elements are known."""

    dtype: DataType
    items: Items

    def value(self, label: str) -> Value:
        """As a constant where all elements are, else as `ints`."""
        flat = self.items.reshape(-1).tolist()
        if all(isinstance(x, int) for x in flat):
            array = np.array(flat, NUMPY[self.dtype.name]).reshape(self.items.shape)
            return Value("", self.dtype, array.shape, const=array, label=label)
        return Value("", self.dtype, self.items.shape, ints=tuple(flat), label=label)


def items_of(flat: Sequence[Item], shape: tuple[int, ...]) -> Items:
    """An array of sizes."""
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def known_ints(value: Value) -> tuple[Dim, ...] | None:
    """The flat elements of an integer or bool value, if they are known as sizes."""
    if value.dtype.kind == "f":
        return None
    if value.ints is not None:
        return cast("tuple[Dim, ...]", value.ints)
    const = value.const
    if const is not None and const.size <= MAX_ITEMS:
        return tuple(int(x) for x in const.reshape(-1))
    return None


def known_items(value: Value) -> tuple[Item, ...] | None:
    """The same, of a float32 or float64 value too."""
    if value.dtype.kind != "f":
        return known_ints(value)
    if value.dtype.name not in FLOATS:
        return None
    if value.ints is not None:
        return value.ints
    const = value.const
    if const is not None and const.size <= MAX_ITEMS:
        return tuple(reals.of_number(float(x), value.dtype) for x in const.reshape(-1))
    return None
