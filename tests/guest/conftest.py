"""An app on a fake backend, and a way to call it as an adapter does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Backend, InferenceError, Request, Tensor

Log = list[str]


class Echo(Backend):
    """Answers with its inputs, sorted by name. `fail` makes it refuse instead."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[tuple[str, Tensor]]]] = []
        self.fail: InferenceError | None = None

    def load(self, graph: str) -> None:
        if self.fail:
            raise self.fail

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        self.load(graph)
        self.calls.append((graph, inputs))
        return [tensor for _, tensor in sorted(inputs, key=lambda item: item[0])]


def model(
    name: str, inputs: list[Any], outputs: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A model's entry in the catalogue; one that echoes, unless its outputs are given."""
    entry = {"name": name, "version": "1", "inputs": inputs, "outputs": outputs or inputs}
    return {**entry, **more}


LABELS = ("ant", "bee", "cat")
CATALOGUE = [
    model("pair", [("a", "FP32", (-1, 2)), ("b", "INT64", (2,))]),
    model("scores", [("x", "FP32", (-1, 3))], [("y", "FP32", (-1, 3), LABELS)], digest="d1"),
    model("scores", [("x", "FP32", (-1, 3))], version="2"),
    model("scores", [("x", "FP32", (-1, 3))], version="10"),
    model("image", [("x", "UINT8", (-1, 2, -1))]),
    *[
        model(f"echo-{name}", [("x", name, (-1,))])
        for name in (
            *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
            *("FP16", "BF16", "FP32", "FP64"),
        )
    ],
]


class Answer:
    """A response, with its JSON at hand."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The JSON part."""
        length = self.headers.get("inference-header-content-length")
        return json.loads(self.body[: int(length)] if length else self.body)

    @property
    def error(self) -> str:
        """What an error says."""
        assert set(self.json) == {"error"}
        message: str = self.json["error"]
        return message


Call = Callable[..., Answer]


@pytest.fixture
def backend() -> Echo:
    return Echo()


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture
def app(backend: Echo, log: Log) -> App:
    app = App(routes=OPEN_INFERENCE_PROTOCOL, log=log.append)
    app.bind(CATALOGUE, backend)
    return app


@pytest.fixture
def call(app: App) -> Call:
    """Answer one request. A body that is not bytes is sent as JSON."""

    def call(method: str, path: str, body: Any = b"", **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = app.respond(Request(method, path, named, data))
        sent = {"content-type": response.content_type, **dict(response.headers)}
        return Answer(response.status, sent, response.body)

    return call
