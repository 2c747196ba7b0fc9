"""App: failures become answers, each request leaves one line, and instances live on."""

import gzip
import json
import re
from typing import Any

import pytest

from nnlet.errors import HTTPError, ModelError
from nnlet.guest import App, Predict, Request, Response, Route, Tensor
from nnlet.guest.app import log_to_stderr, refusal

from .conftest import CATALOGUE, Call, Echo, Log, model

INFER = "/v2/models/scores/infer"
BODY = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}


def fail(request: Request, app: App) -> Response:
    raise RuntimeError("out of luck")


def exhaust(request: Request, app: App) -> Response:
    raise MemoryError


def recurse(request: Request, app: App) -> Response:
    return recurse(request, app)


def mistake(request: Request, app: App) -> Any:
    return {"not": "a response"}


def text(request: Request, app: App) -> Response:
    return Response("not bytes")  # type: ignore[arg-type]


def answer(*routes: Route, path: str = "/x", log: Log | None = None) -> tuple[int, Any]:
    app = App(routes=list(routes), log=(log if log is not None else []).append)
    app.bind(CATALOGUE, Echo())
    response = app.respond(Request("GET", path))
    return response.status, json.loads(response.body)


def test_a_failure_is_500_with_its_reason_and_its_way_in_the_log() -> None:
    log: Log = []
    status, body = answer(Route("GET", "/x", fail), log=log)
    assert (status, body) == (500, {"error": "internal error: RuntimeError: out of luck"})
    (line,) = log
    assert re.search(r"status=500 .* error='RuntimeError: out of luck' trace='.* fail'", line)


@pytest.mark.parametrize(
    ("handler", "status", "message"),
    [
        (exhaust, 413, "out of memory"),
        (recurse, 500, "RecursionError"),
        (mistake, 500, "/x answered {'not': 'a response'}: expected a Response"),
        (text, 500, "expected a Response"),
    ],
)
def test_a_handler_cannot_take_the_instance_down(handler: Any, status: int, message: str) -> None:
    log: Log = []
    found, body = answer(Route("GET", "/x", handler), log=log)
    assert found == status
    assert message in body["error"]
    assert len(log[0]) < 5000


@pytest.mark.parametrize(
    ("method", "path", "body", "line"),
    [
        ("GET", "/v2/health/live", b"", "model=- status=200 ms="),
        ("POST", INFER, BODY, "model=scores@10 status=200 ms="),
        ("POST", INFER, b"{", "model=scores@10 status=400 ms=.* error='malformed JSON"),
        ("GET", "/nothing", b"", "model=- status=404 ms=.* error='no such path"),
    ],
)
def test_each_request_leaves_one_line(
    call: Call, log: Log, method: str, path: str, body: Any, line: str
) -> None:
    call(method, path, body)
    assert len(log) == 1
    assert re.match(rf"method={method} path={path} {line}", log[0])
    assert "\n" not in log[0]


def test_the_log_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("a line")
    assert capsys.readouterr().err == "a line\n"


def test_head_is_get_without_a_body(call: Call) -> None:
    head = call("HEAD", "/v2/models")
    assert (head.status, head.body) == (200, b"")


def test_a_compressed_body_is_understood(call: Call) -> None:
    body = gzip.compress(json.dumps(BODY).encode())
    assert call("POST", INFER, body, content_encoding="gzip").status == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"?", "gzip", 400),
        (b"?", "br", 415),
        (gzip.compress(bytes(11 * 1024 * 1024)), "gzip", 413),
    ],
    ids=["corrupt", "unknown", "bomb"],
)
def test_a_bad_encoding_is_refused(call: Call, body: bytes, encoding: str, status: int) -> None:
    assert call("POST", INFER, body, content_encoding=encoding).status == status
    assert call("POST", INFER, BODY).status == 200


def test_a_long_answer_is_compressed_if_asked_for(call: Call) -> None:
    plain = call("GET", "/openapi.json")
    packed = call("GET", "/openapi.json", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in plain.headers


def test_a_request_that_could_not_be_read_is_refused_and_logged(app: App, log: Log) -> None:
    request = Request("POST", INFER)
    response = app.refuse(request, HTTPError(413, "too long"))
    assert (response.status, response.body) == (413, b'{"error":"too long"}')
    assert "status=413" in log[0]


def test_a_refusal_may_carry_headers() -> None:
    response, _ = refusal(HTTPError(405, "no", (("allow", "GET"),)))
    assert response.headers == (("allow", "GET"),)


def test_a_route_around_a_model_that_is_absent_fails_when_bound() -> None:
    hook = Predict("absent", lambda request: {}, lambda outputs: Response())
    app = App(routes=[Route("POST", "/x", hook)])
    with pytest.raises(ModelError, match="route POST /x: no model 'absent': there is"):
        app.bind(CATALOGUE, Echo())


def test_models_can_be_called_by_name(app: App) -> None:
    outputs = app.infer("scores", {"x": Tensor.of("INT8", [1, 3], [1, 2, 3])}, "1")
    assert outputs["y"].values() == [1.0, 2.0, 3.0]
    with pytest.raises(HTTPError, match="no model"):
        app.infer("nothing", {})


def test_a_provider_with_too_few_outputs_is_noticed(log: Log) -> None:
    from nnlet.guest import OPEN_INFERENCE_PROTOCOL

    app = App(routes=OPEN_INFERENCE_PROTOCOL, log=log.append)
    rows = [("x", "FP32", (-1, 3))]
    app.bind([model("scores", rows, [*rows, ("z", "FP32", (1,))])], Echo())
    response = app.respond(Request("POST", INFER, {}, json.dumps(BODY).encode()))
    assert response.status == 500
    assert b"1 outputs came from scores@1: expected 2" in response.body
