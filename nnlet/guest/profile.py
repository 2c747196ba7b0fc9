"""Another entry of the component, for profiling: http.py with a clock around its stages.

`nnlet bench` builds it (nnlet/clocked.py) and serves it in place of the function. After some
requests, GET /profile answers with the stages in microseconds, 10th percentile and median, and
forgets them. A clock costs 0.3.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from wit_world.imports import inference as wasi_inference
from wit_world.imports import types as wasi

from nnlet.guest import endpoints, http, inference, jsontext, protocol, routes
from nnlet.guest.app import App
from nnlet.guest.messages import Request, Response

PATH = "/profile"

# Where each stage is looked up when it is called, and under which name.
STAGES: list[tuple[Any, str]] = [
    (http, "_read_head"),
    (http, "_read_body"),
    (App, "respond"),
    (routes.Router, "find"),
    (endpoints, "read_request"),
    (protocol, "parse"),
    (protocol, "_pack_json"),
    (inference.WasiNN, "infer"),
    (inference, "_to_wasi"),
    (wasi_inference.GraphExecutionContext, "compute"),
    (inference, "_from_wasi"),
    (endpoints, "write_response"),
    (App, "_log"),
    (http, "_send"),
    (http, "_outgoing"),
    (wasi.ResponseOutparam, "set"),
]
if http.native is not None:
    STAGES += [
        *((http.native, "read"), (http.native, "send")),
        *((protocol, "_read_natively"), (jsontext.native, "read")),
        *((jsontext.native, "pack"), (jsontext.native, "print_floats")),
        (inference, "_compute_natively"),
    ]

seconds: dict[str, list[float]] = {}


def watch(owner: Any, name: str) -> None:
    """Put a clock around `owner.name`."""
    function = getattr(owner, name)
    taken = seconds.setdefault(f"{owner.__name__}.{name}", [])

    def timed(*arguments: Any) -> Any:
        started = perf_counter()
        try:
            return function(*arguments)
        finally:
            taken.append(perf_counter() - started)

    setattr(owner, name, timed)


def report() -> str:
    """A line for each stage that was reached; then all are forgotten."""
    lines = ["     n    p10    p50 us"]
    for name, taken in seconds.items():
        if taken:
            n = len(taken)
            taken.sort()
            low, middle = taken[n // 10] * 1e6, taken[n // 2] * 1e6
            lines.append(f"{n:6} {low:6.1f} {middle:6.1f}    {name}")
        taken.clear()
    return "\n".join(lines) + "\n"


class IncomingHandler(http.IncomingHandler):
    """What the component exports as wasi:http/incoming-handler."""

    def handle(self, incoming: wasi.IncomingRequest, out: wasi.ResponseOutparam) -> None:
        """Answer one request, or say how long the others took."""
        if incoming.path_with_query() != PATH:
            super().handle(incoming, out)
            return
        response = Response(report().encode(), content_type="text/plain")
        http._send(Request("GET", PATH), response, out)


for stage in [(http.IncomingHandler, "handle"), *STAGES]:
    watch(*stage)
