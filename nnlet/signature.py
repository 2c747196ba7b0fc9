"""What a model takes and gives: as tensors, and as columns and answers with names."""

from __future__ import annotations

from dataclasses import dataclass

from nnlet.tensor import DataType

# What a column or a class can be: a TOML scalar.
Scalar = str | bool | int | float


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. `shape` has -1 for a dimension known only at run time."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnSpec:
    """One column of what callers send, from [[columns]] of model.toml.

    `type` is number, integer, boolean or category. The column's value, or for a category its
    index in `categories`, goes to `position` on the second axis of `input`, which is [N, K] or
    [N]. `range` is the least and greatest seen in training: shown, not enforced. `unknown` is
    error or ignore, which crosses as -1. `missing` is None (refused), "nan" (NaN; for a category
    in an integer input: -1), or the value that is put in; for a category that is called "nan",
    that category.
    """

    name: str
    type: str
    input: str
    position: int = 0
    range: tuple[float, float] | None = None
    categories: tuple[Scalar, ...] = ()
    unknown: str = "error"
    missing: Scalar | None = None


@dataclass(frozen=True)
class AnswerSpec:
    """One field of the answer to a record, from [[answer]] of model.toml.

    `kind` says how `output` is read: label (an index into `classes`; of floats [N, C], that of
    the highest), probabilities (floats [N, C], one a class), number ([N] or [N, 1]), numbers
    ([N, K], by `names` if there are any).
    """

    name: str
    output: str
    kind: str
    classes: tuple[Scalar, ...] = ()
    names: tuple[str, ...] = ()
