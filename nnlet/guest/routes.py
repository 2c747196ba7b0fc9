"""Routes: a visible list, matched from top to bottom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnlet.errors import HTTPError
from nnlet.guest.messages import Request, Response

if TYPE_CHECKING:
    from nnlet.guest.app import App

Handler = Callable[[Request, "App"], Response]

# Paths seen are remembered, up to this many: a function serves few, but anyone may ask
# for as many as they like.
_CACHE_SIZE = 256

_ESCAPES = re.compile("(?:%[0-9A-Fa-f]{2})+")


class Route:
    """One method and path, and the handler that answers it.

    A `{name}` in the path matches one segment and is found in `request.params`. A route
    for GET answers HEAD too. `body` is the JSON Schema of the request's body: it is shown in
    /openapi.json, while the handler is what enforces it.
    """

    __slots__ = ("method", "path", "handler", "body", "segments")

    def __init__(
        self, method: str, path: str, handler: Handler, body: dict[str, Any] | None = None
    ) -> None:
        self.method = method
        self.path = path
        self.handler = handler
        self.body = body
        self.segments = path.split("/")

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The path's named parts, None if it is another path."""
        if len(segments) != len(self.segments):
            return None
        params = {}
        for found, expected in zip(segments, self.segments, strict=True):
            if expected.startswith("{") and found:
                params[expected[1:-1]] = unquote(found)
            elif found != expected:
                return None
        return params


class Router:
    """Finds the route of a request."""

    __slots__ = ("routes", "_seen")

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._seen: dict[tuple[str, str], tuple[Route, dict[str, str]]] = {}

    def find(self, request: Request) -> Route:
        """The route that answers `request`, whose `params` it sets. Raises 404 and 405."""
        key = (request.method, request.path)
        found = self._seen.get(key)
        if found is None:
            found = self._search(request.method, request.path)
            if len(self._seen) >= _CACHE_SIZE:
                self._seen.clear()
            self._seen[key] = found
        route, params = found
        request.params = params.copy()
        return route

    def _search(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        segments = path.split("/")
        matches = [(r, p) for r in self.routes if (p := r.match(segments)) is not None]
        if not matches:
            raise HTTPError(404, f"no such path: {path}: GET /openapi.json lists what there is")
        wanted = "GET" if method == "HEAD" else method
        for route, params in matches:
            if route.method == wanted:
                return route, params
        allow = ", ".join(allowed({route.method for route, _ in matches}))
        raise HTTPError(
            405, f"method {method} is not allowed for {path}: use {allow}", (("allow", allow),)
        )


def allowed(methods: set[str]) -> list[str]:
    """The value of an Allow header for these methods."""
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def unquote(segment: str) -> str:
    """Undo percent-encoding. What is not a valid escape stays as it is."""
    return _ESCAPES.sub(_decode, segment)


def _decode(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8", "replace")
