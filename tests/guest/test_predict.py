"""POST /predict/NAME: records and CSV in, named answers out, on a backend that echoes."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from nnlet.guest import (
    OPEN_INFERENCE_PROTOCOL,
    TABLES,
    App,
    HTTPError,
    Request,
    Response,
    Route,
    Tensor,
)

from .conftest import Answer, Echo, model

Predict = Callable[..., Answer]


def column(name: str, type: str = "number", input: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type, "input": input, **more}


CITY = {"type": "category", "categories": ("Amsterdam", "Rotterdam", "Utrecht")}
HOUSES = model(
    "houses",
    [("x", "FP32", (-1, 2)), ("city", "INT64", (-1, 1))],
    [("city", "INT64", (-1, 1)), ("x", "FP32", (-1, 2))],
    columns=[
        column("area", position=1),
        column("rooms", "integer", missing="nan"),
        column("city", input="city", **CITY),
    ],
    answer=[
        {"name": "city", "output": "city", "kind": "label", "classes": ("A", "R", "U")},
        {"name": "x", "output": "x", "kind": "numbers", "names": ("rooms", "area %")},
    ],
)
HOUSE = {"area": 70.5, "rooms": 3, "city": "Utrecht"}
HOUSE_SAID = {"city": "U", "x": {"rooms": 3, "area %": 70.5}}
CSV = {"content-type": "text/csv"}


def one(datatype: str = "FP32", shape: tuple[int, ...] = (-1, 1), **of: Any) -> dict[str, Any]:
    """A model of one column, `v`, which it echoes."""
    return model("one", [("x", datatype, shape)], columns=[column("v", **of)])


@pytest.fixture
def backend() -> Echo:
    return Echo()


@pytest.fixture
def ask(backend: Echo) -> Predict:
    """Ask a model; a body that is not bytes is sent as JSON."""

    def ask(
        entry: dict[str, Any], body: Any, headers: Mapping[str, str] | None = None, path: str = ""
    ) -> Answer:
        app = App([*OPEN_INFERENCE_PROTOCOL, *TABLES], log=lambda line: None)
        app.bind([entry], backend)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = path or f"/predict/{entry['name']}"
        response = app.respond(Request("POST", path, dict(headers or {}), data))
        sent = {"content-type": response.content_type, **dict(response.headers)}
        return Answer(response.status, sent, response.body)

    return ask


def crossed(backend: Echo) -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """Shape and values of each tensor of the last inference."""
    return {name: (tensor.shape, tensor.values()) for name, tensor in backend.calls[-1][1]}


def refused(answer: Answer, *words: str, status: int = 400) -> None:
    assert answer.status == status
    for word in words:
        assert word in answer.error


# Records


def test_a_record_is_answered_with_an_object(ask: Predict, backend: Echo) -> None:
    answer = ask(HOUSES, HOUSE)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == HOUSE_SAID
    assert crossed(backend) == {"x": ((1, 2), [3.0, 70.5]), "city": ((1, 1), [2])}


def test_a_list_is_answered_with_a_list_by_one_inference(ask: Predict, backend: Echo) -> None:
    answer = ask(HOUSES, [HOUSE, {**HOUSE, "city": "Amsterdam", "rooms": None}])
    assert answer.json == [HOUSE_SAID, {"city": "A", "x": {"rooms": None, "area %": 70.5}}]
    assert len(backend.calls) == 1
    assert crossed(backend)["city"] == ((2, 1), [2, 0])


def test_an_empty_list_is_answered_with_one(ask: Predict, backend: Echo) -> None:
    assert ask(HOUSES, []).json == []
    assert backend.calls == []


def test_the_order_of_keys_does_not_matter(ask: Predict) -> None:
    assert ask(HOUSES, dict(reversed(HOUSE.items()))).json == HOUSE_SAID


def test_a_version_is_asked_for_by_path(ask: Predict) -> None:
    assert ask(HOUSES, HOUSE, path="/predict/houses/versions/1").json == HOUSE_SAID
    refused(ask(HOUSES, HOUSE, path="/predict/houses/versions/2"), "no version '2'", status=404)
    refused(ask(HOUSES, HOUSE, path="/predict/nobody"), "no model 'nobody'", status=404)


def test_the_log_says_which_model_answered(backend: Echo) -> None:
    lines: list[str] = []
    app = App([*TABLES], log=lines.append)
    app.bind([HOUSES], backend)
    app.respond(Request("POST", "/predict/houses", {}, json.dumps(HOUSE).encode()))
    assert "model=houses@1 status=200" in lines[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("malformed JSON: the body is empty",)),
        (b'{"area": NaN}', ("NaN is no JSON number",)),
        (b"3", ("the body is 3", "a record", "or a list of records")),
        ([HOUSE, 3], ("row 2: found 3", "a JSON object by column name")),
        ({}, ("no column 'area', 'rooms', 'city'", "send null", "expected 'area', 'rooms'")),
        ({**HOUSE, "garden": 1}, ("unknown column 'garden': expected",)),
        (
            {"Area": 70, "rooms": 3, "city": "Utrecht"},
            ("unknown column 'Area' (did you mean 'area'?)", "no column 'area'"),
        ),
        ([HOUSE, {}, HOUSE, {}], ("row 2: no column", "row 4: no column")),
        ({**HOUSE, "area": "70.5"}, ("column 'area': found '70.5': expected a number, without",)),
        ({**HOUSE, "area": "big"}, ("column 'area': found 'big': expected a number",)),
        ({**HOUSE, "area": True}, ("column 'area': found true: expected a number",)),
        ({**HOUSE, "area": None}, ("column 'area': its value is missing: expected a number",)),
        ({**HOUSE, "area": 1e39}, ("column 'area': found 1e+39: out of range for FP32",)),
        ({**HOUSE, "area": 10**400}, ("column 'area': found 1000", "out of range for FP32")),
        (b'{"area":1e999,"rooms":1,"city":"Utrecht"}', ("a number beyond 1.8e308",)),
        ({**HOUSE, "area": [1]}, ("column 'area': found a list",)),
        ({**HOUSE, "rooms": 2.5}, ("column 'rooms': found 2.5: expected a whole number",)),
        (
            {**HOUSE, "city": "utrecht"},
            ("found 'utrecht' (did you mean 'Utrecht'?)", "one of 'Amsterdam', 'Rotterdam', 'Utr"),
        ),
        ({**HOUSE, "city": 2}, ("column 'city': found 2: expected one of 'Amsterdam'",)),
        ({**HOUSE, "city": ["Utrecht"]}, ("column 'city': found a list: expected one of",)),
        ({**HOUSE, "city": None}, ("column 'city': its value is missing: expected a category",)),
    ],
    ids=repr,
)
def test_a_bad_record_is_refused(ask: Predict, body: Any, words: tuple[str, ...]) -> None:
    refused(ask(HOUSES, body), *words)


def test_a_single_record_has_no_row_number(ask: Predict) -> None:
    assert ask(HOUSES, {**HOUSE, "area": "x"}).error.startswith("column 'area': ")
    assert ask(HOUSES, [{**HOUSE, "area": "x"}]).error.startswith("row 1, column 'area': ")


def test_the_first_problems_are_told_row_by_row_and_the_rest_counted(ask: Predict) -> None:
    bad = {**HOUSE, "city": "Rome", "area": "x"}
    error = ask(HOUSES, [HOUSE, bad, bad, bad, bad]).error
    places = [part.partition(": ")[0] for part in error.split("; ")]
    assert places == [
        *("row 2, column 'area'", "row 2, column 'city'"),
        *("row 3, column 'area'", "row 3, column 'city'"),
        *("row 4, column 'area'", "and 3 more"),
    ]


def test_many_unknown_columns_are_counted(ask: Predict) -> None:
    error = ask(HOUSES, {**HOUSE, **{f"column {i}": 1 for i in range(9)}}).error
    assert "unknown column 'column 4'" in error and "4 more unknown columns" in error


def test_a_long_list_of_categories_is_cut_short(ask: Predict) -> None:
    names = tuple(f"street number {i}" for i in range(1000))
    error = ask(one(type="category", categories=names), {"v": "x" * 9999}).error
    assert "expected one of 'street number 0', 'street number 1'" in error
    assert "more, listed in /openapi.json" in error
    assert len(error) < 500


# What crosses, by type


@pytest.mark.parametrize(
    ("entry", "values", "expected"),
    [
        (one("FP64"), [1, 2.5, -3e300], [1.0, 2.5, -3e300]),
        (one("FP16"), [1, 65504], [1.0, 65504.0]),
        (one("BF16"), [1, -2.5], [1.0, -2.5]),
        (one("INT8", type="integer"), [-128, 127, 3.0], [-128, 127, 3]),
        (one("UINT64", type="integer"), [0, 2**64 - 1], [0, 2**64 - 1]),
        (one("FP32", type="integer"), [3, 4.0], [3.0, 4.0]),
        (one("BOOL", type="boolean"), [True, False], [True, False]),
        (one("FP32", type="boolean"), [True, False], [1.0, 0.0]),
        (one("FP32", **CITY), ["Utrecht", "Amsterdam"], [2.0, 0.0]),
        (one("INT32", **{**CITY, "categories": (5, 7)}), [7, 5.0], [1, 0]),
        (one("INT32", **{**CITY, "categories": (True, False)}), [True, False], [0, 1]),
        (one("INT32", **CITY, unknown="ignore"), ["Rome", "Utrecht"], [-1, 2]),
        (one("FP32", **CITY, unknown="ignore"), ["Rome", "Utrecht"], [-1.0, 2.0]),
        (one(missing=0.5), [None, 1], [0.5, 1.0]),
        (one("INT8", type="integer", missing=0), [None, 1], [0, 1]),
        (one("BOOL", type="boolean", missing=False), [None, True], [False, True]),
        (one("INT8", **CITY, missing="nan"), [None, "Utrecht"], [-1, 2]),
        (one("INT8", **CITY, missing="Rotterdam"), [None, "Utrecht"], [1, 2]),
        (one("INT8", type="category", categories=("a", "nan"), missing="nan"), [None], [1]),
    ],
    ids=repr,
)
def test_values_cross_as_their_column_says(
    ask: Predict, backend: Echo, entry: dict[str, Any], values: list[Any], expected: list[Any]
) -> None:
    answer = ask(entry, [{"v": value} for value in values])
    assert answer.status == 200, answer.body
    ((name, tensor),) = backend.calls[-1][1]
    info = entry["inputs"][0]
    carrier = {"INT8": "INT32", "BOOL": "UINT8", "UINT64": "INT64"}.get(info[1], info[1])
    assert (name, tensor.datatype, tensor.shape) == ("x", carrier, (len(values), 1))
    found = [value["x"] for value in answer.json]
    assert found == expected
    assert [type(value) is bool for value in found] == [type(value) is bool for value in expected]


@pytest.mark.parametrize("of", [{}, CITY], ids=["number", "category"])
def test_a_missing_value_crosses_as_nan_where_that_is_said(
    ask: Predict, backend: Echo, of: dict[str, Any]
) -> None:
    assert ask(one(**of, missing="nan"), {"v": None}).json == {"x": None}
    (value,) = crossed(backend)["x"][1]
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("entry", "value", "words"),
    [
        (one("INT8", type="integer"), 128, ("found 128: out of range for INT8",)),
        (one("UINT8", type="integer"), -1, ("found -1: out of range for UINT8",)),
        (one("INT64", type="integer"), 2**63, ("out of range for INT64",)),
        (one("FP16"), 65536, ("out of range for FP16",)),
        (one("INT8", type="integer"), True, ("found true: expected a whole number",)),
        (one("BOOL", type="boolean"), 1, ("found 1: expected true or false",)),
        (one("BOOL", type="boolean"), "true", ("found 'true': expected true or false, without",)),
        (one("INT8", **{**CITY, "categories": (0, 1)}), True, ("found true: expected one of 0",)),
        (one("INT8", **{**CITY, "categories": (0, 1)}), 0.5, ("found 0.5: expected one of 0",)),
        (one("INT8", **{**CITY, "categories": (True, False)}), 1, ("found 1: expected one of t",)),
        (one("INT8", **CITY, unknown="ignore"), 3, ("found 3: expected one of 'Amsterdam'",)),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_its_column(
    ask: Predict, entry: dict[str, Any], value: Any, words: tuple[str, ...]
) -> None:
    refused(ask(entry, {"v": value}), "column 'v': ", *words)


def test_an_input_of_one_axis_is_filled(ask: Predict, backend: Echo) -> None:
    assert ask(one(shape=(-1,)), [{"v": 1}, {"v": 2}]).json == [{"x": 1}, {"x": 2}]
    assert crossed(backend) == {"x": ((2,), [1.0, 2.0])}


def test_a_fixed_batch_is_filled_up_with_its_last_row(ask: Predict, backend: Echo) -> None:
    answer = ask(one(shape=(2, 1)), [{"v": 1}, {"v": 2}, {"v": 3}])
    assert answer.json == [{"x": 1}, {"x": 2}, {"x": 3}]
    found = [tensor.values() for _, inputs in backend.calls for _, tensor in inputs]
    assert found == [[1.0, 2.0], [3.0, 3.0]]


# Models whose model.toml says nothing of columns or answers


def test_without_columns_the_inputs_are_the_columns(ask: Predict, backend: Echo) -> None:
    entry = model("m", [("a", "FP32", (-1, 1)), ("b", "INT8", (-1,)), ("c", "BOOL", (-1, 1))])
    assert ask(entry, {"a": 0.5, "b": 3, "c": True}).json == {"a": 0.5, "b": 3, "c": True}
    assert crossed(backend)["b"] == ((1,), [3])


@pytest.mark.parametrize(
    "inputs",
    [
        [("x", "FP32", (-1, 3))],
        [("x", "FP32", (-1, 1, 8))],
        [("a", "FP32", (2,)), ("b", "FP32", (3,))],
    ],
    ids=repr,
)
def test_a_model_without_columns_says_so(ask: Predict, inputs: list[Any]) -> None:
    words = ("no columns", "/v2/models/m/infer", "[[columns]] in models/m/model.toml")
    refused(ask(model("m", inputs), {}), *words)


def test_without_answers_the_outputs_are_told_as_they_are(ask: Predict) -> None:
    entry = model(
        "m",
        [("a", "FP32", (-1, 2)), ("b", "FP32", (-1, 2))],
        [("a", "FP32", (-1, 2), ("no", "yes")), ("b", "FP32", (-1, 2))],
        columns=[column(f"{i}{p}", input=i, position=p) for i in "ab" for p in (0, 1)],
    )
    record = {"a0": 0.25, "a1": 0.75, "b0": 1, "b1": 2}
    assert ask(entry, record).json == {"a": {"no": 0.25, "yes": 0.75}, "b": [1, 2]}


def test_labels_of_another_number_than_the_scores_are_left_out(ask: Predict) -> None:
    entry = model(
        "m",
        [("a", "FP32", (-1,))],
        [("a", "FP32", (-1,), ("no", "yes"))],
        columns=[column("a", input="a")],
    )
    assert ask(entry, {"a": 0.5}).json == {"a": 0.5}


# Answers


def answering(field: dict[str, Any], datatype: str = "FP32", size: int = 2) -> dict[str, Any]:
    """A model that echoes `size` columns, and says `field` of them."""
    of = {"f": "number", "i": "integer"}["f" if datatype.startswith("F") else "i"]
    columns = [column(f"v{i}", of, position=i, missing="nan") for i in range(size)]
    return model(
        "m", [("x", datatype, (-1, size))], columns=columns, answer=[{"output": "x", **field}]
    )


LABEL = {"name": "is", "kind": "label"}


@pytest.mark.parametrize(
    ("classes", "said"),
    [(("no", "yes"), "yes"), ((3, 5), 5), ((False, True), True), ((0.5, 1.5), 1.5)],
)
def test_a_label_is_the_class_of_the_highest_score(ask: Predict, classes: Any, said: Any) -> None:
    entry = answering({**LABEL, "classes": classes})
    assert ask(entry, {"v0": 0.25, "v1": 0.75}).json == {"is": said}


def test_the_first_of_equal_scores_counts_and_nan_has_no_label(ask: Predict) -> None:
    entry = answering({**LABEL, "classes": ("no", "yes")})
    answer = ask(entry, [{"v0": 1, "v1": 1}, {"v0": None, "v1": 1}])
    assert answer.json == [{"is": "no"}, {"is": None}]


def test_a_label_outside_of_the_classes_is_the_models_fault(ask: Predict) -> None:
    entry = answering({**LABEL, "classes": ("no", "yes")}, "INT64", 1)
    assert ask(entry, {"v0": 1}).json == {"is": "yes"}
    for value in (2, -1):
        refused(ask(entry, {"v0": value}), f"says class {value}", "classes 0 to 1", status=500)


@pytest.mark.parametrize(
    ("classes", "keys"),
    [(("no", "50 %"), ["no", "50 %"]), ((1, 2), ["1", "2"]), ((True, False), ["true", "false"])],
)
def test_probabilities_are_told_by_class(ask: Predict, classes: Any, keys: list[str]) -> None:
    entry = answering({"name": "p", "kind": "probabilities", "classes": classes})
    assert ask(entry, {"v0": 0.25, "v1": 0.75}).json == {
        "p": dict(zip(keys, [0.25, 0.75], strict=True))
    }


def test_numbers_are_a_list_unless_they_have_names(ask: Predict) -> None:
    assert ask(answering({"name": "n", "kind": "numbers"}), {"v0": 1, "v1": 2}).json == {
        "n": [1, 2]
    }


def test_nan_and_infinities_are_null(ask: Predict, backend: Echo) -> None:
    entry = answering({"name": "n", "kind": "numbers"})
    assert ask(entry, {"v0": None, "v1": 0.5}).json == {"n": [None, 0.5]}
    backend.infer = lambda graph, inputs: [  # type: ignore[method-assign]
        Tensor("FP32", (1, 2), struct.pack("<2f", math.inf, -math.inf))
    ]
    assert ask(entry, {"v0": 1, "v1": 1}).json == {"n": [None, None]}


@pytest.mark.parametrize(
    "field",
    [{"name": "n", "kind": "number"}, {"name": "p", "kind": "probabilities", "classes": (1, 2, 3)}],
)
def test_an_output_of_another_size_is_the_models_fault(ask: Predict, field: dict[str, Any]) -> None:
    refused(ask(answering(field), {"v0": 1, "v1": 2}), "output 'x' has 2 values", status=500)


# CSV


def csv(*lines: str, end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


LINES = ("area,rooms,city", "70.5,3,Utrecht", "50,,Amsterdam")
SAID = [HOUSE_SAID, {"city": "A", "x": {"rooms": None, "area %": 50}}]


@pytest.mark.parametrize(
    "body",
    [
        csv(*LINES),
        csv(*LINES).rstrip(),
        csv(*LINES, end="\r\n"),
        csv(*LINES, end="\r"),
        b"\xef\xbb\xbf" + csv(*LINES, end="\r\n"),
        csv('"area","rooms","city"', '"70.5","3","Utrecht"', '50,"","Amsterdam"'),
        csv("city,area,rooms", "Utrecht, 70.5 ,3.0", "Amsterdam,+5e1, "),
        csv(LINES[0], "", LINES[1], "", LINES[2], ""),
    ],
    ids=repr,
)
def test_csv_is_answered_with_a_list(ask: Predict, body: bytes) -> None:
    assert ask(HOUSES, body, CSV).json == SAID


def test_a_quoted_field_holds_commas_quotes_and_lines(ask: Predict) -> None:
    names = ('Den Haag, "Hofstad"', "two\nlines")
    entry = one("INT8", type="category", categories=names)
    body = csv("v", '"Den Haag, ""Hofstad"""', '"two', 'lines"')
    assert ask(entry, body, CSV).json == [{"x": 0}, {"x": 1}]


