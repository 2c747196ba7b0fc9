"""Request and Response: the two shapes that an adapter and a handler exchange."""

from __future__ import annotations

import json
from typing import Any

from nnlet.errors import HTTPError
from nnlet.guest.jsontext import parse

JSON = "application/json"
BINARY = "application/octet-stream"


class Request:
    """One request. Header names are in lower case; `path` is as it was sent.

    `params` holds the parts of the path that a route names, percent-decoded; `model` is
    for the log line and is set by whoever finds out which model is asked for.
    """

    __slots__ = ("method", "path", "query", "headers", "body", "params", "model")

    def __init__(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        query: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers if headers is not None else {}
        self.body = body
        self.params: dict[str, str] = {}
        self.model = ""

    def json(self) -> Any:
        """The body as JSON. HTTPError 400 says what is wrong with it, and where."""
        return parse(self.body)


class Response:
    """One response. `headers` come beside Content-Type and Content-Length."""

    __slots__ = ("status", "headers", "body", "content_type")

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        content_type: str = JSON,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers

    @classmethod
    def json(
        cls, value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        """`value` as JSON. Raises ValueError for NaN and infinities, which JSON has not."""
        return cls(dumps(value), status, JSON, headers)


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # JSON may name half a surrogate pair ("\\ud800"), which UTF-8 cannot hold: a name we
    # quote from a request goes back the way it came, as JSON's own escape.
    return text.encode("utf-8", "backslashreplace")


def error_response(error: HTTPError) -> Response:
    """`{"error": message}`, the form of every refusal in the Open Inference Protocol."""
    return Response.json({"error": error.message}, error.status, error.headers)


def check_length(headers: dict[str, str], limit: int) -> int | None:
    """The body's announced length, None if it is not announced; 413 above `limit`."""
    announced = headers.get("content-length")
    if announced is None:
        return None
    length = whole_number(announced)
    if length is None:
        raise HTTPError(400, f"Content-Length is {announced!r}: expected a number of bytes")
    if length > limit:
        raise too_large(length, limit)
    return length


def whole_number(text: str) -> int | None:
    """The value of a header, None if it is no length: Python refuses thousands of digits."""
    if text.isascii() and text.isdigit() and len(text) <= 20:
        return int(text)
    return None


def too_large(length: int, limit: int) -> HTTPError:
    """The answer to a body of at least `length` bytes."""
    return HTTPError(413, f"the body has {length} bytes or more: the limit here is {limit}")
