"""Load: one request sent over and over on a number of connections; how fast, how late.

wrk is the client where it is on the PATH (Debian and Homebrew: package wrk): it takes
little CPU from the server, which matters on two cores. Without it a plain Python client
measures; it adds about 0.05 ms to each request, so compare only results of one client.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nnlet.errors import HostError

SCRIPT = Path(__file__).with_name("load.lua")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SETTLE = 20  # requests
TOGETHER = 0.5  # seconds that a host gets to take in requests that are not complete
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One POST."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self, port: int) -> bytes:
        """As HTTP/1.1 bytes."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


@dataclass(frozen=True)
class Load:
    """What a client saw. A failed request is one without a status of 2xx or 3xx."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def client() -> str:
    """The client in use, with its version."""
    return _wrk_version() or "python"


def load(port: int, request: Request, *, connections: int, seconds: int) -> Load:
    """Send `request` for `seconds` on each of `connections`, the next when one is answered.

    Raises HostError if none is answered in that time.
    """
    found = _load(port, request, connections, seconds)
    if not found.per_second:
        raise HostError(
            f"no answer to {request.path} in {seconds} s: the server is stuck, or slower than "
            "that; measure for longer with --seconds"
        )
    return found


def warm_up(port: int, request: Request, connections: int, seconds: int = 1) -> None:
    """Load that is not counted, then requests one by one, until what it started has started."""
    _load(port, request, connections, seconds)
    for _ in range(SETTLE):
        ask(port, request)


def _load(port: int, request: Request, connections: int, seconds: int) -> Load:
    measure = _wrk if _wrk_version() else _python
    return measure(port, request, connections, seconds)


@functools.cache
def _wrk_version() -> str:
    if not shutil.which("wrk"):
        return ""
    banner = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
    return " ".join(banner.split()[:2])


def _wrk(port: int, request: Request, connections: int, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.body)
        body.flush()
        options = [
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(SCRIPT),
        ]
        headers = [part for header in request.headers for part in header]
        url = f"http://127.0.0.1:{port}{request.path}"
        shown = subprocess.run(
            ["wrk", *options, url, "--", body.name, *headers],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = json.loads(shown.rpartition("RESULT ")[2])
    return Load(
        per_second=found["requests"] / found["seconds"],
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        failed=found["failed"],
    )


def _python(port: int, request: Request, connections: int, seconds: int) -> Load:
    wire = request.wire(port)
    times: list[float] = []
    failed = 0
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            exchange = _Exchange(stack.enter_context(_connect(port)))
            selector.register(exchange.connection, selectors.EVENT_READ, exchange)
            exchange.begin(wire)
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            for key, _ in selector.select(timeout=1):
                exchange = key.data
                if exchange.receive():
                    times.append(time.perf_counter() - exchange.began)
                    failed += not exchange.ok
                    exchange.begin(wire)
    times.sort()
    if not times:
        return Load(0.0, 0.0, 0.0, failed)
    return Load(
        per_second=len(times) / elapsed,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[len(times) * 99 // 100] * 1000,
        failed=failed,
    )


def _connect(port: int, timeout: float = 10) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class _Exchange:
    """One request on one connection, and as much of its answer as has come."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.began = 0.0
        self.answer = b""

    def begin(self, wire: bytes) -> None:
        self.answer = b""
        self.began = time.perf_counter()
        self.connection.sendall(wire)

    def receive(self) -> bool:
        """Read what is there; whether the answer is complete."""
        part = self.connection.recv(1 << 16)
        if not part:
            raise ConnectionError("the server closed the connection before its answer ended")
        self.answer += part
        return self._body_at is not None

    @property
    def _body_at(self) -> tuple[int, int] | None:
        """Where the body lies, once all of it is there."""
        head = self.answer.find(b"\r\n\r\n")
        if head < 0:
            return None
        if length := CONTENT_LENGTH.search(self.answer, 0, head + 2):
            end = head + 4 + int(length[1])
            return (head + 4, end) if len(self.answer) >= end else None
        if CHUNKED.search(self.answer, 0, head + 2) and self.answer.endswith(b"0\r\n\r\n"):
            return head + 4, len(self.answer)
        return None

    @property
    def ok(self) -> bool:
        return self.answer[9:10] in (b"2", b"3")

    @property
    def body(self) -> bytes:
        """The whole body, its chunks put together."""
        assert self._body_at is not None
        start, end = self._body_at
        body = self.answer[start:end]
        if not CHUNKED.search(self.answer, 0, start):
            return body
        parts: list[bytes] = []
        while True:
            size, _, rest = body.partition(b"\r\n")
            if not (length := int(size.split(b";")[0], 16)):
                return b"".join(parts)
            parts.append(rest[:length])
            body = rest[length + 2 :]


def ask(port: int, request: Request, timeout: float = 30) -> bytes:
    """The body of one answer. Raises OSError if there is none, ValueError if it is refused."""
    with _connect(port, timeout) as connection:
        exchange = _Exchange(connection)
        exchange.begin(request.wire(port))
        while not exchange.receive():
            pass
    if not exchange.ok:
        raise ValueError(f"{request.path}: {exchange.answer[:400].decode(errors='replace')}")
    return exchange.body


def ask_together(port: int, request: Request, count: int, timeout: float = 30) -> None:
    """`count` requests of which none is complete before all have begun: so a host that gives
    each an instance of its own has that many. Their answers are not looked at."""
    wire = request.wire(port)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connect(port, timeout)) for _ in range(count)]
        for connection in connections:
            connection.sendall(wire[:-1])
        time.sleep(TOGETHER)
        for connection in connections:
            connection.sendall(wire[-1:])
        for connection in connections:
            connection.recv(1 << 16)
    time.sleep(TOGETHER / 5)  # an instance may have something to do after its answer
