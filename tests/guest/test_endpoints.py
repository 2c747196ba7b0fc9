from typing import Any

import pytest

import nnlet
from nnlet.errors import InferenceError
from nnlet.guest import App

from .conftest import CATALOGUE, Call, Echo

SCORES = {
    "name": "scores",
    "versions": ["1", "2", "10"],
    "platform": "onnx_onnxv1",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    "properties": {"description": "", "sha256": "d1"},
}
TENSOR = {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]}
CONFIG = {
    "name": "scores",
    "platform": "onnx_onnxv1",
    "backend": "wasi-nn",
    "max_batch_size": 0,
    "input": [TENSOR],
    "output": [TENSOR],
}
SERVER = {
    "name": "nnlet",
    "version": nnlet.__version__,
    "extensions": [
        *("binary_tensor_data", "classification", "model_configuration", "model_repository"),
    ],
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "live": True}),
        ("/v2", SERVER),
        ("/v2/", SERVER),
        ("/v2/models", {"models": sorted({entry["name"] for entry in CATALOGUE})}),
        ("/v2/models/scores/versions/1", SCORES),
        ("/v2/models/s%63ores/versions/1", SCORES),
        ("/v2/models/scores/ready", {"name": "scores", "ready": True}),
        ("/v2/models/scores/versions/2/ready", {"name": "scores", "ready": True}),
        ("/v2/models/scores/config", CONFIG),
        ("/v2/models/scores/versions/2/config", CONFIG),
    ],
)
def test_it_answers(call: Call, path: str, body: Any) -> None:
    answer = call("GET", path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == body


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"ready": true}', b'{"ready": false}'])
def test_the_repository_index_lists_every_version(call: Call, body: bytes) -> None:
    index = call("POST", "/v2/repository/index", body).json
    assert len(index) == len(CATALOGUE)
    assert index[1] == {"name": "scores", "version": "1", "state": "READY", "reason": ""}


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready": 1}', b"null"])
def test_a_bad_index_request_is_400(call: Call, body: bytes) -> None:
    assert call("POST", "/v2/repository/index", body).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "no such path: /: GET /openapi.json lists"),
        ("GET", "/v2/nothing", 404, "no such path"),
        ("GET", "/v2/models/", 404, "no such path"),
        ("GET", "/v2/models/nothing", 404, "no model 'nothing': there is echo-BF16, "),
        ("GET", "/v2/models/nothing/ready", 404, "no model"),
        ("GET", "/v2/models/a%2Fb", 404, "no model 'a/b'"),
        ("POST", "/v2/models/nothing/infer", 404, "no model"),
        ("GET", "/v2/models/scores/versions/7", 404, "'scores' has no version '7': it has 1, 2"),
        ("GET", "/v2/models/scores/versions/one", 404, "has no version 'one'"),
        ("POST", "/v2/models/scores", 405, "method POST is not allowed"),
        ("GET", "/v2/models/scores/infer", 405, "use POST"),
        ("POST", "/v2/repository/models/scores/load", 501, "fixed when the function is built"),
        ("POST", "/v2/repository/models/scores/unload", 501, "fixed when the function is built"),
    ],
)
def test_it_refuses(call: Call, method: str, path: str, status: int, message: str) -> None:
    answer = call(method, path)
    assert answer.status == status
    assert message in answer.error


def test_a_model_that_does_not_load_is_not_ready(call: Call, backend: Echo) -> None:
    backend.fail = InferenceError("not-found", "no graph scores@10")
    for path in ("/v2/models/scores/ready", "/v2/health/ready"):
        assert call("GET", path).status == 503
    message = "model scores@10 is not ready: no graph scores@10 (not-found)"
    assert call("GET", "/v2/models/scores/ready").error == message
    assert call("GET", "/v2/health/live").status == 200


def test_a_server_without_models_is_ready() -> None:
    from nnlet.guest import OPEN_INFERENCE_PROTOCOL, Request

    app = App(routes=OPEN_INFERENCE_PROTOCOL, log=lambda line: None)
    app.bind([], Echo())
    assert app.respond(Request("GET", "/v2/health/ready")).status == 200
    assert app.respond(Request("GET", "/v2/models")).body == b'{"models":[]}'
