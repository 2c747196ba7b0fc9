"""The fields of one table in model.toml, each checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnlet.errors import ModelError

_TYPES: dict[type, str] = {str: "strings", bool: "booleans", int: "integers", float: "floats"}


class Fields:
    """One table of an array such as [[columns]]: its name, and typed access to the rest."""

    def __init__(
        self, toml: Path, array: str, number: int, table: Any, allowed: Sequence[str]
    ) -> None:
        self.where = f"{toml}: [[{array}]] number {number}"
        if not isinstance(table, dict):
            raise ModelError(f"{self.where} is {table!r}: expected a table")
        self.table = table
        self.name = self.string("name")
        self.where = f"{toml}: [[{array}]] {self.name!r}"
        for key in table:
            if key not in allowed:
                raise ModelError(
                    f"{self.where}: unknown key {key!r}: expected one of {', '.join(allowed)}"
                )

    def error(self, key: str, expected: str) -> ModelError:
        """What to raise where the value of `key` is wrong."""
        found = f"{key} is {self.table[key]!r}" if key in self.table else f"{key} is missing"
        return ModelError(f"{self.where}: {found}: expected {expected}")

    def string(self, key: str, default: str = "") -> str:
        """A string that is not empty."""
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.error(key, "a string")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str = "") -> str:
        """One of `choices`."""
        value = self.table.get(key, default)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}")
        return str(value)

    def scalars(self, key: str, types: Sequence[type]) -> tuple[Any, ...]:
        """Different values, one or more, all of one of the `types`."""
        values = self.table.get(key)
        what = ", ".join(_TYPES[item] for item in types)
        if not isinstance(values, list) or not values:
            raise self.error(key, f"a list of {what}")
        if len({type(value) for value in values}) > 1 or type(values[0]) not in types:
            raise self.error(key, f"values of one type: {what}")
        twice = [value for index, value in enumerate(values) if value in values[:index]]
        if twice:
            raise ModelError(f"{self.where}: {key} has {twice[0]!r} twice: expected each once")
        return tuple(values)

    def absent(self, key: str, where: str) -> None:
        """Refuse `key`, which belongs only `where`."""
        if key in self.table:
            raise ModelError(f"{self.where}: {key} belongs to {where} only: take it away")


def tables(toml: Path, array: str, found: Any, allowed: Sequence[str]) -> Iterator[Fields]:
    """Each table of [[array]], with a name of its own. Raises ModelError."""
    if not isinstance(found, list):
        raise ModelError(f"{toml}: {array} is {found!r}: expected tables, [[{array}]]")
    names: set[str] = set()
    for number, table in enumerate(found, 1):
        fields = Fields(toml, array, number, table, allowed)
        if fields.name in names:
            raise ModelError(f"{fields.where} stands there twice: expected each name once")
        names.add(fields.name)
        yield fields