def test_a_header_alone_is_answered_with_nothing(ask: Predict) -> None:
    assert ask(HOUSES, csv(LINES[0]), CSV).json == []


@pytest.mark.parametrize(
    ("entry", "fields", "expected"),
    [
        (one("INT64", type="integer"), ["9007199254740993", "3.0"], [9007199254740993, 3]),
        (one("BOOL", type="boolean"), ["true", "False", "TRUE"], [True, False, True]),
        (one("INT8", type="category", categories=(5, 7)), ["7", "5.0"], [1, 0]),
        (one("INT8", type="category", categories=(True, False)), ["False", "true"], [1, 0]),
        (one("INT8", type="category", categories=("", "a")), ["a", '""'], [1, 0]),
        (one("INT8", type="category", categories=("5", "7")), ["7", "5"], [1, 0]),
    ],
    ids=repr,
)
def test_fields_are_read_by_their_columns_type(
    ask: Predict, entry: dict[str, Any], fields: list[str], expected: list[Any]
) -> None:
    answer = ask(entry, csv("v", *fields), CSV)
    assert [row["x"] for row in answer.json] == expected


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), ("the CSV is empty", "a header: 'area', 'rooms', 'city'")),
        (("area,rooms", "1,2"), ("the header has no column 'city'", "blank")),
        (("area,rooms,town", "1,2,x"), ("unknown column 'town'", "no column 'city'")),
        (("area,rooms,City", "1,2,x"), ("'City' (did you mean 'city'?)",)),
        (("area,rooms,city,city", "1,2,x,y"), ("the column 'city' twice",)),
        ((",area,rooms,city", "0,1,2,x"), ("unknown column ''",)),
        (("area;rooms;city", "1;2;x"), ("expected commas between columns",)),
        ((LINES[0], "1,2"), ("row 1: 2 fields: the header has 3",)),
        ((LINES[0], LINES[1], "1,2,x,4"), ("row 2: 4 fields",)),
        ((LINES[0], "NA,2,Utrecht"), ("row 1, column 'area': found 'NA': expected a number",)),
        ((LINES[0], "nan,2,Utrecht"), ("column 'area': found 'nan'",)),
        ((LINES[0], "1_000,2,Utrecht"), ("column 'area': found '1_000'",)),
        ((LINES[0], "٣,2,Utrecht"), ("column 'area': found '٣'",)),
        ((LINES[0], "1e999,2,Utrecht"), ("column 'area': found a number beyond",)),
        ((LINES[0], "1e,2,Utrecht"), ("column 'area': found '1e'",)),
        ((LINES[0], ",2,Utrecht"), ("column 'area': its value is missing",)),
        ((LINES[0], "1,2.5,Utrecht"), ("column 'rooms': found 2.5: expected a whole",)),
        ((LINES[0], "1,2, Utrecht"), ("found ' Utrecht' (did you mean 'Utrecht'?)",)),
        ((LINES[0], "1,2,"), ("column 'city': its value is missing",)),
        ((LINES[0], '1,2,"Utrecht'), ("malformed CSV", "in line 2")),
        ((LINES[0], '1,2,"Ut"recht'), ("malformed CSV", "in line 2")),
    ],
    ids=repr,
)
def test_bad_csv_is_refused(ask: Predict, lines: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(ask(HOUSES, csv(*lines) if lines else b"", CSV), *words)


def test_csv_that_is_not_utf8_says_where(ask: Predict) -> None:
    refused(ask(HOUSES, b"area,rooms,city\n1,2,\xe9\n", CSV), "not UTF-8", "0xe9 in line 2")


def test_csv_comes_back_where_it_is_asked_for(ask: Predict) -> None:
    answer = ask(HOUSES, csv(*LINES), {**CSV, "accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.body == b"city,x.rooms,x.area %\nU,3,70.5\nA,,50\n"
    assert ask(HOUSES, HOUSE, {"accept": "text/csv"}).body.splitlines()[1:] == [b"U,3,70.5"]
    assert ask(HOUSES, [], {"accept": "text/csv"}).body == b"city,x.rooms,x.area %\n"


def test_csv_quotes_what_it_must_and_numbers_columns_without_names(ask: Predict) -> None:
    entry = answering({"name": "a,b", "kind": "numbers"})
    answer = ask(entry, {"v0": 1, "v1": 2}, {"accept": "text/csv"})
    assert answer.body == b'"a,b.0","a,b.1"\n1,2\n'


# What a body is said to be


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "",
    ],
)
def test_json_goes_under_these_names(ask: Predict, content_type: str) -> None:
    assert ask(HOUSES, HOUSE, {"content-type": content_type}).json == HOUSE_SAID


def test_json_may_begin_with_a_byte_order_mark(ask: Predict) -> None:
    assert ask(HOUSES, b"\xef\xbb\xbf" + json.dumps(HOUSE).encode()).json == HOUSE_SAID


@pytest.mark.parametrize("content_type", ["Text/CSV", 'text/csv; header=present; charset="utf-8"'])
def test_csv_goes_under_these_names(ask: Predict, content_type: str) -> None:
    assert ask(HOUSES, csv(*LINES), {"content-type": content_type}).json == SAID


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("text/plain", ("Content-Type 'text/plain' is not supported", "text/csv")),
        ("application/x-www-form-urlencoded", ("is no JSON", "--data-binary")),
        ("text/csv; charset=latin-1", ("charset 'latin-1'", "UTF-8")),
    ],
)
def test_another_content_type_is_refused(
    ask: Predict, content_type: str, words: tuple[str, ...]
) -> None:
    answer = ask(HOUSES, csv(*LINES), {"content-type": content_type})
    refused(answer, *words, status=415)
    assert answer.headers["accept-post"] == "application/json, text/csv"


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("*/*", False),
        ("text/csv, */*;q=0.5", True),
        ("text/csv, application/json", False),
        ("application/json;q=0.5, text/csv; q=0.9", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("image/png", False),
    ],
)
def test_accept_chooses_the_form_of_the_answer(ask: Predict, accept: str, is_csv: bool) -> None:
    answer = ask(HOUSES, HOUSE, {"accept": accept})
    assert answer.headers["content-type"].startswith("text/csv") is is_csv


