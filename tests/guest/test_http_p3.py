"""The adapter to WASI 0.3 and the stand-in for asyncio below it, on a host made of Python."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nnlet.guest
from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Route

from . import wasi, wasi_p3
from .conftest import CATALOGUE, Log
from .test_http import broken, echo, empty
from .wasi import Err, Ok

BUNDLED = Path(nnlet.guest.__file__).parent / "bundled"
SUPPORT = "componentize_py_async_support"

Answer = tuple[int, dict[str, bytes], bytes]


@pytest.fixture(params=[False, True], ids=["at once", "blocking"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> wasi_p3.Host:
    """A host on which nothing blocks, and one on which everything does."""
    host = wasi_p3.Host(request.param)
    for name, module in wasi_p3.runtime(host).items():
        monkeypatch.setitem(sys.modules, name, module)
    return host


@pytest.fixture
def support(host: wasi_p3.Host, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in, imported anew, on this host."""
    monkeypatch.syspath_prepend(BUNDLED)
    names = (SUPPORT, f"{SUPPORT}.streams", f"{SUPPORT}.futures")
    for name in names:
        # Set before it is deleted: what is imported now must be gone after the test.
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        del sys.modules[name]
    return [importlib.import_module(name) for name in names][0]


Handle = Callable[[wasi_p3.Request], Answer]


