"""The adapter to wasi:http, on a host made of Python that asserts the specification's rules."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Request, Response, Route

from . import wasi
from .conftest import CATALOGUE, Log

Answer = tuple[int, dict[str, bytes], bytes]


def echo(request: Request, app: App) -> Response:
    """What came in."""
    seen = [request.method, request.path, request.query, request.headers, request.body.decode()]
    return Response.json(seen)


def broken(request: Request, app: App) -> Response:
    """A header that HTTP does not allow, or a status, or a name that is not Latin."""
    return {
        "header": Response(headers=(("x", "a\nb"),)),
        "status": Response(status=7),
        "name": Response(headers=(("x", "\u2603"),)),
    }[request.query]


def empty(request: Request, app: App) -> Response:
    return Response(b"", 204)


@pytest.fixture
def handle(
    monkeypatch: pytest.MonkeyPatch, log: Log
) -> Iterator[Callable[[wasi.IncomingRequest], Answer]]:
    routes = [
        *OPEN_INFERENCE_PROTOCOL,
        *[Route(method, "/echo", echo) for method in ("GET", "POST", "PATCH")],
        Route("GET", "/broken", broken),
        Route("GET", "/empty", empty),
    ]
    template, catalogue = ModuleType("app"), ModuleType("nnlet_catalogue")
    template.app = App(routes, max_body=1000, log=log.append)  # type: ignore[attr-defined]
    catalogue.MODELS = CATALOGUE  # type: ignore[attr-defined]
    fakes = {**wasi.modules(), "app": template, "nnlet_catalogue": catalogue}
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("nnlet.guest.http", "nnlet.guest.inference"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    handler = importlib.import_module("nnlet.guest.http").IncomingHandler()
    gc.unfreeze()

    def handle(incoming: wasi.IncomingRequest) -> Answer:
        out = wasi.ResponseOutparam()
        handler.handle(incoming, out)
        incoming.drop()
        assert out.response is not None
        return out.response.status, out.response.fields, out.response.outgoing.data

    yield handle


Handle = Callable[[wasi.IncomingRequest], Answer]


def request(
    method: str = "POST", path: str | None = "/echo", *chunks: Any, **headers: str
) -> wasi.IncomingRequest:
    fields = [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]
    return wasi.IncomingRequest(method, path, fields, chunks)


def test_a_request_is_taken_apart(handle: Handle) -> None:
    incoming = request("POST", "/echo?a=b&c", b"one ", b"two", Content_Length="7", X="y")
    status, fields, body = handle(incoming)
    assert status == 200
    assert fields == {"content-type": b"application/json", "content-length": b"%d" % len(body)}
    headers = {"content-length": "7", "x": "y"}
    assert json.loads(body) == ["POST", "/echo", "a=b&c", headers, "one two"]


def test_repeated_headers_are_joined(handle: Handle) -> None:
    incoming = wasi.IncomingRequest("GET", "/echo", [("Accept", b"a"), ("accept", b"b")])
    assert json.loads(handle(incoming)[2])[3] == {"accept": "a, b"}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_request_may_have_no_body(handle: Handle, method: str) -> None:
    assert json.loads(handle(request(method))[2])[4] == ""


def test_a_body_without_a_length_is_read_to_its_end(handle: Handle) -> None:
    body = handle(request("POST", "/echo", b"a", b"b", b"c"))[2]
    assert json.loads(body)[4] == "abc"


def test_a_body_is_not_awaited_beyond_its_length(handle: Handle) -> None:
    incoming = request("POST", "/echo", b"ab", wasi.Err("not to be seen"), content_length="2")
    assert json.loads(handle(incoming)[2])[4] == "ab"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", None, 404), ("BREW", "/echo", 405), ("HEAD", "/v2/models", 200)],
)
def test_unusual_heads(handle: Handle, method: str, path: str | None, status: int) -> None:
    assert handle(request(method, path))[0] == status


@pytest.mark.parametrize("path", ["/empty", "/v2/models"])
def test_no_length_is_sent_without_a_body(handle: Handle, path: str) -> None:
    method = "GET" if path == "/empty" else "HEAD"
    _, fields, body = handle(request(method, path))
    assert body == b""
    assert "content-length" not in fields


@pytest.mark.parametrize(
    ("chunks", "headers", "status", "message"),
    [
        ([b"x" * 1001], {"content_length": "1001"}, 413, "1001 bytes or more: the limit here is"),
        ([b"x" * 600, b"x" * 600], {}, 413, "1200 bytes or more"),
        ([], {"content_length": "x"}, 400, "Content-Length is 'x'"),
        ([b"ab"], {"content_length": "5"}, 400, "the body ends early, after 2 of 5 bytes"),
        (
            [b"ab", wasi.Err(wasi.StreamError_LastOperationFailed())],
            {},
            400,
            "the body ends early, after 2 bytes",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    handle: Handle, log: Log, chunks: Any, headers: Any, status: int, message: str
) -> None:
    incoming = request("POST", "/echo", *chunks, **headers)
    found, _, body = handle(incoming)
    assert found == status
    assert message in json.loads(body)["error"]
    assert f"status={status}" in log[0]


def test_what_is_too_long_is_taken_in_and_dropped_after_the_answer(handle: Handle) -> None:
    chunks = [b"x" * 1_000_000] * 100
    incoming = request("POST", "/echo", *chunks, content_length="100000000")
    assert handle(incoming)[0] == 413
    assert incoming.body.input.skipped == 64 * 1024 * 1024


@pytest.mark.parametrize("what", ["header", "status", "name"])
def test_an_answer_that_is_not_http_becomes_500(handle: Handle, what: str) -> None:
    status, _, body = handle(request("GET", f"/broken?{what}"))
    assert status == 500
    assert "not valid in HTTP" in json.loads(body)["error"]


def send(handle: Handle, path: str = "/openapi.json") -> wasi.ResponseOutparam:
    """Like `handle`, for a look at the order of events."""
    out = wasi.ResponseOutparam()
    incoming = request("GET", path)
    importlib.import_module("nnlet.guest.http").IncomingHandler().handle(incoming, out)
    return out


def test_a_short_answer_is_written_before_it_is_sent(handle: Handle) -> None:
    out = send(handle, "/v2/health/live")
    assert out.sent_after == b'{"live":true}'
    assert out.response is not None
    assert out.response.outgoing.finished


def test_a_long_answer_is_sent_as_it_is_taken(handle: Handle) -> None:
    out = send(handle)
    assert out.sent_after == b""
    assert out.response is not None
    assert out.response.outgoing.finished
    assert json.loads(out.response.outgoing.data)["openapi"] == "3.1.0"


def test_a_client_that_goes_away_is_survived(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(wasi.OutgoingBody, "lives", 250)
        out = send(handle)
    assert out.response is not None
    assert not out.response.outgoing.finished
    assert send(handle).response is not None
