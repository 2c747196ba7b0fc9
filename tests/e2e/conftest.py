"""Every test here that takes `server`, `url` or `wire` runs on each provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.servers import serving
from e2e.wire import Wire
from nnlet.host import Server
from nnlet.serving import PROVIDERS

# How lines of a server's log begin: one for each request, and wasmtime's on broken connections.
EXPECTED = ("method=", "error: hyper::Error(")


@pytest.fixture(scope="session", params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    """Each of them in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(provider: str) -> Iterator[Server]:
    """One server for all tests: whatever one of them does to it, the next ones must not feel."""
    with serving(provider) as server:
        yield server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """Where the server is. Afterwards it still runs, and its log holds no trap and no trace."""
    before = len(server.process.output())
    yield server.url
    logged = server.process.output()
    assert server.process.exit_code is None, logged[-5000:]
    lines = logged[before:].splitlines()
    assert not [line for line in lines if not line.startswith(EXPECTED) or "trace=" in line]


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    """A connection to the server."""
    with Wire(url) as wire:
        yield wire
