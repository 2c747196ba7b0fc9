"""The Open Inference Protocol, from the worker example in workerd and from the handler alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from js import hosts
from js.hosts import Node
from nnlet.client import Client, tensors
from nnlet.model import read_repository

ROOT = Path(__file__).parents[2]
FEATURES = [[5.5, 3.5, 1.3, 0.2]]


@pytest.fixture(scope="module")
def worker(package: Path) -> Iterator[str]:
    """The URL of the example, served by workerd."""
    with hosts.workerd(package / "examples" / "worker" / "config.capnp") as url:
        yield url


def test_our_client_asks_the_worker(worker: str) -> None:
    (spec,) = [s for s in read_repository(ROOT / "models") if s.name == "digits"]
    with Client(worker) as client:
        assert client.models() == ("diabetes", "digits", "iris")
        info = client.model("digits")
        answer = client.infer(info, tensors(info, spec.example))
    assert max(range(10), key=list(answer.outputs[0].data).__getitem__) == 7


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_asks_the_worker(worker: str, binary: bool) -> None:
    client = triton.InferenceServerClient(worker.removeprefix("http://"))
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("iris")
    given = triton.InferInput("features", [1, 4], "FP32")
    given.set_data_from_numpy(np.array(FEATURES, np.float32), binary_data=binary)
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary)
    found = client.infer("iris", [given], outputs=[wanted]).as_numpy("probabilities")
    client.close()
    assert found.shape == (1, 3) and found.argmax() == 0
    assert abs(found.sum() - 1) < 1e-6


# The handler, in Node


def body(**changes: Any) -> dict[str, Any]:
    """A good request for iris, and what is to be otherwise in its input."""
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": FEATURES}
    return {"inputs": [tensor | changes]}


def ask(node: Node, method: str, path: str, content: Any = None, **headers: str) -> Any:
    words = json.dumps([method, path, content, headers])[1:-1].replace("null", "undefined")
    found = node.run(f"ask({words})")
    return found["status"], found["body"]


def test_an_answer_is_in_the_protocols_form(node: Node) -> None:
    status, answer = ask(node, "POST", "/v2/models/iris/infer", {**body(), "id": "a"})
    assert status == 200
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("iris", "1", "a")
    (output,) = answer["outputs"]
    data = output.pop("data")
    assert output == {"name": "probabilities", "datatype": "FP32", "shape": [1, 3]}
    assert np.argmax(data) == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "nnlet", "version": "2", "extensions": ["binary_tensor_data"]}),
        ("/v2/models", {"models": ["diabetes", "digits", "iris"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "live": True}),
        ("/v2/models/iris/versions/1/ready", {"name": "iris", "ready": True}),
    ],
)
def test_what_is_there_is_told(node: Node, path: str, expected: object) -> None:
    assert ask(node, "GET", path) == (200, expected)


def test_a_model_is_described(node: Node) -> None:
    status, about = ask(node, "GET", "/v2/models/iris")
    assert status == 200
    assert about["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert about["versions"] == ["1"] and about["platform"] == "onnx_onnxv1"


INFER = "/v2/models/iris/infer"


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        ("/v2/nothing", {}, 404, "no such path: /v2/nothing"),
        ("/v2/models/iris", {}, 405, "method POST is not allowed for /v2/models/iris: use GET"),
        (
            "/v2/models/nope/infer",
            body(),
            404,
            "no model 'nope': there is diabetes, digits, iris",
        ),
        ("/v2/models/%ff/infer", body(), 404, "no model '%ff'"),
        ("/v2/models/iris/versions/2/infer", body(), 404, "has no version '2': it has 1"),
        (INFER, "{", 400, "malformed JSON: "),
        (INFER, "[]", 400, "the request is no JSON object: expected one"),
        (INFER, {"inputs": 3}, 400, "inputs is no list: expected tensors"),
        (INFER, {"inputs": []}, 400, "missing input 'features': iris takes 'features'"),
        (INFER, {"inputs": [None]}, 400, "unknown input without a name: the model has 'features'"),
        (INFER, body(name="x"), 400, "unknown input \"x\": the model has 'features'"),
        (
            INFER,
            {"inputs": body()["inputs"] * 2},
            400,
            "input 'features' is given more than once",
        ),
        (
            INFER,
            body(datatype="FP64"),
            400,
            "input 'features': datatype is \"FP64\": the model takes FP32",
        ),
        (INFER, body(shape=4), 400, "input 'features': shape is no list"),
        (INFER, body(shape=[1, 5]), 400, "input 'features': shape is [1, 5]: expected 4 at axis 1"),
        (INFER, body(data=[1, 2]), 400, "input 'features': found 2 values: shape [1, 4] has 4"),
        (INFER, body(data=[1, 2, "3", 4]), 400, "element 2 is the text '3': FP32 expects a number"),
        (INFER, body(data="1"), 400, "input 'features': data is no list"),
        (
            INFER,
            body(parameters={"binary_data_size": 16}),
            400,
            "input 'features': expected either data or binary_data_size",
        ),
        (INFER, {**body(), "outputs": [{"name": "y"}]}, 400, 'unknown output "y"'),
        (INFER, {**body(), "id": 1}, 400, "id is no string: expected one"),
        (
            INFER,
            {**body(), "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]},
            400,
            "output 'probabilities': classification is not offered here",
        ),
        (
            INFER,
            {**body(), "parameters": {"binary_data_output": 1}},
            400,
            "binary_data_output is 1: expected true or false",
        ),
    ],
)
def test_a_wrong_request_is_refused_in_words(
    node: Node, path: str, content: Any, status: int, words: str
) -> None:
    found, answer = ask(node, "POST", path, content)
    assert list(answer) == ["error"]
    assert (found, words in answer["error"]) == (status, True), answer


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("x", "Inference-Header-Content-Length is 'x': expected a number from 1 to"),
        ("9999", "Inference-Header-Content-Length is '9999'"),
        ("3", "malformed JSON"),
    ],
)
def test_a_wrong_header_length_is_refused(node: Node, length: str, words: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    status, answer = ask(node, "POST", INFER, body(), **headers)
    assert status == 400 and words in answer["error"]


def test_binary_data_that_is_cut_off_is_refused(node: Node) -> None:
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32"}
    request = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 16}}]})
    headers = {"Inference-Header-Content-Length": str(len(request))}
    status, answer = ask(node, "POST", INFER, request + "12345678", **headers)
    assert status == 400
    assert answer["error"] == (
        "input 'features': binary_data_size is 16: expected a multiple of 4, up to the 8 bytes "
        "that are left"
    )
    status, answer = ask(node, "POST", INFER, request + "0" * 17, **headers)
    assert answer["error"] == "unexpected data: 1 bytes after the last binary input"


def test_a_body_beyond_the_limit_is_refused(node: Node) -> None:
    code = """(async () => {
        const handle = openInferenceProtocol({ load, models, maxBody: 10 });
        const url = "http://x/v2/models/iris/infer";
        const response = await handle(new Request(url, { method: "POST", body: "x".repeat(11) }));
        return [response.status, await response.json()];
    })()"""
    words = "the body has more bytes than the limit here, 10"
    assert node.run(code) == [413, {"error": words}]


def test_integers_that_json_would_round_are_refused(every_type: Node) -> None:
    tensor = {"name": "in_INT64", "shape": [1], "datatype": "INT64", "data": [2**53 + 1]}
    status, answer = ask(every_type, "POST", "/v2/models/same/infer", {"inputs": [tensor]})
    assert status == 400
    assert answer["error"] == (
        "input 'in_INT64': element 0 is a whole number that JavaScript's JSON rounds: send it as "
        "binary data"
    )
