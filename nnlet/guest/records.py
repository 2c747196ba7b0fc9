"""Records: rows with names in, tensors out; tensors in, named answers out. One Table a model."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from nnlet.errors import HTTPError
from nnlet.guest.answers import Field, object_template
from nnlet.guest.columns import Column, listed
from nnlet.guest.csvtext import write
from nnlet.guest.models import Model, TensorInfo
from nnlet.guest.nearest import nearest
from nnlet.guest.tensors import Tensor, convert, describe
from nnlet.tensor import DATATYPES

# The values for each input, row by row.
Numbers = Sequence[Sequence[Any]]
Inputs = list[tuple[str, Tensor]]
Compute = Callable[[Model, Inputs], dict[str, Tensor]]

# How many problems a refusal tells; the rest are counted.
MAX_PROBLEMS = 5

# What columns without a [[columns]] of their own hold, by the kind of their datatype.
_TYPES = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}

_NO_COLUMNS = (
    "model {0!r} has no columns: its inputs are {1}. Send tensors to /v2/models/{0}/infer, or name "
    "the columns of inputs [N] and [N, K] under [[columns]] in models/{0}/model.toml"
)


class BadTable(HTTPError):
    """400 with the first problems of a table: longer than other refusals."""

    longest = 4000

    def __init__(self, problems: Sequence[str], count: int) -> None:
        more = f"; and {count - len(problems)} more" if count > len(problems) else ""
        super().__init__(400, "; ".join(problems) + more)


class Fill:
    """One input, and the columns that fill it: by position, which is also its order.

    `values` takes these columns out of a record, all at once. It is None where they are one, or
    of different types.
    """

    __slots__ = ("info", "columns", "values")

    def __init__(self, info: TensorInfo, columns: Iterable[Column]) -> None:
        self.info = info
        self.columns = sorted(
            (column for column in columns if column.input == info.name), key=lambda c: c.position
        )
        plain = len({c.type for c in self.columns}) == 1 and not self.columns[0].categories
        names = [column.name for column in self.columns]
        self.values = itemgetter(*names) if plain and len(names) > 1 else None

    def at_once(self, records: Sequence[Any]) -> Sequence[Any] | None:
        """What crosses, if every value of every column does as it is: the common case, fast."""
        if self.values is None:
            return None
        values = list(chain.from_iterable(map(self.values, records)))
        return values if self.columns[0].all_fit(values) else None

    def tensor(self, values: Sequence[Any]) -> Tensor:
        """Numbers, row by row, as the tensor that crosses. All are within the datatype's range."""
        row, width = self.info.datatype, len(self.columns)
        packed = row if row.code else DATATYPES["FP32"]
        data = struct.pack(f"<{len(values)}{packed.code}", *values)
        rows = len(values) // width
        shape = (rows, width) if len(self.info.shape) == 2 else (rows,)
        return self.info.to_carrier(row, shape, convert(data, packed, row))


