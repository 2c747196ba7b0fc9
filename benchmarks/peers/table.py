"""Every peer by name. `python -m benchmarks.function --peers NAME` measures some of them."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers import Peer
from benchmarks.peers.fastapi_uvicorn import FastAPI
from benchmarks.peers.nnlet_function import Function

PEERS: dict[str, Callable[[], Peer]] = {
    "nnlet, compiled": lambda: Function("compiled"),
    "nnlet, host": lambda: Function("host"),
    "fastapi": lambda: FastAPI(workers=1),
    "fastapi, 2 workers": lambda: FastAPI(workers=2),
}
