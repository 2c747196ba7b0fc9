"""What /openapi.json says of /predict/NAME: the columns and the answer as JSON Schema."""

from __future__ import annotations

import math
from typing import Any

from nnlet.guest.answers import Field
from nnlet.guest.columns import Column
from nnlet.guest.messages import JSON
from nnlet.guest.predict import CSV
from nnlet.guest.records import Table

Schema = dict[str, Any]

_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean"}
_BODY = "A record, a list of records, or CSV with a header, by column name."
_CSV: Schema = {"schema": {"type": "string"}}


def request_body(table: Table) -> Schema:
    """The body that a model's table takes."""
    record: Schema = {
        "type": "object",
        "required": [column.name for column in table.columns],
        "properties": {column.name: _column(column) for column in table.columns},
        "additionalProperties": False,
    }
    json: Schema = {"schema": {"anyOf": [record, {"type": "array", "items": record}]}}
    if example := example_record(table):
        json["example"] = example
    return {"description": _BODY, "required": True, "content": {JSON: json, CSV: _CSV}}


def answer(table: Table) -> Schema:
    """What comes back: as many answers as there were records."""
    record = {
        "type": "object",
        "required": [field.name for field in table.fields],
        "properties": {field.name: _field(field) for field in table.fields},
        "additionalProperties": False,
    }
    either = {"anyOf": [record, {"type": "array", "items": record}]}
    return {
        "description": "An answer for each record; CSV with `Accept: text/csv`.",
        "content": {JSON: {"schema": either}, CSV: _CSV},
    }


def _column(column: Column) -> Schema:
    optional = column.missing is not None
    if column.categories and column.unknown == "error":
        return {"enum": [*column.categories, *([None] if optional else [])]}
    type_ = _TYPES.get(column.type) or _type(column.categories[0])
    schema: Schema = {"type": [type_, "null"] if optional else type_}
    if column.categories:
        schema["examples"] = list(column.categories)
        schema["description"] = "A value that is not among the examples is taken as unknown."
    if column.range:
        least, greatest = column.range
        schema["description"] = f"From {least:g} to {greatest:g} in training."
    # FP64 holds every number that JSON does, but for a few that nobody sends.
    if column.type in ("number", "integer") and column.datatype.name != "FP64":
        schema |= {"minimum": column.least, "maximum": column.greatest}
    return schema


def _type(value: Any) -> str:
    return {str: "string", bool: "boolean"}.get(type(value), "integer")


def _field(field: Field) -> Schema:
    number: Schema = {"type": ["number", "null"]}
    if field.info.datatype.kind == "b":
        number = {"type": "boolean"}
    if field.kind == "number":
        return number
    if field.kind == "label":
        return {"enum": [*field.classes, None]}
    if field.names:
        names = list(field.names)
        return {
            "type": "object",
            "required": names,
            "properties": dict.fromkeys(names, number),
            "additionalProperties": False,
        }
    return {"type": "array", "items": number}


def example_record(table: Table) -> Schema:
    """The first row of model.toml's [example] by column name; {} where it is none."""
    record = {}
    for column in table.columns:
        try:
            number = table.model.example[column.input][0]
            record[column.name] = _value(column, _at(number, column.position))
        except (KeyError, IndexError, TypeError, ValueError):
            return {}
    return record


def _at(row: Any, position: int) -> float:
    number: float = row[position] if type(row) is list else row
    return number


def _value(column: Column, number: float) -> Any:
    """What a caller sends for what crosses. ValueError where nothing does."""
    if math.isnan(number):
        return None
    if column.type == "number":
        return number
    if not float(number).is_integer() or (column.categories and number < 0):
        raise ValueError(f"{number} is no {column.type}")
    if column.categories:
        return column.categories[int(number)]
    return bool(number) if column.type == "boolean" else int(number)
