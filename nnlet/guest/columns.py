"""Columns in: the values of one column to the numbers that cross to the model.

Values come as JSON has them. Those of CSV are read into that first. Whole columns are checked
by passes that run in C; only where one of these fails, value by value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from nnlet.guest.models import TensorInfo
from nnlet.guest.nearest import nearest
from nnlet.guest.tensors import describe
from nnlet.tensor import DataType

# What a column of each type expects, in words, and the types of values that need no second look.
_EXPECTED = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "a category",
}
_KINDS: dict[str, set[type]] = {
    "number": {int, float},
    "integer": {int},
    "boolean": {bool},
    "category": {str},
}

# The greatest finite value of each floating-point datatype. A struct of it never fails.
_GREATEST = {
    "FP16": 65504.0,
    "BF16": 3.3895313892515355e38,
    "FP32": 3.4028234663852886e38,
    "FP64": 1.7976931348623157e308,
}

# float() and int() read "nan", "1_000" and digits of every script, too: a column of numbers
# holds nothing but these.
_NOT_NUMERIC = str.maketrans("", "", "0123456789+-.eE \t")

# How much room the allowed categories take in a message, in characters.
_ROOM = 240


class Column:
    """One column: where its values go, and how they become numbers.

    `missing` is the number that crosses for a missing value, None if it is refused; `index`
    the number of each category.
    """

    __slots__ = (
        *("name", "type", "input", "position", "range", "categories", "unknown", "missing"),
        *("index", "datatype", "least", "greatest", "kinds"),
    )

    def __init__(self, info: TensorInfo, entry: dict[str, Any]) -> None:
        self.name: str = entry["name"]
        self.type: str = entry["type"]
        self.input = info.name
        self.position: int = entry.get("position", 0)
        self.range: tuple[float, float] | None = entry.get("range")
        self.categories: tuple[Any, ...] = entry.get("categories", ())
        self.unknown: str = entry.get("unknown", "error")
        self.index = {value: index for index, value in enumerate(self.categories)}
        self.datatype = info.datatype
        self.least, self.greatest = _limits(info.datatype, self.type)
        self.kinds = {type(self.categories[0])} if self.categories else _KINDS[self.type]
        self.missing = self._missing(entry.get("missing"))

    def _missing(self, value: Any) -> float | int | None:
        if value is None or (self.categories and value in self.index):
            return self.index.get(value)
        if value == "nan":
            return math.nan if self.datatype.kind == "f" else -1
        number: float | int = value
        return number

    def numbers(self, values: Sequence[Any]) -> Sequence[Any] | None:
        """What crosses for each value; None if one of them does not fit."""
        if not self.categories and self.all_fit(values):
            return values
        found = list(map(self.number, values))
        return None if None in found else found

    def all_fit(self, values: Sequence[Any]) -> bool:
        """Whether all values cross as they are: not for categories."""
        if not set(map(type, values)) <= self.kinds:
            return False
        return self.type == "boolean" or (
            self.least <= min(values) and max(values) <= self.greatest
        )

    def number(self, value: Any) -> Any:
        """What crosses for one value, None if it does not fit."""
        if value is None:
            return self.missing
        if type(value) is float and self.kinds == {int}:
            value = _whole(value)  # 3.0 is a whole number, as it is to JSON Schema
        if type(value) not in self.kinds:
            return None
        if self.categories:
            return self.index.get(value, -1 if self.unknown == "ignore" else None)
        return value if self.type == "boolean" or self.least <= value <= self.greatest else None

    def complaint(self, value: Any) -> str:
        """What is wrong with a value that does not fit, and what would be right."""
        expected = _EXPECTED[self.type]
        if value is None:
            return f"its value is missing: expected {expected}"
        if self.categories:
            return self._unknown(value)
        if type(value) is str:
            bare = ", without quotes" if isinstance(self.parse_one(value), (int, float)) else ""
            return f"found {describe(value)}: expected {expected}{bare}"
        if type(value) in self.kinds:
            return f"found {describe(value)}: out of range for {self.datatype}"
        return f"found {describe(value)}: expected {expected}"

    def _unknown(self, value: Any) -> str:
        names = [name for name in self.categories if type(name) is str]
        match = nearest(value, names) if type(value) is str else ""
        hint = f" (did you mean {match!r}?)" if match else ""
        return f"found {describe(value)}{hint}: expected one of {listed(self.categories)}"

    # CSV

    def parse(self, fields: Sequence[str]) -> Sequence[Any]:
        """The fields of CSV as JSON has them: None where blank; a text that is none, as it is."""
        if self.kinds == {str}:
            return fields if "" in self.index else [field or None for field in fields]
        convert: Callable[[str], Any] = int if self.kinds == {int} else float
        if self.kinds != {bool} and not "".join(fields).translate(_NOT_NUMERIC):
            try:
                return list(map(convert, fields))
            except ValueError:
                pass
        return [self.parse_one(field) for field in fields]

    def parse_one(self, field: str) -> Any:
        """One field of a column that does not hold strings."""
        text = field.strip(" \t")
        if not text:
            return None
        if self.kinds == {bool}:
            return {"true": True, "false": False}.get(text.lower(), field)
        if text.translate(_NOT_NUMERIC):
            return field
        try:
            return int(text)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:
            return field


def _limits(datatype: DataType, type_: str) -> tuple[float, float]:
    """The least and greatest value that crosses; exact, and so integers, for integers."""
    if datatype.kind == "f":
        greatest = _GREATEST[datatype.name]
        return (-int(greatest), int(greatest)) if type_ == "integer" else (-greatest, greatest)
    bits = 8 * datatype.size
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if datatype.kind == "i" else (0, 2**bits - 1)


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def listed(values: Sequence[Any]) -> str:
    """Allowed values for a message: as many as there is room for, and how many more there are."""
    texts: list[str] = []
    room = _ROOM
    for value in values:
        texts.append(describe(value))
        room -= len(texts[-1]) + 2
        if room < 0:
            break
    more = len(values) - len(texts)
    return ", ".join(texts) + (f" and {more} more, listed in /openapi.json" if more else "")


def as_text(value: Any) -> str:
    """A scalar as it is written in CSV, and as the key of a JSON object."""
    return value if type(value) is str else json.dumps(value)
