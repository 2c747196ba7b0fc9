from typing import Any

import jsonschema_rs
import pytest

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Request, Response, Route

from .conftest import CATALOGUE, Call, Echo, model

INFER = "/v2/models/scores/versions/1/infer"


@pytest.fixture
def document(call: Call) -> Any:
    return call("GET", "/openapi.json").json


def schema_of(document: Any, path: str) -> Any:
    """The schema of a request's JSON, with what it refers to."""
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return {**content["application/json"]["schema"], "components": document["components"]}


def test_every_route_is_described(document: Any) -> None:
    described = set(document["paths"])
    for route in OPEN_INFERENCE_PROTOCOL:
        refused = route.path.startswith("/v2/repository/models/")
        per_model = route.path.endswith("/infer")
        assert (route.path in described) is not (refused or per_model)


def test_inference_is_described_for_each_model_and_version(document: Any) -> None:
    paths = {path for path in document["paths"] if path.startswith("/v2/models/scores/")}
    assert paths == {
        "/v2/models/scores/infer",
        *(f"/v2/models/scores/versions/{version}/infer" for version in ("1", "2", "10")),
    }


def test_every_reference_leads_somewhere(document: Any) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found = document
                for key in node["$ref"].removeprefix("#/").split("/"):
                    found = found[key]
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)


X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [X]},
        {"inputs": [{**X, "shape": [2, 3], "data": [[1, 2, 3], [4, 5, 6]]}]},
        {"inputs": [{**X, "datatype": "INT8"}], "id": "1", "parameters": {"a": 1, "b": "c"}},
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
        {"inputs": [X], "outputs": None, "id": None, "parameters": None},
    ],
)
def test_what_is_accepted_is_described(call: Call, document: Any, body: Any) -> None:
    assert call("POST", INFER, body).status == 200
    jsonschema_rs.validate(schema_of(document, INFER), body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [X, X]},
        {"inputs": [{**X, "name": "y"}]},
        {"inputs": [{**X, "datatype": "FP64"}]},
        {"inputs": [{**X, "shape": [3]}]},
        {"inputs": [{**X, "shape": [0, 3]}]},
        {"inputs": [{**X, "shape": [1, 4]}]},
        {"inputs": [{**X, "data": "abc"}]},
        {"inputs": [{**X, "parameters": {"binary_data_size": 12}}]},
        {"inputs": [{**X, "parameters": {"shared_memory_region": "a"}}]},
        {"inputs": [X], "id": 1},
        {"inputs": [X], "parameters": {"a": None}},
        {"inputs": [X], "parameters": {"triton_a": 1}},
        {"inputs": [X], "outputs": [{}]},
        {"inputs": [X], "outputs": [{"name": "x"}]},
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
    ],
)
def test_what_is_not_described_is_refused(call: Call, document: Any, body: Any) -> None:
    assert call("POST", INFER, body).status == 400
    assert not jsonschema_rs.is_valid(schema_of(document, INFER), body)


def test_the_catalogues_example_becomes_a_request() -> None:
    row = [[0.5, 1.0, 2.0]]
    app = App(routes=OPEN_INFERENCE_PROTOCOL, log=lambda line: None)
    app.bind([model("m", [("x", "FP32", (-1, 3))], example={"x": row})], Echo())
    document = jsonschema_free(app)
    media = document["paths"]["/v2/models/m/infer"]["post"]["requestBody"]["content"]
    example = media["application/json"]["example"]
    assert example == {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": row}]}


def jsonschema_free(app: App) -> Any:
    return Request("GET", "/", body=app.openapi).json()


def test_a_route_of_ones_own_is_described() -> None:
    def double(request: Request, app: App) -> Response:
        """Twice as much.

        More words.
        """
        return Response()

    body = {"type": "object"}
    app = App(routes=[Route("POST", "/double/{thing}", double, body)], log=lambda line: None)
    app.bind(CATALOGUE, Echo())
    operation = jsonschema_free(app)["paths"]["/double/{thing}"]["post"]
    assert operation["summary"] == "Twice as much."
    assert operation["parameters"][0]["name"] == "thing"
    assert operation["requestBody"]["content"]["application/json"]["schema"] == body
