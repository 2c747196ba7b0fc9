"""Servers that stop, are pressed, or cannot start: nothing is left behind, nothing grows."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from e2e.models import IRIS, as_binary, as_json, as_raw, assert_close, read
from e2e.servers import PROJECT, ROOT, WASMTIMES, serving
from e2e.wire import Wire, connect
from nnlet.build import silent
from nnlet.errors import HostError
from nnlet.host import Address, Limits, find_wasmtime, free_port, serve
from nnlet.memory import memory, tree
from nnlet.openvino import HostProvider
from nnlet.serving import PROVIDERS

# A request whose body is still to come.
UNFINISHED = b"POST /digits HTTP/1.1\r\nHost: nnlet\r\nContent-Length: 9\r\n\r\n{"

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def assert_it_answers(url: str) -> None:
    with Wire(url) as wire:
        rows = IRIS.rows(2)
        assert_close(read(wire.post(IRIS.infer, as_json(IRIS, rows))), IRIS.expected(rows))


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


# Stopping


@needs_proc
def test_a_stopped_server_leaves_nothing_behind(provider: str) -> None:
    with serving(provider) as server:
        assert_it_answers(server.url)
        processes = tree(server.process.pid)
        assert all(map(is_running, processes))
        # One client has asked for something and waits, another only holds its connection.
        with connect(server.url) as asking, connect(server.url):
            asking.sendall(UNFINISHED)
            server.process.stop()
            assert not any(map(is_running, processes))
            assert not listens(server.url)


@contextmanager
def up(provider: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`nnlet up`, as a user would start it."""
    command = [sys.executable, "-m", "nnlet", "up", *WASMTIMES[provider], *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_up_takes_its_server_with_it(provider: str, number: signal.Signals) -> None:
    with up(provider, "--port", "0", "--json") as process:
        assert process.stdout is not None
        shown = json.loads(process.stdout.readline())
        assert shown["models"] == ["diabetes", "digits", "iris"]
        assert_it_answers(shown["url"])
        processes = tree(process.pid)
        process.send_signal(number)
        assert process.wait(60) == (0 if number is not signal.SIGKILL else -number)
        wait_until(lambda: not any(map(is_running, processes)) and not listens(shown["url"]))


def wait_until(happened: Callable[[], bool]) -> None:
    """After SIGKILL it is the kernel that ends a server, as soon as it comes to it."""
    pause = threading.Event()
    for _ in range(1000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("waited for nothing")


# Starting


def test_a_port_in_use_is_one_line(provider: str, url: str) -> None:
    port = str(urlsplit(url).port)
    with up(provider, "--port", port) as process:
        out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert error.startswith(f"Error: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert error.count("\n") == 1
    assert_it_answers(url)


def test_a_model_that_cannot_be_loaded_names_itself(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    served, provider = PROVIDERS["host"](PROJECT, find_wasmtime(), silent)
    assert isinstance(provider, HostProvider)
    graphs = tmp_path / "graphs"
    shutil.copytree(provider.graphs, graphs)
    (graphs / "digits@1" / "model.xml").write_bytes(b"\x08\x08 no model \xff")
    broken = HostProvider(provider.libraries, graphs)
    with (
        pytest.raises(HostError, match=r"^model digits@1: OpenVINO cannot load it: .+$"),
        serve(find_wasmtime(), served.precompiled, Address(port=free_port()), broken, tmp_path),
    ):
        pass


# Pressure


@needs_proc
def test_two_thousand_requests_do_not_grow_memory(provider: str) -> None:
    rows = np.tile(IRIS.rows(10), (160, 1))
    requests = [
        (IRIS.infer, *as_raw(rows)),
        (IRIS.infer, *as_binary(IRIS, rows)),
        (IRIS.infer, json.dumps(as_json(IRIS, rows[:300])).encode(), {}),
        (IRIS.infer, b'{"inputs": [' + bytes(25_000), {}),
        ("/v2/models/unknown/infer", bytes(25_000), {}),
    ]

    def ask(wire: Wire, count: int) -> None:
        for index in range(count):
            wire.ask("POST", *requests[index % len(requests)])

    with serving(provider) as server, Wire(server.url) as wire:
        ask(wire, 200)
        before = memory(server.process.pid).rss
        ask(wire, 2000)
        grown = memory(server.process.pid).rss - before
    # 50 MB came in. A second instance may have started meanwhile, which takes up to 15.
    assert grown < 20, f"{grown:.1f} MiB"


def test_a_request_that_takes_too_long_is_ended_and_the_next_one_answered(provider: str) -> None:
    with serving(provider, Limits(seconds=1)) as server:
        with connect(server.url) as slow, slow.makefile("rb") as answer:
            slow.sendall(UNFINISHED)
            assert answer.readline() == b"HTTP/1.1 500 Internal Server Error\r\n"
        assert_it_answers(server.url)


def test_a_request_that_is_ended_takes_no_other_one_down(provider: str) -> None:
    """Not even one that has begun: they share no instance."""
    body = json.dumps(as_json(IRIS, IRIS.rows(1))).encode()
    head = f"POST {IRIS.infer} HTTP/1.1\r\nHost: nnlet\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        serving(provider, Limits(seconds=4)) as server,
        connect(server.url) as slow,
        connect(server.url) as second,
        slow.makefile("rb") as failure,
        second.makefile("rb") as answer,
    ):
        slow.sendall(UNFINISHED)
        threading.Event().wait(2)  # so that it is not ended together with the other one
        second.sendall(head.encode() + body[:1])
        with connect(server.url) as gone:
            gone.sendall(UNFINISHED)
        assert failure.readline() == b"HTTP/1.1 500 Internal Server Error\r\n"
        second.sendall(body[1:])
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        assert_it_answers(server.url)


def test_a_request_that_needs_too_much_memory_is_413(provider: str) -> None:
    small = Limits(memory=96 << 20)
    with serving(provider, small) as server, Wire(server.url) as wire:
        answer = wire.post(IRIS.infer, b"[" + b'{"a":0},' * 1_000_000 + b"0]")
        assert answer.status == 413
        assert "out of memory" in answer.json()["error"]
        rows = IRIS.rows(1)
        assert_close(read(wire.post(IRIS.infer, as_json(IRIS, rows))), IRIS.expected(rows))


def test_clients_beyond_the_limit_wait_for_their_turn(provider: str) -> None:
    with serving(provider, Limits(concurrency=1)) as server:
        with connect(server.url) as first:
            first.sendall(UNFINISHED)
            # The server takes up the first request when it gets to it: until then it answers.
            for _ in range(50):
                second = threading.Thread(target=assert_it_answers, args=[server.url])
                second.start()
                second.join(0.5)
                if second.is_alive():
                    break
            else:
                pytest.fail("no client was ever made to wait")
        second.join(60)
        assert not second.is_alive()
