"""[[columns]] of model.toml: read, and checked against the model's inputs.

The format is described in docs/predict.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnlet.errors import ModelError
from nnlet.fields import Fields, tables
from nnlet.signature import ColumnSpec, Scalar, TensorSpec
from nnlet.tensor import DATATYPES, DataType

# For each type, the kinds of datatypes that it goes into (see nnlet.tensor), in words too.
TYPES = {
    "number": ("f", "floating point"),
    "integer": ("fiu", "floating point or integer"),
    "boolean": ("bfiu", "boolean, integer or floating point"),
    "category": ("fiu", "floating point or integer"),
}
UNKNOWN = ("error", "ignore")

_KEYS = ("name", "type", "input", "position", "range", "categories", "unknown", "missing")

# Whole numbers up to here are exact in a floating-point datatype.
_EXACT = {"FP16": 2**11, "BF16": 2**8, "FP32": 2**24, "FP64": 2**53}


def read_columns(toml: Path, found: Any, inputs: Sequence[TensorSpec]) -> tuple[ColumnSpec, ...]:
    """The columns, of which every position of every input has one. Raises ModelError."""
    columns = tuple(_column(fields, inputs) for fields in tables(toml, "columns", found, _KEYS))
    if columns:
        for tensor in inputs:
            _check_positions(toml, tensor, [c for c in columns if c.input == tensor.name])
        _check_rows(toml, inputs)
    return columns


def _column(fields: Fields, inputs: Sequence[TensorSpec]) -> ColumnSpec:
    type_ = fields.choice("type", tuple(TYPES))
    tensor = _input(fields, inputs)
    kinds, words = TYPES[type_]
    if tensor.datatype.kind not in kinds:
        raise ModelError(
            f"{fields.where}: type {type_} does not fit input {tensor.name!r}, which is "
            f"{tensor.datatype}: expected a datatype that is {words}"
        )
    if type_ != "category":
        fields.absent("categories", 'type = "category"')
        fields.absent("unknown", 'type = "category"')
    if type_ not in ("number", "integer"):
        fields.absent("range", 'type = "number" and "integer"')
    column = ColumnSpec(
        name=fields.name,
        type=type_,
        input=tensor.name,
        position=_position(fields, tensor),
        range=_range(fields),
        categories=fields.scalars("categories", (str, int, bool)) if type_ == "category" else (),
        unknown=fields.choice("unknown", UNKNOWN, "error"),
        missing=fields.table.get("missing"),
    )
    _check_categories(fields, column, tensor.datatype)
    if column.missing is not None:
        _check_missing(fields, column, tensor.datatype)
    return column


def _input(fields: Fields, inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The input that the column goes into: by default the one of its own name."""
    name = fields.string("input", fields.name)
    tensor = next((item for item in inputs if item.name == name), None)
    if tensor is None:
        raise ModelError(
            f"{fields.where}: there is no input {name!r}: the model's inputs are "
            f"{', '.join(item.name for item in inputs)}"
        )
    if len(tensor.shape) not in (1, 2):
        raise ModelError(
            f"{fields.where}: input {name!r} has the shape {list(tensor.shape)}: expected [N] or "
            "[N, K], which columns can fill (other inputs are sent as tensors)"
        )
    return tensor


def _position(fields: Fields, tensor: TensorSpec) -> int:
    position = fields.table.get("position", 0)
    size = tensor.shape[1] if len(tensor.shape) == 2 else 1
    if type(position) is not int or position < 0 or (size != -1 and position >= size):
        most = "" if size == -1 else f" to {size - 1}"
        raise fields.error("position", f"a whole number from 0{most}, within {tensor.name!r}")
    return position


def _range(fields: Fields) -> tuple[float, float] | None:
    found = fields.table.get("range")
    if found is None:
        return None
    if not (isinstance(found, list) and len(found) == 2 and all(map(_is_number, found))):
        raise fields.error("range", "two numbers, the least and the greatest")
    least, greatest = found
    if least > greatest:
        raise fields.error("range", "the least number first")
    return float(least), float(greatest)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _check_categories(fields: Fields, column: ColumnSpec, datatype: DataType) -> None:
    last = len(column.categories) - 1
    if last > _EXACT.get(datatype.name, last) or not holds(datatype, max(last, 0)):
        raise ModelError(
            f"{fields.where}: {last + 1} categories: {datatype} of input {column.input!r} does not "
            f"hold their last index, {last}"
        )
    if column.unknown == "ignore" and not holds(datatype, -1):
        raise ModelError(
            f"{fields.where}: unknown = 'ignore' crosses as -1, which {datatype} of input "
            f"{column.input!r} does not hold: expected 'error'"
        )


def _check_missing(fields: Fields, column: ColumnSpec, datatype: DataType) -> None:
    value: Any = column.missing
    if value in column.categories and type(value) is type(column.categories[0]):
        return
    if value == "nan":
        if not (datatype.kind == "f" or (column.categories and holds(datatype, -1))):
            raise ModelError(
                f"{fields.where}: missing is 'nan': {datatype} of input {column.input!r} has no "
                "NaN: expected a value that is put in, or no such key, so that it is refused"
            )
        return
    if column.categories:
        raise fields.error("missing", "'nan' or one of the categories")
    expected, fits = _VALUES[column.type]
    if not fits(value):
        raise fields.error("missing", f"'nan' or {expected}")
    if not holds(datatype, value):
        raise fields.error("missing", f"a value that {datatype} of input {column.input!r} holds")


# The value that may stand for a missing one, by the column's type: in words, and as a test.
_VALUES = {
    "number": ("a number", _is_number),
    "integer": ("an integer", lambda value: type(value) is int),
    "boolean": ("true or false", lambda value: type(value) is bool),
}


def holds(datatype: DataType, value: Scalar) -> bool:
    """Whether a number or boolean is within the datatype's range."""
    code = datatype.code or DATATYPES["FP32"].code  # BF16 has FP32's range
    try:
        struct.pack(f"<{code}", value)
    except (struct.error, OverflowError):
        return False
    return True


def _check_positions(toml: Path, tensor: TensorSpec, columns: Sequence[ColumnSpec]) -> None:
    """Every position has one column. A second axis of any size is as long as its columns."""
    size = tensor.shape[1] if len(tensor.shape) == 2 else 1
    taken: dict[int, str] = {}
    for column in columns:
        if column.position in taken:
            raise ModelError(
                f"{toml}: [[columns]] {taken[column.position]!r} and {column.name!r} are both at "
                f"position {column.position} of input {tensor.name!r}: expected one of them there"
            )
        taken[column.position] = column.name
    size = len(columns) if size == -1 else size
    open_ = [position for position in range(size or 1) if position not in taken]
    if open_:
        raise ModelError(
            f"{toml}: [[columns]] has none for position {', '.join(map(str, open_))} of input "
            f"{tensor.name!r} {list(tensor.shape)}: expected one for each"
        )


def _check_rows(toml: Path, inputs: Sequence[TensorSpec]) -> None:
    fixed = {tensor.name: tensor.shape[0] for tensor in inputs if tensor.shape[0] != -1}
    if len(set(fixed.values())) > 1:
        found = ", ".join(f"{name!r} {size}" for name, size in fixed.items())
        raise ModelError(
            f"{toml}: [[columns]]: the inputs' numbers of rows differ ({found}): expected one, so "
            "that a row of a table is a row of each"
        )