@pytest.fixture
def handle(host: wasi_p3.Host, support: Any, monkeypatch: pytest.MonkeyPatch, log: Log) -> Handle:
    routes = [
        *OPEN_INFERENCE_PROTOCOL,
        *[Route(method, "/echo", echo) for method in ("GET", "POST", "PATCH")],
        Route("GET", "/broken", broken),
        Route("GET", "/empty", empty),
    ]
    template, catalogue = ModuleType("app"), ModuleType("nnlet_catalogue")
    template.app = App(routes, max_body=1000, log=log.append)  # type: ignore[attr-defined]
    catalogue.MODELS = CATALOGUE  # type: ignore[attr-defined]
    ours = wasi_p3.bindings(host, support)
    nn = {name: module for name, module in wasi.modules().items() if name not in ours}
    nn.pop("componentize_py_types")
    for name, module in nn.items():
        if name.startswith("wit_world.imports."):
            setattr(ours["wit_world.imports"], name.rpartition(".")[2], module)
    fakes = {**nn, **ours, "app": template, "nnlet_catalogue": catalogue}
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("nnlet.guest.http_p3", "nnlet.guest.inference"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    handler = importlib.import_module("nnlet.guest.http_p3").HttpHandler()
    gc.unfreeze()

    def handle(incoming: wasi_p3.Request) -> Answer:
        result = host.run(support, handler.handle(incoming))
        assert type(result) is Ok
        assert not host.ends, "an end of a stream or future was left behind"
        assert incoming.fields.dropped
        return result.value.status, result.value.fields, result.value.data

    return handle


def request(
    method: str = "POST",
    path: str | None = "/echo",
    *chunks: bytes,
    end: Ok | Err | None = None,
    **headers: str,
) -> wasi_p3.Request:
    fields = [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]
    return wasi_p3.Request(method, path, fields, chunks, end)


def test_a_request_is_taken_apart(handle: Handle) -> None:
    incoming = request("POST", "/echo?a=b&c", b"one ", b"two", Content_Length="7", X="y")
    status, fields, body = handle(incoming)
    assert status == 200
    assert fields == {"content-type": b"application/json", "content-length": b"%d" % len(body)}
    headers = {"content-length": "7", "x": "y"}
    assert json.loads(body) == ["POST", "/echo", "a=b&c", headers, "one two"]


def test_repeated_headers_are_joined(handle: Handle) -> None:
    incoming = wasi_p3.Request("GET", "/echo", [("Accept", b"a"), ("accept", b"b")])
    assert json.loads(handle(incoming)[2])[3] == {"accept": "a, b"}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_request_may_have_no_body(handle: Handle, method: str) -> None:
    assert json.loads(handle(request(method))[2])[4] == ""


def test_a_body_without_a_length_is_read_to_its_end(handle: Handle) -> None:
    body = handle(request("POST", "/echo", b"a", b"b", b"c"))[2]
    assert json.loads(body)[4] == "abc"


def test_a_body_is_not_awaited_beyond_its_length(handle: Handle) -> None:
    incoming = request("POST", "/echo", b"ab", b"not to be seen", content_length="2")
    assert json.loads(handle(incoming)[2])[4] == "ab"
    assert incoming.stream.read == 2


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
    ("chunks", "end", "headers", "status", "message"),
    [
        ([b"x" * 1001], None, {"content_length": "1001"}, 413, "1001 bytes or more: the limit"),
        ([b"x" * 600, b"x" * 600], None, {}, 413, "1200 bytes or more"),
        ([], None, {"content_length": "x"}, 400, "Content-Length is 'x'"),
        ([b"ab"], None, {"content_length": "5"}, 400, "the body ends early, after 2 of 5 bytes"),
        ([b"ab"], Err("connection"), {}, 400, "the body ends early, after 2 bytes"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    handle: Handle, log: Log, chunks: Any, end: Any, headers: Any, status: int, message: str
) -> None:
    found, _, body = handle(request("POST", "/echo", *chunks, end=end, **headers))
    assert found == status
    assert message in json.loads(body)["error"]
    assert f"status={status}" in log[0]


def test_what_is_too_long_is_taken_in_and_dropped(handle: Handle) -> None:
    incoming = request("POST", "/echo", *[b"x" * 1_000_000] * 100, content_length="100000000")
    assert handle(incoming)[0] == 413
    assert 64 * 1024 * 1024 <= incoming.stream.read <= 65 * 1024 * 1024


@pytest.mark.parametrize("what", ["header", "name"])
def test_an_answer_that_is_not_http_becomes_500(handle: Handle, what: str) -> None:
    status, _, body = handle(request("GET", f"/broken?{what}"))
    assert status == 500
    assert "not valid in HTTP" in json.loads(body)["error"]


def test_a_long_answer_is_written_as_it_is_taken(handle: Handle) -> None:
    body = handle(request("GET", "/openapi.json"))[2]
    assert len(body) > 10 * wasi_p3.Stream.buffer
    assert json.loads(body)["openapi"] == "3.1.0"


def test_a_client_that_goes_away_is_survived(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(wasi_p3.Stream, "lives", 250)
        _, fields, body = handle(request("GET", "/openapi.json"))
    assert 250 <= len(body) < int(fields["content-length"])
    assert json.loads(handle(request("GET", "/v2/health/live"))[2]) == {"live": True}


# The stand-in


def test_a_failure_of_the_wit_kind_is_the_result(host: wasi_p3.Host, support: Any) -> None:
    async def fail() -> None:
        raise Err("no")

    result = host.run(support, fail())
    assert type(result) is Err
    assert result.value == "no"


def test_any_other_failure_ends_the_instance(host: wasi_p3.Host, support: Any) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        host.run(support, fail())


def test_what_is_spawned_runs_after_the_result_and_may_spawn(
    host: wasi_p3.Host, support: Any
) -> None:
    events: list[str] = []

    async def later(name: str, more: int) -> None:
        assert host.returned is not None
        if more:
            support.spawn(later(f"{name}+", more - 1))
        events.append(name)

    async def call() -> str:
        support.spawn(later("a", 1))
        support.spawn(later("b", 0))
        return "result"

    assert host.run(support, call()).value == "result"
    assert events == ["a", "b", "a+"]


def test_two_reads_wait_at_once_and_each_gets_its_own(host: wasi_p3.Host, support: Any) -> None:
    got: dict[str, bytes] = {}

    async def read(name: bytes) -> None:
        handle = host.new(wasi_p3.Stream([name]))
        reader = support.streams.ByteStreamReader(0, handle)
        got[name.decode()] = await reader.read(10)
        reader.drop()

    async def call() -> None:
        support.spawn(read(b"one"))
        support.spawn(read(b"two"))

    host.run(support, call())
    assert got == {"one": b"one", "two": b"two"}
    assert not host.ends


def test_a_call_that_the_host_cancels_ends_with_its_instance(support: Any) -> None:
    blocking = wasi_p3.Host(blocks=True)
    support.runtime.__dict__.update(
        {name: getattr(blocking, name) for name in dir(blocking) if not name.startswith("_")}
    )

    async def call() -> None:
        handle = blocking.new(wasi_p3.Stream([b"x"]))
        await support.streams.ByteStreamReader(0, handle).read(1)

    assert support.first_poll(wasi_p3.EXPORT, 0, call()) != wasi_p3.EXIT
    with pytest.raises(KeyError):
        support.callback(6, 0, 0)
    assert blocking.returned is None
