"""Finding wasmtime, starting it, and leaving nothing behind."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnlet import host
from nnlet.client import Client
from nnlet.errors import BuildError, HostError, ToolMissing
from nnlet.host import Address, Limits, Wasmtime, find_wasmtime, free_port, serve

FakeWasmtime = Callable[..., Path]


@dataclass(frozen=True)
class NoProvider:
    """Computes nothing; complains of `reason`."""

    reason: str | None = None
    mode: str = ""

    def flags(self) -> list[str]:
        return ["-Sfake"]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NNLET_FAKE": self.mode}

    def complaint(self) -> str | None:
        return self.reason


def test_the_one_on_path_is_used(
    fake_wasmtime: FakeWasmtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_wasmtime("47.1.2")
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    assert find_wasmtime() == Wasmtime(path, (47, 1, 2))


def test_an_old_one_on_path_is_passed_over_with_a_warning(
    fake_wasmtime: FakeWasmtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = fake_wasmtime("45.0.0")
    monkeypatch.setenv("PATH", str(path.parent))
    with caplog.at_level(logging.WARNING, "nnlet"):
        found = find_wasmtime()
    assert found.version >= host.MINIMUM
    assert f"{path} is wasmtime 45.0.0: nnlet needs 46.0.0 or newer" in caplog.text


def test_the_wheels_binary_is_used_and_not_its_python_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    found = find_wasmtime().path
    assert found.read_bytes()[:4] == b"\x7fELF"
    assert os.access(found, os.X_OK)


def test_an_old_one_that_was_asked_for_is_refused(fake_wasmtime: FakeWasmtime) -> None:
    path = fake_wasmtime("45.0.0")
    with pytest.raises(ToolMissing, match="wasmtime 45.0.0: nnlet needs 46.0.0 or newer"):
        find_wasmtime(path)


def test_what_is_no_wasmtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="does not run as wasmtime"):
        find_wasmtime(tmp_path / "nothing")
    with pytest.raises(ToolMissing, match="is no wasmtime: its --version says 'Python"):
        find_wasmtime(Path(sys.executable))


def test_a_missing_wheel_names_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(host.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="put one on PATH, name one with --wasmtime"):
        find_wasmtime()


def test_precompile_makes_machine_code_or_says_why_not(tmp_path: Path) -> None:
    tool = find_wasmtime()
    source, output = tmp_path / "a.wat", tmp_path / "a.cwasm"
    source.write_text("(component)")
    host.precompile(tool, source, output)
    assert output.read_bytes()[:4] == b"\x7fELF"
    source.write_text("(component")
    with pytest.raises(BuildError, match=r"could not compile .*a\.wat: .*expected"):
        host.precompile(tool, source, output)


def test_addresses() -> None:
    assert Address("0.0.0.0", 80).socket == "0.0.0.0:80"
    assert Address("0.0.0.0", 80).url == "http://127.0.0.1:80"
    assert Address("::1", 80).socket == "[::1]:80"
    assert Address("::", 80).url == "http://[::1]:80"


def test_limits_and_provider_reach_the_command() -> None:
    limits = Limits(memory=1 << 20, seconds=7, concurrency=3)
    new, old = (
        host.serve_command(
            Wasmtime(Path("wasmtime"), version), Path("a.cwasm"), Address(), NoProvider(), limits
        )
        for version in ((49, 0, 0), (46, 0, 0))
    )
    for flag in ("--addr=127.0.0.1:3000", "-Wmax-memory-size=1048576", "-Wtimeout=7s", "-Sfake"):
        assert flag in new
    for flag in ("--max-concurrent-requests=3", "-Opooling-total-stacks=6"):
        assert flag in new
        assert flag not in old


def test_a_server_answers_and_is_gone_afterwards(
    fake_wasmtime: FakeWasmtime, tmp_path: Path
) -> None:
    address = Address(port=free_port())
    with serve(find_wasmtime(fake_wasmtime()), tmp_path, address, NoProvider(), tmp_path) as server:
        with Client(server.url) as client:
            assert client.status("/v2/health/ready") == (200, b'{"ready": true, "models": []}')
        assert "Serving HTTP" in server.process.output()
    assert not _is_running(server.process.pid)
    assert not _listens(address)


def test_a_server_that_dies_is_reported_with_its_last_words(
    fake_wasmtime: FakeWasmtime, tmp_path: Path
) -> None:
    tool, address = find_wasmtime(fake_wasmtime()), Address(port=free_port())
    with (
        pytest.raises(HostError, match="ended at once: error: out of luck"),
        serve(tool, tmp_path, address, NoProvider(mode="die"), tmp_path),
    ):
        pass


def test_the_providers_complaint_comes_before_the_log(
    fake_wasmtime: FakeWasmtime, tmp_path: Path
) -> None:
    tool, address = find_wasmtime(fake_wasmtime()), Address(port=free_port())
    for provider, message in (
        (NoProvider("model iris@1: no luck", "refuse"), "^model iris@1: no luck$"),
        (NoProvider(None, "refuse"), r"not ready \(500\): .*GET /v2/health/ready"),
    ):
        with (
            pytest.raises(HostError, match=message),
            serve(tool, tmp_path, address, provider, tmp_path),
        ):
            pass


def test_a_port_in_use_is_one_clear_line(fake_wasmtime: FakeWasmtime, tmp_path: Path) -> None:
    tool = find_wasmtime(fake_wasmtime())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(port=taken.getsockname()[1])
        with (
            pytest.raises(HostError, match=f"cannot listen on {address.socket}: Address already"),
            serve(tool, tmp_path, address, NoProvider(), tmp_path),
        ):
            pass


def test_an_unknown_host_is_one_clear_line() -> None:
    with pytest.raises(HostError, match=r"no such host: no\.such\.host\.invalid"):
        host.check_free(Address("no.such.host.invalid", 80))


SERVE_FOREVER = """\
import sys, time
from pathlib import Path
from test_host import NoProvider
from nnlet.host import Address, find_wasmtime, serve
tool, folder = find_wasmtime(Path(sys.argv[1])), Path(sys.argv[2])
with serve(tool, folder, Address(port=int(sys.argv[3])), NoProvider(), folder) as server:
    print(server.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_server_ends_when_its_starter_is_killed(
    fake_wasmtime: FakeWasmtime, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SERVE_FOREVER, fake_wasmtime(), tmp_path, str(free_port())]
    paths = os.pathsep.join(map(str, (Path(__file__).parent, Path(host.__file__).parent.parent)))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert _is_running(pid)
        starter.send_signal(signal.SIGKILL)
    _wait_until(lambda: not _is_running(pid))


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def _listens(address: Address) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address.host, address.port)) == 0
