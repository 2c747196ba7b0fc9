"""Tables in, answers out: the models that ship, and one that does what a ColumnTransformer does."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from e2e.models import DIABETES, IRIS, Array, Model, as_raw
from e2e.servers import ROOT, serving
from e2e.wire import Wire
from nnlet.host import Server
from nnlet.model import read_repository
from nnlet.project import Project
from tests.compiler import test_trees
from tests.compiler.oracle import reference

COLUMNS = {spec.name: spec.columns for spec in read_repository(ROOT / "models")}
SPECIES = ("setosa", "versicolor", "virginica")


def records(model: Model, rows: Array) -> list[dict[str, float]]:
    """Held-out rows by column name."""
    names = [column.name for column in COLUMNS[model.name]]
    return [dict(zip(names, row, strict=True)) for row in rows.tolist()]


def as_csv(rows: list[dict[str, Any]], **dialect: Any) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


# The models that ship


def test_records_are_answered_like_tensors(wire: Wire) -> None:
    rows = IRIS.rows(30)
    expected = IRIS.expected(rows)
    answers = wire.post("/predict/iris", records(IRIS, rows)).json()
    assert [answer["species"] for answer in answers] == [SPECIES[i] for i in expected.argmax(1)]
    found = [[answer["probabilities"][name] for name in SPECIES] for answer in answers]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    alone = wire.post("/predict/iris", records(IRIS, rows)[0]).json()
    assert alone["species"] == answers[0]["species"]


def test_csv_is_answered_like_records(wire: Wire) -> None:
    table = records(IRIS, IRIS.rows(5))
    expected = wire.post("/predict/iris", table).json()
    body = b"\xef\xbb\xbf" + as_csv(table)
    assert wire.post("/predict/iris", body, content_type="text/csv").json() == expected
    packed = wire.post(
        "/predict/iris", gzip.compress(body), content_type="text/csv", content_encoding="gzip"
    )
    assert packed.json() == expected
    answer = wire.post("/predict/iris", body, content_type="text/csv", accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["species"] for row in found] == [row["species"] for row in expected]
    for name in SPECIES:
        assert float(found[0][f"probabilities.{name}"]) == expected[0]["probabilities"][name]


def test_a_number_is_answered_as_one(wire: Wire) -> None:
    rows = DIABETES.rows(3)
    answers = wire.post("/predict/diabetes/versions/1", records(DIABETES, rows)).json()
    found = [answer["progression"] for answer in answers]
    np.testing.assert_allclose(found, DIABETES.expected(rows)[:, 0], rtol=1e-5)


def test_the_examples_of_openapi_are_answered(wire: Wire) -> None:
    paths = wire.get("/openapi.json").json()["paths"]
    for name in ("iris", "diabetes"):
        content = paths[f"/predict/{name}"]["post"]["requestBody"]["content"]
        assert wire.post(f"/predict/{name}", content["application/json"]["example"]).status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status", "word"),
    [
        (b"{", "application/json", 400, "malformed JSON"),
        (b"{}", "application/json", 400, "no column 'sepal length'"),
        (b"[1]", "application/json", 400, "row 1: found 1"),
        (b"[" * 5000, "application/json", 400, "levels deep"),
        (b"a,b\n1,2\n", "text/csv", 400, "unknown column 'a'"),
        (b'"', "text/csv", 400, "malformed CSV"),
        (b"\xff", "text/csv", 400, "not UTF-8"),
        (b"a" * 200_000, "text/csv", 400, "field larger than field limit"),
        (b"", "text/csv", 400, "empty"),
        (b"{}", "text/plain", 415, "text/csv"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_after_a_bad_table_the_next_one_is_answered(
    wire: Wire, body: bytes, content_type: str, status: int, word: str
) -> None:
    refused = wire.post("/predict/iris", body, content_type=content_type)
    assert refused.status == status and word in refused.json()["error"]
    (record,) = records(IRIS, IRIS.rows(1))
    assert wire.post("/predict/iris", record).json()["species"] in SPECIES


def test_a_table_of_many_problems_is_refused_in_short(wire: Wire) -> None:
    bad = {**records(IRIS, IRIS.rows(1))[0], "petal width": "wide"}
    error = wire.post("/predict/iris", [bad] * 20_000).json()["error"]
    assert error.startswith("row 1, column 'petal width': found 'wide'")
    assert error.endswith("; and 19995 more") and len(error) < 4000


def test_an_image_is_no_table(wire: Wire) -> None:
    answer = wire.post("/predict/digits", {})
    assert answer.status == 400 and "/v2/models/digits/infer" in answer.json()["error"]


# A model that imputes, scales and encodes, as a ColumnTransformer does

HOUSES = """\
description = "Whether a house sells within a month."

