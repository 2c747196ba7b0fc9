"""Every test here that takes `server`, `url` or `wire` runs on each host, and on Spin.

One that takes `provider` starts servers of its own, which are wasmtime's. On WASI 0.3 only
the adapter differs: what tests it runs always, the rest with `./build.sh test -m p3`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from e2e.servers import HOSTS, WASMTIMES, serving
from e2e.wire import Wire
from nnlet.host import Server

# The files that test what is different on WASI 0.3.
ADAPTER = ("test_protocol", "test_reliability")

# How lines of a server's log begin: one for each request, and wasmtime's on broken connections.
EXPECTED = ("method=", "error: hyper::Error(")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each of them in turn, but where a test says itself which."""
    told = any("provider" in mark.args for mark in metafunc.definition.iter_markers("parametrize"))
    if "provider" in metafunc.fixturenames and not told:
        own = "provider" in inspect.signature(metafunc.function).parameters
        always = metafunc.module.__name__.rpartition(".")[2] in ADAPTER
        marks = {} if always else {"p3": pytest.mark.p3}
        hosts = [
            pytest.param(host, marks=marks.get(host, ())) for host in (WASMTIMES if own else HOSTS)
        ]
        metafunc.parametrize("provider", hosts, indirect=True, scope="session")


@pytest.fixture(scope="session")
def provider(request: pytest.FixtureRequest) -> str:
    """One of them."""
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
