"""What /openapi.json says of /predict/NAME."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from nnlet.guest import TABLES, App, Request

from .conftest import Echo, model
from .test_predict import CITY, HOUSE, HOUSES, answering, column, one


def described(*entries: dict[str, Any]) -> Any:
    """The paths of an app that serves these models."""
    app = App([*TABLES], log=lambda line: None)
    app.bind(entries, Echo())
    return json.loads(app.openapi)["paths"]


def body_of(entry: dict[str, Any]) -> Any:
    """The JSON that a model's table takes."""
    path = described(entry)[f"/predict/{entry['name']}"]
    return path["post"]["requestBody"]["content"]["application/json"]


def takes(entry: dict[str, Any], body: Any) -> bool:
    """Whether the schema, and the app, take `body`: they agree."""
    app = App([*TABLES], log=lambda line: None)
    app.bind([entry], Echo())
    path = f"/predict/{entry['name']}"
    response = app.respond(Request("POST", path, {}, json.dumps(body).encode()))
    schema = json.loads(app.openapi)["paths"][path]["post"]
    valid = jsonschema_rs.is_valid(
        schema["requestBody"]["content"]["application/json"]["schema"], body
    )
    assert valid is (response.status == 200), response.body
    if valid:
        answer = schema["responses"]["200"]["content"]["application/json"]["schema"]
        assert jsonschema_rs.is_valid(answer, json.loads(response.body))
    return valid


def test_a_table_is_described_for_each_model_and_version_that_has_one() -> None:
    image = model("image", [("x", "FP32", (-1, 1, 8, 8))])
    assert set(described(HOUSES, {**HOUSES, "version": "2"}, image)) == {
        "/predict/houses",
        "/predict/houses/versions/1",
        "/predict/houses/versions/2",
    }


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        (HOUSE, True),
        ([HOUSE, {**HOUSE, "rooms": None}], True),
        ([], True),
        ({**HOUSE, "rooms": 3.0}, True),
        ({}, False),
        ({**HOUSE, "garden": 1}, False),
        ({**HOUSE, "area": None}, False),
        ({**HOUSE, "area": "70"}, False),
        ({**HOUSE, "area": 1e39}, False),
        ({**HOUSE, "rooms": 0.5}, False),
        ({**HOUSE, "city": "Rome"}, False),
        (3, False),
    ],
    ids=repr,
)
def test_the_schema_takes_what_the_function_takes(body: Any, valid: bool) -> None:
    assert takes(HOUSES, body) is valid


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (one("INT8", type="integer"), {128: False, -128: True, -129: False}),
        (one("BOOL", type="boolean"), {True: True, "true": False}),
        (one("INT8", **CITY, missing="nan"), {None: True, "Utrecht": True, "Rome": False}),
        (one("INT8", **CITY, unknown="ignore"), {None: False, "Rome": True, 2: False}),
        (one("INT8", **{**CITY, "categories": (5, 7)}), {5: True, 7.0: True, 6: False}),
    ],
    ids=repr,
)
def test_each_type_is_described(entry: dict[str, Any], values: dict[Any, bool]) -> None:
    for value, valid in values.items():
        assert takes(entry, {"v": value}) is valid


@pytest.mark.parametrize(
    "field",
    [
        {"name": "is", "kind": "label", "classes": ("no", "yes")},
        {"name": "p", "kind": "probabilities", "classes": (1, 2)},
        {"name": "n", "kind": "numbers"},
        {"name": "n", "kind": "numbers", "names": ("low", "high")},
    ],
    ids=repr,
)
def test_each_kind_of_answer_is_described(field: dict[str, Any]) -> None:
    entry = answering(field)
    assert takes(entry, {"v0": 0.25, "v1": 0.75})
    assert takes(entry, [{"v0": None, "v1": 1}])


def test_training_ranges_are_told_and_not_enforced() -> None:
    entry = one(range=(18.0, 92.5))
    schema = body_of(entry)["schema"]["anyOf"][0]["properties"]["v"]
    assert schema["description"] == "From 18 to 92.5 in training."
    assert takes(entry, {"v": 200})


def test_the_example_is_told_as_a_record() -> None:
    entry = {**HOUSES, "example": {"x": [[3.0, 70.5]], "city": [[2]]}}
    assert body_of(entry)["example"] == HOUSE
    assert takes(entry, body_of(entry)["example"])


@pytest.mark.parametrize(
    "example",
    [{}, {"x": [[3.0, 70.5]]}, {"x": [[3.5, 70.5]], "city": [[2]]}, {"x": [], "city": [[2]]}]
    + [{"x": [[3, 70.5]], "city": [[index]]} for index in (-1, 3)],
    ids=repr,
)
def test_an_example_that_is_no_record_is_left_out(example: dict[str, Any]) -> None:
    assert "example" not in body_of({**HOUSES, "example": example})


def test_an_example_of_one_axis_and_of_booleans() -> None:
    entry = model(
        "m",
        [("a", "BOOL", (-1,)), ("b", "FP32", (-1,))],
        columns=[column("a", "boolean", "a"), column("b", input="b", missing="nan")],
        example={"a": [1], "b": [0.5]},
    )
    assert body_of(entry)["example"] == {"a": True, "b": 0.5}
