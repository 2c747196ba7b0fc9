"""Answers out: a model's outputs to labels, probabilities by class, and numbers.

Everything is text from the start: JSON and CSV write numbers alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnlet.errors import InferenceError
from nnlet.guest.columns import as_text
from nnlet.guest.jsontext import quote
from nnlet.guest.models import TensorInfo
from nnlet.guest.tensors import finite

# Digits enough to tell any two values of a datatype apart.
_FORMATS = {"FP16": "%.5g", "BF16": "%.4g", "FP32": "%.9g", "FP64": "%r"}

# JSON has no NaN and no infinities.
_NULL = "null"


class Field:
    """One field of an answer: what is said of each row, from one output of the model."""

    __slots__ = ("name", "kind", "info", "classes", "names", "_labels", "_template", "_format")

    def __init__(self, info: TensorInfo, entry: dict[str, Any]) -> None:
        self.name: str = entry["name"]
        self.kind: str = entry["kind"]
        self.info = info
        self.classes: tuple[Any, ...] = entry.get("classes", ())
        self.names: tuple[str, ...] = entry.get("names", tuple(map(as_text, self.classes)))
        self._labels = [quote(c) if type(c) is str else as_text(c) for c in self.classes]
        self._template = object_template(self.names) if self.names else ""
        self._format = _FORMATS.get(info.datatype.name, "%d")

    def json(self, values: Sequence[Any], rows: int) -> list[str]:
        """The field of each row as JSON, from all values of the output."""
        if self.kind == "label":
            return [self._labels[i] if i >= 0 else _NULL for i in self._indices(values, rows)]
        texts = self._texts(values)
        if self.kind == "number":
            return texts
        lists = self._rows(texts, rows)
        if self._template:
            return [self._template % tuple(row) for row in lists]
        return [f"[{','.join(row)}]" for row in lists]

    def head(self, values: Sequence[Any], rows: int) -> list[str]:
        """The names of the field's columns in CSV."""
        if self.kind in ("label", "number"):
            return [self.name]
        size = self._size(values, rows)
        return [f"{self.name}.{name}" for name in self.names or map(str, range(size))]

    def cells(self, values: Sequence[Any], rows: int) -> list[list[str]]:
        """The field's columns of each row in CSV: blank where there is no number."""
        if self.kind == "label":
            indices = self._indices(values, rows)
            return [[as_text(self.classes[i]) if i >= 0 else ""] for i in indices]
        texts = ["" if text == _NULL else text for text in self._texts(values)]
        return self._rows(texts, rows)

    def check(self, values: Sequence[Any], rows: int) -> None:
        """Refuse what cannot be `rows` answers: the model does not do what was said of it."""
        size = self._size(values, rows)
        many = self.kind != "number" and not self._is_index()
        expected = (len(self.names) or size) if many else 1
        if not size or size != expected or size * rows != len(values):
            raise InferenceError(
                "invalid-encoding",
                f"output {self.info.name!r} has {len(values)} values for {rows} rows: expected "
                f"{expected or 'some'} a row for {self.name!r}",
            )

    def _is_index(self) -> bool:
        return self.kind == "label" and self.info.datatype.kind != "f"

    def _size(self, values: Sequence[Any], rows: int) -> int:
        return len(values) // rows if rows else 0

    def _rows(self, items: Sequence[Any], rows: int) -> list[Any]:
        size = self._size(items, rows)
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _indices(self, values: Sequence[Any], rows: int) -> Sequence[int]:
        """The class of each row; -1 where scores hold NaN, so that none is the highest."""
        if not self._is_index():
            return [_highest(scores) for scores in self._rows(values, rows)]
        last = len(self.classes) - 1
        if not 0 <= min(values) <= max(values) <= last:
            wrong = next(value for value in values if not 0 <= value <= last)
            raise InferenceError(
                "invalid-encoding",
                f"output {self.info.name!r} says class {wrong}: {self.name!r} in model.toml has "
                f"classes 0 to {last}",
            )
        return values

    def _texts(self, values: Sequence[Any]) -> list[str]:
        kind = self.info.datatype.kind
        if kind == "b":
            return ["true" if value else "false" for value in values]
        if kind == "f" and not finite(values):
            return [self._format % v if math.isfinite(v) else _NULL for v in values]
        return (f"{self._format} " * len(values) % tuple(values)).split()


def _highest(scores: Sequence[float]) -> int:
    if any(score != score for score in scores):
        return -1
    return scores.index(max(scores))


def object_template(names: Sequence[str]) -> str:
    """A JSON object with these keys, as a template for `%`."""
    items = [f"{quote(name).replace('%', '%%')}:%s" for name in names]
    return f"{{{','.join(items)}}}"