def test_a_compressed_body_is_taken(ask: Predict) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(csv(*LINES)) + packer.flush()
    assert ask(HOUSES, body, {**CSV, "content-encoding": "gzip"}).json == SAID


# Beside the rest


def test_a_route_of_ones_own_comes_first(backend: Echo) -> None:
    def own(request: Request, app: App) -> Response:
        return Response.json("mine")

    app = App([Route("POST", "/predict/houses", own), *TABLES], log=lambda line: None)
    app.bind([HOUSES], backend)
    assert app.respond(Request("POST", "/predict/houses")).body == b'"mine"'


def test_the_protocol_takes_tensors_of_a_model_with_columns(ask: Predict) -> None:
    tensor = {"shape": [1, 1], "datatype": "FP32", "data": [9.5]}
    body = {"inputs": [{"name": "x", **tensor}]}
    answer = ask(one(), body, path="/v2/models/one/infer")
    assert answer.json["outputs"] == [{"name": "x", **tensor}]


def test_code_of_ones_own_asks_by_column_name(backend: Echo) -> None:
    app = App([*TABLES], log=lambda line: None)
    app.bind([HOUSES, model("image", [("x", "FP32", (-1, 3))])], backend)
    assert app.predict("houses", [HOUSE]) == [HOUSE_SAID]
    assert app.predict("houses", [], "1") == []
    with pytest.raises(HTTPError, match="row 1: no column 'area'"):
        app.predict("houses", [{}])
    with pytest.raises(HTTPError, match="has no columns"):
        app.predict("image", [{}])
