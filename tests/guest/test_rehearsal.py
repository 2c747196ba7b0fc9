"""The rehearsal runs our code, and nothing of it is left but that it ran."""

from __future__ import annotations

import pytest

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Request, Response, Route
from nnlet.guest.rehearsal import MAX_ELEMENTS, ROUNDS, rehearse

from .conftest import Echo, Log, model

SMALL = model("small", [("x", "FP32", (-1, 3))])
EVERY = model(
    "every",
    [(name, name, (-1, 2)) for name in ("BOOL", "UINT64", "INT8", "FP64")],
    [("scores", "FP32", (-1, -1))],
)
HALF = model("half", [("x", "FP16", (1,))])
LARGE = model("large", [("x", "FP32", (1, MAX_ELEMENTS + 1))])


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Of every request that any app answers."""
    seen: list[tuple[str, int]] = []
    respond = App.respond

    def watched(app: App, request: Request) -> Response:
        response = respond(app, request)
        seen.append((request.path, response.status))
        return response

    monkeypatch.setattr(App, "respond", watched)
    return seen


def test_every_form_of_request_is_answered(statuses: list[tuple[str, int]]) -> None:
    app = App(routes=OPEN_INFERENCE_PROTOCOL)
    app.bind([SMALL], Echo())
    rehearse(app)
    assert statuses == [("/v2/models/small/infer", 200)] * 3 * ROUNDS


def test_the_app_is_as_before_and_nothing_was_computed_or_logged() -> None:
    log: Log = []
    backend = Echo()
    app = App(routes=OPEN_INFERENCE_PROTOCOL, log=log.append)
    app.bind([SMALL, EVERY, HALF], backend)
    before = app.log
    rehearse(app)
    assert app.backend is backend and app.log is before
    assert (backend.calls, log) == ([], [])


def test_any_datatype_can_be_rehearsed(statuses: list[tuple[str, int]]) -> None:
    app = App(routes=OPEN_INFERENCE_PROTOCOL)
    app.bind([EVERY, HALF], Echo())
    rehearse(app)
    answered = [path for path, status in statuses if status == 200]
    # A raw request takes one input, and JSON has no FP16: refusing is rehearsed there.
    assert answered.count("/v2/models/every/infer") == 2 * ROUNDS
    assert answered.count("/v2/models/half/infer") == 2 * ROUNDS
    assert {status for _, status in statuses} == {200, 400}


def test_large_tensors_are_left_out(statuses: list[tuple[str, int]]) -> None:
    app = App(routes=OPEN_INFERENCE_PROTOCOL)
    app.bind([LARGE], Echo())
    rehearse(app)
    assert statuses == []


def test_no_handler_of_the_user_is_run(statuses: list[tuple[str, int]]) -> None:
    def own(request: Request, app: App) -> Response:
        raise AssertionError("a side effect")

    for routes in ([Route("POST", "/v2/models/{model}/infer", own)], [Route("GET", "/x", own)]):
        app = App(routes=routes)
        app.bind([SMALL], Echo())
        rehearse(app)
    assert statuses == []
