"""codes: categories of a table as the numbers that boosted trees split on.

Callers send a category, its place in the list of model.toml crosses, and the trees ask for that
place. The library numbers categories in its own way; the two are brought together here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlet.convert.columns import number_spec
from nnlet.convert.converted import Array
from nnlet.convert.ensemble import INPUT
from nnlet.convert.sample import Column, Sample
from nnlet.errors import ConvertError
from nnlet.signature import ColumnSpec, Scalar

Categories = Mapping[int, Sequence[Scalar]]  # by feature: what the library numbers 0, 1, ...


@dataclass(frozen=True)
class Coded:
    """A sample as boosted trees read it.

    `matrix` [rows, features] in float64 holds places for categories, NaN for what is missing or
    unknown. `source` is the same rows for the library's predict. `places`: by feature, the place
    in its column's list of each category that the library numbers.
    """

    columns: tuple[ColumnSpec, ...]
    matrix: Array
    source: Any
    places: Mapping[int, tuple[int, ...]]


def coded(sample: Sample, named: bool, categories: Categories, unknown: str) -> Coded:
    """The sample in numbers.

    `named`: whether the library knows its features by name. `unknown`: what model.toml says of
    a category that the library does not list. Raises ConvertError for a column of words that is
    not one of categories.
    """
    rows = sample.some()
    columns, values, places = [], [], {}
    for n, (column, shown) in enumerate(zip(sample.columns, rows.columns, strict=True)):
        if n not in categories and column.type == "category":
            raise ConvertError(
                f"column {column.name!r} of the sample holds words, the model was fitted on "
                "numbers there: hand over rows as it was fitted on"
            )
        if n not in categories:
            columns.append(number_spec(column, INPUT, n))
            values.append(shown.values.astype(np.float64))
            continue
        listed = _listed(sample.known.get(column.name, ()), categories[n])
        places[n] = tuple(listed.index(category) for category in categories[n])
        columns.append(_spec(column, n, listed, unknown))
        values.append(_numbers(shown, places[n], categories[n]))
    source = _frame(rows, categories) if named or categories else rows.matrix("float64")
    return Coded(tuple(columns), np.stack(values, axis=1), source, places)


def _listed(known: Sequence[Scalar], own: Sequence[Scalar]) -> list[Scalar]:
    """Those that model.toml lists already keep their places."""
    return [*known, *(category for category in own if category not in known)]


def _spec(column: Column, position: int, listed: Sequence[Scalar], unknown: str) -> ColumnSpec:
    return ColumnSpec(
        name=column.name,
        type="category",
        input=INPUT,
        position=position,
        categories=tuple(listed),
        unknown=unknown,
        missing="nan" if column.missing.any() else None,
    )


def _numbers(column: Column, places: Sequence[int], own: Sequence[Scalar]) -> Array:
    number = dict(zip(own, places, strict=True))
    return np.array([number.get(v, np.nan) for v in _plain(column, own)], np.float64)


def _plain(column: Column, own: Sequence[Scalar]) -> list[Any]:
    """The values as the library's categories are typed: a CSV reads words that are digits as
    numbers."""
    words = any(isinstance(category, str) for category in own)
    found = [None if gap else v for v, gap in zip(column.values, column.missing, strict=True)]
    if words:
        return [v if v is None or isinstance(v, str) else str(v) for v in found]
    return [v.item() if isinstance(v, np.generic) else v for v in found]


def _frame(rows: Sample, categories: Categories) -> Any:
    import pandas

    def typed(n: int, column: Column) -> Any:
        if n not in categories:
            return column.values
        own = list(categories[n])
        listed = set(own)
        known = [v if v in listed else None for v in _plain(column, own)]
        return pandas.Categorical(known, categories=own)

    return pandas.DataFrame({c.name: typed(n, c) for n, c in enumerate(rows.columns)})


def declared(sample: Sample, feature: int) -> tuple[Scalar, ...]:
    """The categories of a column, for a model that only knows their numbers.

    Raises ConvertError unless the column's own type lists them.
    """
    column = sample.columns[feature]
    if column.categories:
        return column.categories
    raise ConvertError(
        f"column {column.name!r} holds categories, and the model knows only their numbers: hand "
        "over a DataFrame whose column is a pandas categorical, as it was in training"
    )
