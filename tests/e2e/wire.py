"""HTTP as it is: one connection that is kept, and answers with nothing hidden."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

HEADER_LENGTH = "Inference-Header-Content-Length"

Body = bytes | Iterable[bytes] | None


@dataclass(frozen=True)
class Answer:
    """Status, headers (in any case) and body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or its first part if binary data follows."""
        size = self.headers.get(HEADER_LENGTH)
        return json.loads(self.body[: int(size)] if size else self.body)

    def binary(self) -> bytes:
        """What follows the JSON."""
        return self.body[int(self.headers[HEADER_LENGTH]) :]


class Wire:
    """One connection. It never opens a second one, so a test sees when the server closes it."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._connection.connect()
        self._connection.auto_open = 0

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, in chunks if `body` is no bytes, and read the whole answer."""
        self._connection.request(method, path, body, dict(headers or {}))
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str, **headers: str) -> Answer:
        """`headers` are named like variables: accept_encoding="gzip"."""
        return self.ask("GET", path, headers=_named(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """A `body` that is a dict or list becomes JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        return self.ask("POST", path, body, _named(headers))

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def connect(url: str) -> socket.socket:
    """A bare connection, for what no HTTP client would do."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)
