"""[[columns]] of model.toml: what is read, and the one clear line for what is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nnlet.columns import read_columns
from nnlet.errors import ModelError
from nnlet.signature import ColumnSpec, TensorSpec
from nnlet.tensor import DATATYPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOML = Path("models/m/model.toml")


def tensor(name: str = "x", datatype: str = "FP32", *shape: int) -> TensorSpec:
    return TensorSpec(name, DATATYPES[datatype], shape or (-1, 1))


def read(text: str, *inputs: TensorSpec) -> tuple[ColumnSpec, ...]:
    found: Any = tomllib.loads(text).get("columns", [])
    return read_columns(TOML, found, inputs or (tensor(),))


def column(*lines: str, name: str = "x") -> str:
    """One table."""
    return "\n".join(["[[columns]]", f'name = "{name}"', *lines, ""])


def refused(text: str, *words: str, inputs: tuple[TensorSpec, ...] = ()) -> None:
    with pytest.raises(ModelError) as caught:
        read(text, *inputs)
    message = str(caught.value)
    assert message.startswith(f"{TOML}: ") and "\n" not in message
    for word in words:
        assert word in message


NUMBER = 'type = "number"'
INTEGER = 'type = "integer"'
BOOLEAN = 'type = "boolean"'
CATEGORY = 'type = "category"'
CITIES = 'categories = ["Amsterdam", "Utrecht"]'


def test_no_columns_are_none() -> None:
    assert read("") == ()


def test_columns_are_read_with_all_that_is_said_of_them() -> None:
    text = (
        column(NUMBER, 'input = "a"', "position = 1", "range = [18, 92.5]", name="age")
        + column(INTEGER, 'input = "a"', 'missing = "nan"', name="rooms")
        + column(CATEGORY, CITIES, 'unknown = "ignore"', 'missing = "Utrecht"', name="city")
    )
    assert read(text, tensor("a", "FP32", -1, 2), tensor("city", "INT64", -1)) == (
        ColumnSpec("age", "number", "a", 1, range=(18.0, 92.5)),
        ColumnSpec("rooms", "integer", "a", 0, missing="nan"),
        ColumnSpec(
            *("city", "category", "city"),
            categories=("Amsterdam", "Utrecht"),
            unknown="ignore",
            missing="Utrecht",
        ),
    )


@pytest.mark.parametrize("values", ["[1, 2, 3]", "[true, false]", '["a"]'])
def test_categories_are_strings_integers_or_booleans(values: str) -> None:
    (found,) = read(column(CATEGORY, f"categories = {values}"))
    assert list(found.categories) == tomllib.loads(f"v = {values}")["v"]


@pytest.mark.parametrize(
    ("type_", "datatypes"),
    [
        (NUMBER, {"FP16", "BF16", "FP32", "FP64"}),
        (INTEGER, set(DATATYPES) - {"BOOL"}),
        (BOOLEAN, set(DATATYPES)),
        (f"{CATEGORY}\n{CITIES}", set(DATATYPES) - {"BOOL"}),
    ],
)
def test_a_type_goes_into_the_datatypes_that_hold_it(type_: str, datatypes: set[str]) -> None:
    for datatype in DATATYPES:
        if datatype in datatypes:
            assert read(column(type_), tensor("x", datatype))
        else:
            refused(column(type_), "does not fit input 'x'", inputs=(tensor("x", datatype),))


def test_a_second_axis_of_any_size_is_as_long_as_its_columns() -> None:
    two = column(NUMBER, 'input = "x"', name="a")
    two += column(NUMBER, 'input = "x"', "position = 1", name="b")
    assert len(read(two, tensor("x", "FP32", -1, -1))) == 2
    gap = two.replace("position = 1", "position = 2")
    refused(gap, "none for position 1 of input 'x'", inputs=(tensor("x", "FP32", -1, -1),))


@pytest.mark.parametrize(
    ("datatype", "missing"),
    [("FP32", '"nan"'), ("FP32", "2"), ("INT8", "-3"), ("UINT8", "255"), ("INT64", "0")],
)
def test_what_stands_for_a_missing_integer(datatype: str, missing: str) -> None:
    (found,) = read(column(INTEGER, f"missing = {missing}"), tensor("x", datatype))
    assert found.missing == tomllib.loads(f"v = {missing}")["v"]


def test_a_category_called_nan_may_stand_for_a_missing_one() -> None:
    text = column(CATEGORY, 'categories = ["nan", "a"]', 'missing = "nan"')
    assert read(text, tensor("x", "UINT8"))[0].missing == "nan"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns = 3", ("columns is 3", "[[columns]]")),
        ("columns = [3]", ("number 1 is 3", "expected a table")),
        ("[[columns]]\n" + NUMBER, ("number 1: name is missing", "a string")),
        (column(NUMBER, name=""), ("number 1: name is ''",)),
        (column(NUMBER) * 2, ("'x' stands there twice",)),
        (column(), ("'x': type is missing", "number, integer, boolean, category")),
        (column('type = "float"'), ("type is 'float'", "number, integer, boolean, category")),
        (column("type = [1]"), ("type is [1]",)),
        (column(NUMBER, "positon = 0"), ("unknown key 'positon'", "position")),
        (column(NUMBER, 'input = "y"'), ("there is no input 'y'", "inputs are x")),
        (column(NUMBER, name="y"), ("'y': there is no input 'y'",)),
        (column(NUMBER, "input = 1"), ("input is 1", "a string")),
        (column(NUMBER, "position = 1"), ("position is 1", "from 0 to 0, within 'x'")),
        (column(NUMBER, "position = -1"), ("position is -1",)),
        (column(NUMBER, "position = true"), ("position is True",)),
        (column(NUMBER, "range = [1]"), ("range is [1]", "two numbers")),
        (column(NUMBER, "range = [nan, 1]"), ("range is [nan, 1]", "two numbers")),
        (column(NUMBER, "range = [true, 1]"), ("two numbers",)),
        (column(NUMBER, "range = [2, 1]"), ("range is [2, 1]", "the least number first")),
        (column(BOOLEAN, "range = [0, 1]"), ('belongs to type = "number" and "integer" only',)),
        (column(NUMBER, CITIES), ('categories belongs to type = "category" only',)),
        (column(NUMBER, 'unknown = "error"'), ('unknown belongs to type = "category" only',)),
        (column(CATEGORY), ("categories is missing", "a list of strings, integers, booleans")),
        (column(CATEGORY, "categories = []"), ("categories is []",)),
        (column(CATEGORY, "categories = [1, true]"), ("values of one type",)),
        (column(CATEGORY, "categories = [0.5]"), ("strings, integers, booleans",)),
        (column(CATEGORY, 'categories = ["a", "b", "a"]'), ("categories has 'a' twice",)),
        (column(CATEGORY, CITIES, 'unknown = "drop"'), ("unknown is 'drop'", "error, ignore")),
        (column(CATEGORY, CITIES, 'missing = "Rome"'), ("missing is 'Rome'", "the categories")),
        (column(CATEGORY, "categories = [0, 1]", "missing = true"), ("missing is True",)),
        (column(NUMBER, 'missing = "mean"'), ("missing is 'mean'", "'nan' or a number")),
        (column(NUMBER, "missing = nan"), ("missing is nan", "'nan' or a number")),
        (column(NUMBER, "missing = true"), ("missing is True",)),
        (column(INTEGER, "missing = 1.5"), ("missing is 1.5", "'nan' or an integer")),
        (column(BOOLEAN, "missing = 1"), ("missing is 1", "'nan' or true or false")),
        (column(NUMBER, "missing = 1e39"), ("missing is 1e+39", "FP32", "holds")),
    ],
)
def test_a_broken_column(text: str, words: tuple[str, ...]) -> None:
    refused(text, *words)


@pytest.mark.parametrize(
    ("lines", "datatype", "words"),
    [
        ((INTEGER, 'missing = "nan"'), "INT64", ("INT64", "has no NaN")),
        ((BOOLEAN, 'missing = "nan"'), "BOOL", ("BOOL", "has no NaN")),
        ((CATEGORY, CITIES, 'missing = "nan"'), "UINT8", ("UINT8", "has no NaN")),
        ((CATEGORY, CITIES, 'unknown = "ignore"'), "UINT8", ("-1", "UINT8")),
        ((INTEGER, "missing = 256"), "UINT8", ("missing is 256", "UINT8")),
        ((CATEGORY, f"categories = {list(range(257))}"), "UINT8", ("257 categories", "256")),
        ((CATEGORY, f"categories = {list(range(258))}"), "BF16", ("258 categories", "257")),
    ],
)
def test_what_an_inputs_datatype_does_not_hold(
    lines: tuple[str, ...], datatype: str, words: tuple[str, ...]
) -> None:
    refused(column(*lines), "input 'x'", *words, inputs=(tensor("x", datatype),))


def test_a_missing_category_crosses_as_minus_one_into_integers() -> None:
    text = column(CATEGORY, CITIES, 'missing = "nan"')
    assert read(text, tensor("x", "INT8"))[0].missing == "nan"


def test_a_position_is_taken_once() -> None:
    text = column(NUMBER, 'input = "x"', name="a") + column(NUMBER, 'input = "x"', name="b")
    refused(text, "'a' and 'b' are both at position 0 of input 'x'")


def test_no_position_is_left_open() -> None:
    wide = tensor("x", "FP32", -1, 3)
    refused(column(NUMBER), "none for position 1, 2 of input 'x' [-1, 3]", inputs=(wide,))
    other = tensor("y", "FP32", -1)
    refused(column(NUMBER), "none for position 0 of input 'y' [-1]", inputs=(tensor(), other))


def test_an_image_has_no_columns() -> None:
    image = tensor("x", "FP32", -1, 1, 8, 8)
    refused(column(NUMBER), "shape [-1, 1, 8, 8]", "[N] or [N, K]", inputs=(image,))


def test_the_inputs_agree_on_their_rows() -> None:
    text = column(NUMBER) + column(NUMBER, name="y")
    inputs = (tensor("x", "FP32", 4, 1), tensor("y", "FP32", 1))
    refused(text, "numbers of rows differ ('x' 4, 'y' 1)", inputs=inputs)
    assert len(read(text, tensor("x", "FP32", 4, 1), tensor("y", "FP32", -1))) == 2
