"""Hooks, and the one that app.py shows."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from nnlet.guest import App, HTTPError, Predict, Request, Response, Route, Tensor

from .conftest import Echo, Log, model

TEMPLATE = Path(__file__).parents[2] / "app.py"


def decode_request(request: Request) -> dict[str, Tensor]:
    numbers = request.json()
    if not isinstance(numbers, list):
        raise HTTPError(422, "not a list")
    return {"x": Tensor.of("FP32", [1, len(numbers)], numbers)}


def encode_response(outputs: dict[str, Tensor]) -> Response:
    return Response.json({"sum": sum(outputs["x"].values())})


def post(app: App, path: str, body: bytes) -> tuple[int, Any]:
    response = app.respond(Request("POST", path, {}, body))
    return response.status, json.loads(response.body)


@pytest.fixture
def app(log: Log) -> App:
    routes = [Route("POST", "/sum", Predict("m", decode_request, encode_response))]
    app = App(routes=routes, log=log.append)
    app.bind([model("m", [("x", "FP32", (-1, 3))])], Echo())
    return app


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b"[1, 2, 3]", 200, {"sum": 6.0}),
        (b"{}", 422, {"error": "not a list"}),
        (b"[", 400, None),
        (b'[1, "2", 3]', 400, {"error": "tensor: element 1 is '2': FP32 expects a number"}),
        (b"[1, 2]", 400, None),
    ],
)
def test_a_request_goes_through_both_hooks(app: App, body: bytes, status: int, answer: Any) -> None:
    found = post(app, "/sum", body)
    assert found[0] == status
    assert answer is None or found[1] == answer


def test_the_log_names_the_hooks_model(app: App, log: Log) -> None:
    post(app, "/sum", b"[")
    assert "model=m@1 status=400" in log[0]


class Digit(Echo):
    """Sees a digit whose number is the first pixel times 16."""

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        ((_, image),) = inputs
        assert image.shape == (1, 1, 8, 8)
        digit = round(image.values()[0] * 16)
        return [Tensor.of("FP32", [1, 10], [0.9 if i == digit else 0.01 for i in range(10)])]


@pytest.fixture
def digits() -> App:
    app: App = runpy.run_path(str(TEMPLATE))["app"]
    image = ("image", "FP32", (-1, 1, 8, 8))
    app.bind([model("digits", [image], [("probabilities", "FP32", (-1, 10))])], Digit())
    return app


def test_the_templates_hook_reads_a_digit(digits: App) -> None:
    body = json.dumps({"pixels": [7] + [0] * 63}).encode()
    assert post(digits, "/digits", body) == (200, {"digit": 7, "probability": 0.9})


@pytest.mark.parametrize(
    "body",
    [[], {}, {"pixels": 1}, {"pixels": [1] * 63}, {"pixels": [17] * 64}, {"pixels": [-1] * 64}]
    + [{"pixels": [None] * 64}, {"pixels": ["1"] * 64}],
)
def test_the_templates_hook_refuses_other_images(digits: App, body: Any) -> None:
    status, answer = post(digits, "/digits", json.dumps(body).encode())
    assert status == 400
    assert answer["error"]