[[columns]]
name = "living area"
type = "number"
input = "numbers"
position = 0
range = [18.0, 400.0]
missing = "nan"

[[columns]]
name = "rooms"
type = "integer"
input = "numbers"
position = 1

[[columns]]
name = "city"
type = "category"
categories = ["Amsterdam", "Utrecht"]
unknown = "ignore"

[[columns]]
name = "garden"
type = "boolean"
missing = false

[[columns]]
name = "energy"
type = "category"
categories = ["A", "B", "C"]

[[answer]]
name = "sold"
output = "label"
kind = "label"
classes = [false, true]

[[answer]]
name = "probabilities"
kind = "probabilities"
classes = [false, true]
"""


def houses() -> onnx.ModelProto:
    """Area: its mean where missing. City: one-hot, zeros where unknown. Energy: an ordinal."""

    def constant(name: str, value: Any, dtype: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, dtype), name)

    weights = [[0.5, -0.5], [0.25, 0.75], [-1, 1], [1, -1], [0.5, 0], [0.125, -0.25]]
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["numbers"], ["absent"]),
            helper.make_node("Where", ["absent", "mean", "numbers"], ["present"]),
            helper.make_node("Sub", ["present", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["scaled"]),
            helper.make_node("Equal", ["city", "cities"], ["is_city"]),
            helper.make_node("Cast", ["is_city"], ["one_hot"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["garden"], ["has_garden"], to=TensorProto.FLOAT),
            helper.make_node(
                "Concat", ["scaled", "one_hot", "has_garden", "energy"], ["row"], axis=1
            ),
            helper.make_node("MatMul", ["row", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        ],
        "houses",
        [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("city", TensorProto.INT64, ["N", 1]),
            helper.make_tensor_value_info("garden", TensorProto.BOOL, ["N", 1]),
            helper.make_tensor_value_info("energy", TensorProto.FLOAT, ["N", 1]),
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [
            constant("mean", [[80, 3]], np.float32),
            constant("scale", [[40, 2]], np.float32),
            constant("cities", [[0, 1]], np.int64),
            constant("weights", weights, np.float32),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


TABLE: list[dict[str, Any]] = [
    {"living area": 120.5, "rooms": 5, "city": "Utrecht", "garden": True, "energy": "A"},
    {"living area": None, "rooms": 2, "city": "Amsterdam", "garden": False, "energy": "C"},
    {"living area": 45, "rooms": 1, "city": "Venlo", "garden": None, "energy": "B"},
]
TENSORS = {
    "numbers": np.array([[120.5, 5], [np.nan, 2], [45, 1]], np.float32),
    "city": np.array([[1], [0], [-1]], np.int64),
    "garden": np.array([[True], [False], [False]]),
    "energy": np.array([[0], [2], [1]], np.float32),
}


FOREST, *_ = test_trees.classifier(
    "forest", test_trees.Trees("class", (0, 1, 2), missing=True, trees=20, depth=6), 3
)


@pytest.fixture(scope="module")
def houses_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("houses")
    shutil.copytree(ROOT / "wit", root / "wit")
    (root / "app.py").write_text(
        "from nnlet.guest import OPEN_INFERENCE_PROTOCOL, TABLES, App\n"
        "app = App(routes=[*OPEN_INFERENCE_PROTOCOL, *TABLES])\n"
    )
    path = root / "models" / "houses" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(houses(), path)
    (root / "models" / "houses" / "model.toml").write_text(HOUSES)
    path = root / "models" / "forest" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(FOREST.proto, path)
    return Project(root)


@pytest.fixture(scope="module")
def houses_server(houses_project: Project, provider: str) -> Iterator[Server]:
    with serving(provider, project=houses_project) as server:
        yield server
        assert server.process.exit_code is None, server.process.output()


@pytest.fixture(scope="module")
def expected(houses_project: Project) -> list[NDArray[Any]]:
    """Labels and probabilities of TABLE, from onnxruntime."""
    path = houses_project.models / "houses" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, TENSORS)
    return found


def test_mixed_columns_cross_as_the_model_takes_them(
    houses_server: Server, expected: list[NDArray[Any]]
) -> None:
    with Wire(houses_server.url) as wire:
        answers = wire.post("/predict/houses", TABLE).json()
        assert [answer["sold"] for answer in answers] == [bool(i) for i in expected[0]]
        found = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(found, expected[1], rtol=1e-5)
        body = as_csv(TABLE, lineterminator="\r\n")
        assert wire.post("/predict/houses", body, content_type="text/csv").json() == answers
        for record, answer in zip(TABLE, answers, strict=True):
            alone = wire.post("/predict/houses", record).json()
            assert alone["sold"] is answer["sold"]


def test_a_bad_record_is_refused_and_the_next_one_answered(houses_server: Server) -> None:
    bad = [{**TABLE[0], "energy": "a"}, {**TABLE[0], "rooms": None}]
    with Wire(houses_server.url) as wire:
        refused = wire.post("/predict/houses", bad)
        assert refused.status == 400
        assert json.loads(refused.body) == {
            "error": "row 1, column 'energy': found 'a' (did you mean 'A'?): expected one of "
            "'A', 'B', 'C'; row 2, column 'rooms': its value is missing: expected a whole number"
        }
        assert wire.post("/predict/houses", TABLE[0]).status == 200


def test_the_protocol_takes_the_same_model_as_tensors(
    houses_server: Server, expected: list[NDArray[Any]]
) -> None:
    datatypes = {"numbers": "FP32", "city": "INT64", "garden": "BOOL", "energy": "FP32"}
    inputs = [
        {"name": name, "datatype": datatypes[name], "shape": [1, *rows.shape[1:]]}
        | {"data": rows[:1].ravel().tolist()}
        for name, rows in TENSORS.items()
    ]
    with Wire(houses_server.url) as wire:
        outputs = wire.post("/v2/models/houses/infer", {"inputs": inputs}).json()["outputs"]
    found = {output["name"]: output["data"] for output in outputs}
    assert found["label"] == [expected[0][0]]


def test_trees_answer_as_in_onnxruntime(houses_server: Server) -> None:
    """OpenVINO knows no trees: on the host they are gathers (nnlet/plain)."""
    (rows,) = FOREST.inputs.values()
    with Wire(houses_server.url) as wire:
        answer = wire.ask("POST", "/v2/models/forest/infer", *as_raw(rows))
    assert answer.status == 200, answer.body
    labels, scores = answer.json()["outputs"]
    expected = reference(FOREST)
    assert [labels["datatype"], scores["datatype"]] == ["INT64", "FP32"]
    size = expected[0].nbytes
    found = answer.binary()
    np.testing.assert_array_equal(np.frombuffer(found[:size], np.int64), expected[0])
    np.testing.assert_allclose(
        np.frombuffer(found[size:], np.float32).reshape(expected[1].shape), expected[1], 1e-4, 1e-5
    )