class Table:
    """What a model's records are, and its answers to them.

    `refusal` says why there are none, for a model whose inputs are no columns.
    """

    __slots__ = ("model", "columns", "fields", "fills", "batch", "refusal", "_names", "_template")

    def __init__(self, model: Model) -> None:
        self.model = model
        self.refusal = ""
        columns = model.columns or _own_columns(model)
        if not columns:
            inputs = ", ".join(f"{i.name!r} {list(i.shape)}" for i in model.inputs.values())
            self.refusal = _NO_COLUMNS.format(model.name, inputs)
        infos = model.inputs
        self.columns = [Column(infos[c.get("input", c["name"])], c) for c in columns]
        self.fields = [
            Field(model.outputs[field.get("output", field["name"])], field)
            for field in model.answer or map(_own_field, model.outputs.values())
        ]
        self.fills = [Fill(info, self.columns) for info in infos.values()] if columns else []
        self.batch = max((info.shape[0] for info in infos.values() if info.shape), default=-1)
        self._names = {column.name for column in self.columns}
        self._template = object_template([field.name for field in self.fields])

    # In

    def read_records(self, records: Sequence[Any], named: bool = True) -> tuple[Numbers, int]:
        """The numbers of each input, row by row, and the number of rows.

        HTTPError 400 tells the first problems.

        `named`: whether these say which row they are about; not for a single record.
        """
        self._check()
        wrong = [
            row
            for row, record in enumerate(records)
            if type(record) is not dict or record.keys() != self._names
        ]
        if wrong:
            raise BadTable(
                [
                    f"{_place(row, named)}{self._mismatch(records[row])}"
                    for row in wrong[:MAX_PROBLEMS]
                ],
                len(wrong),
            )
        if not records:
            return [], 0
        numbers = [found for fill in self.fills if (found := fill.at_once(records)) is not None]
        if len(numbers) == len(self.fills):
            return numbers, len(records)
        columns = {name: [record[name] for record in records] for name in self._names}
        return self._numbers(columns, named), len(records)

    def read_rows(self, rows: list[list[str]]) -> tuple[Numbers, int]:
        """As read_records, from CSV: a header, then rows."""
        self._check()
        if not rows:
            raise HTTPError(400, f"the CSV is empty: expected a header: {listed(self._order())}")
        header, *rows = rows
        self._check_header(header)
        wrong = [index for index, row in enumerate(rows) if len(row) != len(header)]
        if wrong:
            raise BadTable(
                [
                    f"row {index + 1}: {len(rows[index])} fields: the header has {len(header)}"
                    for index in wrong[:MAX_PROBLEMS]
                ],
                len(wrong),
            )
        if not rows:
            return [], 0
        fields = dict(zip(header, zip(*rows, strict=True), strict=True))
        parsed = {column.name: column.parse(fields[column.name]) for column in self.columns}
        return self._numbers(parsed, True), len(rows)

    def _check(self) -> None:
        if self.refusal:
            raise HTTPError(400, self.refusal)

    def _numbers(self, columns: Mapping[str, Sequence[Any]], named: bool) -> Numbers:
        found: dict[str, Sequence[Any]] = {}
        wrong = []
        for column in self.columns:
            numbers = column.numbers(columns[column.name])
            if numbers is None:
                wrong.append(column)
            else:
                found[column.name] = numbers
        if wrong:
            raise self._problems(columns, wrong, named)
        return [_interleaved([found[c.name] for c in fill.columns]) for fill in self.fills]

    def _problems(
        self, values: Mapping[str, Sequence[Any]], columns: list[Column], named: bool
    ) -> BadTable:
        """The problems of these columns, row by row."""
        places = sorted(
            (row, place)
            for place, column in enumerate(columns)
            for row, value in enumerate(values[column.name])
            if column.number(value) is None
        )
        texts = []
        for row, place in places[:MAX_PROBLEMS]:
            column = columns[place]
            complaint = column.complaint(values[column.name][row])
            texts.append(f"{_place(row, named, column.name)}{complaint}")
        return BadTable(texts, len(places))

    def _order(self) -> list[str]:
        return [column.name for column in self.columns]

    def _mismatch(self, record: Any) -> str:
        """How a record's keys differ from the columns."""
        if type(record) is not dict:
            return f"found {describe(record)}: expected a JSON object by column name"
        return self._differences(list(record), "send null where there is no value")

    def _check_header(self, header: list[str]) -> None:
        twice = [name for index, name in enumerate(header) if name in header[:index]]
        if twice:
            raise HTTPError(400, f"the header has the column {describe(twice[0])} twice")
        if set(header) != self._names:
            if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
                raise HTTPError(
                    400, f"the header is {describe(header[0])}: expected commas between columns"
                )
            hint = "leave its fields blank where there is no value"
            raise HTTPError(400, f"the header has {self._differences(header, hint)}")

    def _differences(self, found: list[str], hint: str) -> str:
        missing = [name for name in self._order() if name not in found]
        extra = [name for name in found if name not in self._names]
        parts = []
        for name in extra[:MAX_PROBLEMS]:
            match = nearest(name, missing or self._order())
            did = f" (did you mean {match!r}?)" if match else ""
            parts.append(f"unknown column {describe(name)}{did}")
        if len(extra) > MAX_PROBLEMS:
            parts.append(f"{len(extra) - MAX_PROBLEMS} more unknown columns")
        if missing:
            names = listed(missing)
            parts.append(f"no column {names}" + ("" if extra else f" ({hint})"))
        return f"{', '.join(parts)}: expected {listed(self._order())}"

    # Out

    def compute(self, numbers: Numbers, rows: int, compute: Compute) -> list[Any]:
        """All values of each field's output, for `rows` rows.

        In one inference; for a model of a fixed number of rows, in as many as it takes, the
        last one filled up with its last row.
        """
        if not rows:
            return [[] for _ in self.fields]
        if self.batch == -1:
            outputs = compute(self.model, self._inputs(numbers))
            values = [outputs[field.info.name].values() for field in self.fields]
        else:
            values = [[] for _ in self.fields]
            for start in range(0, rows, self.batch):
                self._compute_batch(numbers, start, min(self.batch, rows - start), compute, values)
        for field, found in zip(self.fields, values, strict=True):
            field.check(found, rows)
        return values

    def _inputs(self, numbers: Numbers) -> Inputs:
        return [
            (fill.info.name, fill.tensor(values))
            for fill, values in zip(self.fills, numbers, strict=True)
        ]

    def _compute_batch(
        self,
        numbers: Numbers,
        start: int,
        rows: int,
        compute: Compute,
        values: list[list[Any]],
    ) -> None:
        """Add the answers to the rows from `start` on to `values`."""
        parts = []
        for fill, flat in zip(self.fills, numbers, strict=True):
            width = len(fill.columns)
            part = list(flat[start * width : (start + rows) * width])
            parts.append(part + part[-width:] * (self.batch - rows))
        outputs = compute(self.model, self._inputs(parts))
        for field, found in zip(self.fields, values, strict=True):
            answers = outputs[field.info.name].values()
            field.check(answers, self.batch)
            found += answers[: len(answers) // self.batch * rows]

    def json(self, values: list[Any], rows: int) -> list[str]:
        """The answer to each row, as a JSON object."""
        if not rows:
            return []
        texts = [field.json(found, rows) for field, found in zip(self.fields, values, strict=True)]
        return [self._template % row for row in zip(*texts, strict=True)]

    def csv(self, values: list[Any], rows: int) -> str:
        """The answers as CSV, with a header."""
        pairs = list(zip(self.fields, values, strict=True))
        head = [field.head(found, rows) for field, found in pairs]
        cells = [field.cells(found, rows) for field, found in pairs] if rows else []
        return write(map(list, map(chain.from_iterable, [head, *zip(*cells, strict=True)])))


def _interleaved(columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The values of columns, row by row."""
    if len(columns) == 1:
        return columns[0]
    return list(chain.from_iterable(zip(*columns, strict=True)))


def _place(row: int, named: bool, column: str = "") -> str:
    """The place that a problem is about."""
    words = [f"row {row + 1}"] if named else []
    if column:
        words.append(f"column {column!r}")
    return f"{', '.join(words)}: " if words else ""


def _own_columns(model: Model) -> list[dict[str, Any]]:
    """The inputs as columns, where each is one number a row; else none."""
    infos = model.inputs.values()
    if any(not (len(i.shape) == 1 or (len(i.shape) == 2 and i.shape[1] == 1)) for i in infos):
        return []
    if len({info.shape[0] for info in infos if info.shape[0] != -1}) > 1:
        return []
    return [{"name": info.name, "type": _TYPES[info.datatype.kind]} for info in infos]


def _own_field(info: TensorInfo) -> dict[str, Any]:
    """An output as a field of the answer."""
    entry: dict[str, Any] = {"name": info.name, "kind": "numbers"}
    by_class = info.shape[1:] in ((-1,), (len(info.labels),))
    if info.labels and by_class and info.datatype.kind == "f":
        return {**entry, "kind": "probabilities", "classes": info.labels}
    if len(info.shape) == 1 or info.shape[1:] == (1,):
        return {**entry, "kind": "number"}
    return entry
