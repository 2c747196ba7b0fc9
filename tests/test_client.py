"""The client, against the real protocol code running natively."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.client import Client, ModelInfo, TensorInfo, infer_request, tensors
from nnlet.dev import DevServer
from nnlet.errors import RequestError
from nnlet.host import free_port


@pytest.fixture
def client(dev_server: DevServer) -> Iterator[Client]:
    with Client(dev_server.url) as client:
        yield client


def add_typed_model(models: Path, datatype: int) -> None:
    """A model, `same`, that gives back what it is given."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", datatype, ["N"])],
        [helper.make_tensor_value_info("y", datatype, ["N"])],
    )
    path = models / "same" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_a_model_tells_what_it_takes_and_gives(client: Client) -> None:
    assert client.models() == ("double",)
    model = client.model("double")
    assert model == ModelInfo(
        "double", ("1",), (TensorInfo("x", "FP32", (-1, 4)),), (TensorInfo("y", "FP32", (-1, 4)),)
    )
    assert str(model.inputs[0]) == "x FP32 [?, 4]"


def test_values_go_there_and_answers_come_back(client: Client) -> None:
    model = client.model("double")
    answer = client.infer(model, tensors(model, {"x": [[1, 2, 3, 4], [5, 6, 7, 8]]}))
    (output,) = answer.outputs
    assert (answer.model, answer.version) == ("double", "1")
    assert (output.name, output.shape) == ("y", (2, 4))
    assert output.data == [2, 4, 6, 8, 10, 12, 14, 16]
    assert answer.as_json()["outputs"][0]["data"] == output.data
    assert json.loads(answer.text)["model_name"] == "double"


def test_half_precision_goes_in_binary(dev_server: DevServer, client: Client) -> None:
    add_typed_model(dev_server.project.models, TensorProto.FLOAT16)
    dev_server.reload()
    model = client.model("same")
    inputs = tensors(model, {"x": [0.5, -2, 65504]})
    assert not infer_request(model, inputs).is_text
    (output,) = client.infer(model, inputs).outputs
    assert (output.datatype, output.data) == ("FP16", [0.5, -2, 65504])
    with pytest.raises(RequestError, match="element 0 is 65536: out of range for FP16"):
        tensors(model, {"x": [65536]})


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        (TensorProto.BOOL, [True, False]),
        (TensorProto.INT8, [-128, 127]),
        (TensorProto.UINT64, [0, 2**64 - 1]),
        (TensorProto.DOUBLE, [math.pi, -1e300]),
    ],
)
def test_every_kind_of_value_survives(
    dev_server: DevServer, client: Client, datatype: int, values: list[object]
) -> None:
    add_typed_model(dev_server.project.models, datatype)
    dev_server.reload()
    model = client.model("same")
    (output,) = client.infer(model, tensors(model, {"x": values})).outputs
    assert output.data == values


def test_names_are_checked_before_anything_is_sent(client: Client) -> None:
    model = client.model("double")
    with pytest.raises(RequestError, match="double has no input 'z': its inputs are x"):
        tensors(model, {"z": [1]})
    with pytest.raises(RequestError, match="double also needs a value for x"):
        tensors(model, {})


def test_a_refusal_is_one_line_with_the_servers_reason(client: Client) -> None:
    with pytest.raises(RequestError, match="/v2/models/none answered 404: no model 'none'"):
        client.model("none")
    model = client.model("double")
    with pytest.raises(RequestError, match="answered 400: input 'x': shape is"):
        client.infer(model, tensors(model, {"x": [1, 2]}))


def test_nobody_there_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(url) as client,
        pytest.raises(RequestError, match=f"no answer from {url}: Connection refused: is it"),
    ):
        client.models()


@pytest.mark.parametrize("url", ["", "http://", "ftp://host", "http:///v2"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="not a URL of a server"):
        Client(url)


@contextmanager
def stranger(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that says `body` whatever is asked; its URL, and the paths asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def test_a_base_path_is_kept_and_names_are_quoted() -> None:
    with stranger(404, b'{"error": "not here"}') as (url, paths), Client(f"{url}/base/") as client:
        with pytest.raises(RequestError, match="404: not here"):
            client.model("a/b c")
    assert paths == ["/base/v2/models/a%2Fb%20c"]


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"{}", b'{"models": 3}'])
def test_a_server_of_another_kind_is_one_line(body: bytes) -> None:
    with (
        stranger(200, body) as (url, _),
        Client(url) as client,
        pytest.raises(RequestError, match="does not speak the Open Inference Protocol"),
    ):
        client.models()
