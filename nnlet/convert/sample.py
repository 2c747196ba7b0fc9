"""Sample: rows as the model's library takes them, and what their columns hold.

A DataFrame (pandas, Polars), a dict of columns, a NumPy array or a file. Its columns say what
callers will send; its rows are what the converted model is checked with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnlet.errors import ConvertError, ToolMissing
from nnlet.signature import Scalar

Array = np.ndarray[Any, np.dtype[Any]]

CHECKED_ROWS = 1000  # that many of a sample are computed, spread evenly


@dataclass(frozen=True)
class Column:
    """One column. `type` is number, integer, boolean or category, as in model.toml.

    `values` are float64 with NaN where missing, int64, bool, or objects: strings (or what a
    categorical column lists), None where missing. `categories` are those that the column's
    own type declares, as pandas' categorical does; () for any other. `range` is the least and
    the greatest of all rows; None for categories and where all are missing.
    """

    name: str
    type: str
    values: Array
    categories: tuple[Scalar, ...] = ()
    range: tuple[float, float] | None = None

    @property
    def missing(self) -> Array:
        """Where no value is: one bool a row."""
        if self.values.dtype == object:
            return np.array([value is None for value in self.values], bool)
        if self.values.dtype.kind == "f":
            return np.isnan(self.values)
        return np.zeros(len(self.values), bool)

    @property
    def seen(self) -> tuple[str, ...]:
        """The categories that it holds, as strings, sorted."""
        return tuple(sorted({str(value) for value in self.values if value is not None}))


@dataclass(frozen=True)
class Sample:
    """Rows of input.

    `source` is what was given, for the library's own predict. `columns` is empty for what is
    not a table (an image, say). `named` is False where names were made up here. `known` are
    the categories that model.toml lists for a model that is there already, by column: they
    keep their places.
    """

    source: Any
    columns: tuple[Column, ...] = ()
    named: bool = False
    known: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        if self.columns:
            return len(self.columns[0].values)
        if isinstance(self.source, Mapping):
            return max((len(values) for values in self.source.values()), default=0)
        if isinstance(self.source, tuple):
            return len(self.source[0])
        return 0 if self.source is None else len(self.source)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def where(self) -> str:
        """For messages."""
        return f"the sample ({len(self)} rows, {len(self.columns)} columns)"

    def renamed(self, names: Sequence[str]) -> Sample:
        """With other names for the columns, which are as many."""
        columns = (replace(c, name=n) for c, n in zip(self.columns, names, strict=True))
        return replace(self, columns=tuple(columns))

    def matrix(self, dtype: str) -> Array:
        """All columns, numbers each, as one array [rows, columns]."""
        return np.stack([column.values for column in self.columns], axis=1).astype(dtype)

    def some(self, limit: int = CHECKED_ROWS) -> Sample:
        """At most `limit` rows, spread evenly over all."""
        total = len(self)
        if total <= limit:
            return self
        rows = np.linspace(0, total - 1, limit).astype(np.int64)
        source = self.source
        taken = _TAKE[_kind(source)](source, rows)
        columns = tuple(replace(c, values=c.values[rows]) for c in self.columns)
        return replace(self, source=taken, columns=columns)


def sample_of(data: Any, target: str | None = None) -> Sample:
    """What `data` holds: a Sample, DataFrame, dict of columns, array, or a file's path.

    `target` is a column to leave out. Raises ConvertError, naming the column that is neither
    numbers nor strings.
    """
    if isinstance(data, Sample):
        return data
    if data is None:
        return Sample(None)
    if isinstance(data, (str, Path)):
        data = read_table(Path(data))
    if target is not None:
        data = _without(data, target)
    kind = _kind(data)
    if kind == "frame":
        return _filled(Sample(data, tuple(_column(str(n), data[n]) for n in data.columns), True))
    if kind == "mapping" and any(np.ndim(values) != 1 for values in data.values()):
        return Sample(data, named=True)  # tensors by input name
    if kind == "mapping":
        columns = tuple(_column(str(name), values) for name, values in data.items())
        if len({len(column.values) for column in columns}) > 1:
            lengths = ", ".join(f"{c.name} {len(c.values)}" for c in columns)
            raise ConvertError(f"the sample's columns differ in length: {lengths}")
        return _filled(Sample(data, columns, True))
    if kind == "sparse":
        raise ConvertError("the sample is a sparse matrix: hand over its .toarray()")
    if kind == "tuple":
        return _filled(Sample(data))  # tensors by place
    if isinstance(data, (list, tuple)):
        data = np.asarray(data)
    if isinstance(data, np.ndarray) or hasattr(data, "detach"):
        return _filled(_array(data))
    return _filled(Sample(data))


def _array(data: Any) -> Sample:
    """An array or a PyTorch tensor; the columns of a table."""
    if data.ndim == 2:
        plain = data.detach().cpu().numpy() if hasattr(data, "detach") else data
        columns = tuple(_column(f"x{n}", plain[:, n]) for n in range(plain.shape[1]))
        return Sample(data, columns)
    return Sample(data)


def _filled(sample: Sample) -> Sample:
    if len(sample) == 0:
        raise ConvertError("the sample has no rows: hand over some that the model was trained on")
    return sample


def read_table(path: Path) -> Any:
    """The content of a .csv, .parquet or .json (records) file as a DataFrame, of .npy as an array.

    Raises ConvertError, or ToolMissing without pandas.
    """
    if not path.is_file():
        raise ConvertError(f"no such file: {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConvertError(f"{path}: a sample is one of {', '.join(_READERS)}")
    try:
        return reader(path)
    except ImportError as exc:
        raise ToolMissing(
            f"{path}: reading it needs {exc.name or exc}: pip install pandas pyarrow"
        ) from exc
    except (ValueError, OSError, UnicodeDecodeError) as exc:
        raise ConvertError(f"{path} cannot be read: {str(exc).splitlines()[0]}") from exc


def _csv(path: Path) -> Any:
    import pandas

    return pandas.read_csv(path)


def _parquet(path: Path) -> Any:
    import pandas

    return pandas.read_parquet(path)


def _json(path: Path) -> Any:
    import pandas

    return pandas.read_json(path, orient="records")


def _npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".json": _json,
    ".npy": _npy,
    ".npz": _npz,
}


def _kind(data: Any) -> str:
    """What a sample is, told without importing the library that made it."""
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return "frame"
    if isinstance(data, Mapping):
        return "mapping"
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        return "sparse"
    if isinstance(data, tuple) and data and all(hasattr(item, "shape") for item in data):
        return "tuple"
    return "array"


# Some rows of a sample, by kind. Polars takes a list of row numbers where pandas has .iloc.
_TAKE: dict[str, Callable[[Any, Array], Any]] = {
    "frame": lambda data, rows: data.iloc[rows] if hasattr(data, "iloc") else data[rows.tolist()],
    "mapping": lambda data, rows: {n: np.asarray(values)[rows] for n, values in data.items()},
    "tuple": lambda data, rows: tuple(array[rows] for array in data),
    "array": lambda data, rows: data[rows],
}


def _without(data: Any, target: str) -> Any:
    names = list(getattr(data, "columns", data if isinstance(data, Mapping) else ()))
    if target not in names:
        raise ConvertError(
            f"the sample has no column {target!r} to leave out: it has "
            f"{', '.join(map(str, names)) or 'no names'}"
        )
    if isinstance(data, Mapping):
        return {name: values for name, values in data.items() if name != target}
    return data[[name for name in names if name != target]]


def _column(name: str, values: Any) -> Column:
    """The column that a Series or an array is. Raises ConvertError for other types."""
    categories = _declared(values)
    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if array.ndim != 1:
        raise ConvertError(f"column {name!r} of the sample has shape {list(array.shape)}")
    kind = array.dtype.kind
    if categories:
        return Column(name, "category", _objects(array), categories)
    if kind == "f":
        return _numbers(name, "number", array.astype(np.float64))
    if kind in "iu":
        return _numbers(name, "integer", array.astype(np.int64))
    if kind == "b":
        return Column(name, "boolean", array)
    if kind in "OUST":
        return _mixed(name, _objects(array))
    raise ConvertError(
        f"column {name!r} of the sample holds {array.dtype}, which is neither a number nor a "
        "string: turn it into numbers (a date into days, say) before the model, in training too"
    )


def _numbers(name: str, kind: str, values: Array) -> Column:
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    found = (float(present.min()), float(present.max())) if present.size else None
    return Column(name, kind, values, range=found)


def _declared(values: Any) -> tuple[Scalar, ...]:
    """The categories of a pandas categorical; () for all else."""
    found = getattr(getattr(values, "dtype", None), "categories", None)
    if found is None or not hasattr(values, "cat"):
        return ()
    return tuple(plain(value) for value in found)


def plain(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _objects(array: Array) -> Array:
    """Python's own values, None for what is missing."""
    found = np.empty(len(array), object)
    found[:] = [None if _is_missing(value) else plain(value) for value in array]
    return found


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA is neither equal nor different
        return True


def _mixed(name: str, values: Array) -> Column:
    """A column of objects: strings, or numbers or booleans where all of them are."""
    present = [value for value in values if value is not None]
    types = {type(value) for value in present}
    if types <= {str}:
        return Column(name, "category", values)
    if types == {bool} and len(present) == len(values):
        return Column(name, "boolean", values.astype(bool))
    if types <= {int, float, bool}:
        numbers = np.array([np.nan if v is None else float(v) for v in values], np.float64)
        if types == {int} and len(present) == len(values):
            return _numbers(name, "integer", values.astype(np.int64))
        return _numbers(name, "number", numbers)
    found = ", ".join(sorted(t.__name__ for t in types))
    raise ConvertError(
        f"column {name!r} of the sample holds {found}, expected numbers or strings, and not "
        "both: make it one of them before the model, in training too"
    )
