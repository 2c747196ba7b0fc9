"""columns: the sample's columns beside those that a model was fitted on, and as model.toml."""

from __future__ import annotations

from collections.abc import Iterable

from nnlet.convert.sample import Column, Sample
from nnlet.errors import ConvertError
from nnlet.signature import ColumnSpec


def matched(sample: Sample, names: Iterable[str] | None, count: int | None, who: str) -> Sample:
    """The sample with the names that the model knows.

    `names` and `count` are those of the columns that it was fitted on, None where it does not
    say; `who` names it in messages. Raises ConvertError if the sample has others.
    """
    if names is None or not sample.named:
        if count is not None and count != len(sample.columns):
            raise ConvertError(
                f"the sample has {len(sample.columns)} columns, {who} was fitted on {count}: hand "
                "over the columns that it was fitted on, without the target"
            )
        return sample if names is None else sample.renamed([str(name) for name in names])
    expected, found = [str(name) for name in names], set(sample.names)
    missing = [name for name in expected if name not in found]
    extra = [name for name in sample.names if name not in expected]
    if missing or extra:
        told = [f"{missing=!s}"] if missing else []
        told += [f"unknown={extra}"] if extra else []
        raise ConvertError(
            f"the sample's columns are not those that {who} was fitted on: {'; '.join(told)}"
            + (" (leave the target out with --target, or target=)" if extra else "")
        )
    if list(sample.names) != expected:
        raise ConvertError(
            f"the sample's columns are in another order than {who} was fitted on: expected "
            f"{', '.join(expected)}"
        )
    return sample


def number_spec(column: Column, name: str, position: int = 0) -> ColumnSpec:
    """A column of numbers, integers or booleans that goes to `position` of the input `name`.

    A missing value is allowed, as NaN, where the sample has one.
    """
    return ColumnSpec(
        name=column.name,
        type=column.type,
        input=name,
        position=position,
        range=column.range,
        missing="nan" if column.missing.any() else None,
    )
