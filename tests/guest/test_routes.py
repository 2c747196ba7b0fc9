from typing import Any

import pytest

from nnlet.errors import HTTPError
from nnlet.guest import Request, Route
from nnlet.guest.routes import Router, unquote


def handler(request: Request, app: Any) -> Any:
    raise AssertionError("not called here")


LIST = Route("GET", "/things", handler)
ADD = Route("POST", "/things", handler)
SPECIAL = Route("GET", "/things/special", handler)
ONE = Route("GET", "/things/{thing}", handler)
PART = Route("POST", "/things/{thing}/parts/{part}", handler)


@pytest.fixture
def router() -> Router:
    return Router([LIST, ADD, SPECIAL, ONE, PART])


@pytest.mark.parametrize(
    ("method", "path", "route", "params"),
    [
        ("GET", "/things", LIST, {}),
        ("HEAD", "/things", LIST, {}),
        ("POST", "/things", ADD, {}),
        ("GET", "/things/special", SPECIAL, {}),
        ("GET", "/things/a", ONE, {"thing": "a"}),
        ("GET", "/things/a%2Fb%20c", ONE, {"thing": "a/b c"}),
        ("POST", "/things/special/parts/1", PART, {"thing": "special", "part": "1"}),
    ],
)
def test_the_first_route_that_matches_is_found(
    router: Router, method: str, path: str, route: Route, params: dict[str, str]
) -> None:
    for _ in range(2):  # the second time from memory
        request = Request(method, path)
        assert router.find(request) is route
        assert request.params == params


@pytest.mark.parametrize("path", ["/", "", "/thing", "/things/", "/things/a/parts", "//things"])
def test_another_path_is_404(router: Router, path: str) -> None:
    with pytest.raises(HTTPError, match="no such path") as caught:
        router.find(Request("GET", path))
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/things", "GET, HEAD, POST"),
        ("DELETE", "/things/a", "GET, HEAD"),
        ("GET", "/things/a/parts/b", "POST"),
        ("HEAD", "/things/a/parts/b", "POST"),
        ("BREW", "/things", "GET, HEAD, POST"),
    ],
)
def test_another_method_is_405_with_those_allowed(
    router: Router, method: str, path: str, allow: str
) -> None:
    with pytest.raises(HTTPError, match=f"use {allow}") as caught:
        router.find(Request(method, path))
    assert caught.value.status == 405
    assert caught.value.headers == (("allow", allow),)


def test_memory_of_paths_is_bounded(router: Router) -> None:
    for number in range(1000):
        router.find(Request("GET", f"/things/{number}"))
    assert len(router._seen) <= 256


def test_params_belong_to_one_request(router: Router) -> None:
    first, second = Request("GET", "/things/a"), Request("GET", "/things/a")
    router.find(first)
    first.params["thing"] = "changed"
    router.find(second)
    assert second.params == {"thing": "a"}


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("plain", "plain"),
        ("a%20b", "a b"),
        ("%C3%A4", "ä"),
        ("ä%41", "äA"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%+1%-1%1_", "%+1%-1%1_"),
        ("%ff", "\ufffd"),
    ],
)
def test_percent_encoding_is_undone(segment: str, text: str) -> None:
    assert unquote(segment) == text
