"""model.toml as `add` writes it: made to be read and edited by people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nnlet.convert.converted import Array, Converted
from nnlet.signature import AnswerSpec, ColumnSpec

MAX_EXAMPLE = 4096  # values; a larger example would fill the file


def model_toml(converted: Converted, description: str) -> str:
    """The whole file for a new model."""
    parts = [f"description = {value(description)}"]
    parts += [_table("labels", _labels(converted))] if _labels(converted) else []
    parts += [_table("example", example)] if (example := _example(converted)) else []
    parts += columns_and_answer(converted.columns, converted.answer)
    return "\n\n".join(parts) + "\n"


def columns_and_answer(columns: Iterable[ColumnSpec], answer: Iterable[AnswerSpec]) -> list[str]:
    """One table for each column and each field of the answer."""
    return [
        *(_tables("columns", _column(spec)) for spec in columns),
        *(_tables("answer", _answer(spec)) for spec in answer),
    ]


def _column(spec: ColumnSpec) -> dict[str, Any]:
    """The keys of a column, without what is their default."""
    keys: dict[str, Any] = {"name": spec.name, "type": spec.type}
    if spec.input != spec.name:
        keys["input"] = spec.input
    if spec.position:
        keys["position"] = spec.position
    if spec.range is not None:
        whole = spec.type == "integer"
        keys["range"] = [int(v) if whole else v for v in spec.range]
    if spec.categories:
        keys["categories"] = list(spec.categories)
    if spec.unknown != "error":
        keys["unknown"] = spec.unknown
    if spec.missing is not None:
        keys["missing"] = spec.missing
    return keys


def _answer(spec: AnswerSpec) -> dict[str, Any]:
    keys: dict[str, Any] = {"name": spec.name, "output": spec.output, "kind": spec.kind}
    if spec.classes:
        keys["classes"] = list(spec.classes)
    if spec.names:
        keys["names"] = list(spec.names)
    return keys


def _labels(converted: Converted) -> dict[str, list[str]]:
    """The class names along an output's last axis, for those who ask for tensors."""
    found = {}
    for spec in converted.answer:
        if spec.kind == "probabilities":
            found[spec.output] = [str(name) for name in spec.classes]
        elif spec.kind == "numbers" and spec.names:
            found[spec.output] = list(spec.names)
    return found


def _example(converted: Converted) -> dict[str, Any]:
    """The first row of the sample in which nothing is missing, as the model's inputs."""
    feeds = converted.feeds
    rows = len(next(iter(feeds.values()), ()))
    if sum(array[:1].size for array in feeds.values()) > MAX_EXAMPLE:
        return {}
    for row in range(rows):
        taken = {name: array[row : row + 1] for name, array in feeds.items()}
        if all(_is_plain(array) for array in taken.values()):
            return {name: _nested(array) for name, array in taken.items()}
    return {}


def _is_plain(array: Array) -> bool:
    return array.dtype.kind in "biu" or bool(np.isfinite(array.astype(np.float64)).all())


def _nested(array: Array) -> Any:
    """Nested lists, each float as short as its datatype allows."""
    if array.dtype.kind != "f":
        return array.tolist()
    if array.ndim == 0:
        number: Any = array[()]
        return float(np.format_float_positional(number, trim="0"))
    return [_nested(item) for item in array]


def _table(name: str, keys: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *_lines(keys)])


def _tables(name: str, keys: Mapping[str, Any]) -> str:
    return "\n".join([f"[[{name}]]", *_lines(keys)])


def _lines(keys: Mapping[str, Any]) -> list[str]:
    return [f"{key(name)} = {value(given)}" for name, given in keys.items()]


def key(name: str) -> str:
    """A key, quoted where TOML needs it."""
    bare = name and all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
    return name if bare else value(name)


def value(given: Any) -> str:
    """A TOML value: a string, boolean, number, or a list of them."""
    if isinstance(given, str):
        # JSON's escapes are TOML's, but for one control character that JSON leaves as it is.
        return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return repr(given) if math.isfinite(given) else str(given)
    if isinstance(given, int):
        return str(given)
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(value(item) for item in given)}]"
    raise TypeError(f"no TOML value: {given!r}")
