"""The hosts of an export, each as a context in which expressions or requests are answered."""

from __future__ import annotations

import functools
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nnlet.errors import ToolMissing
from nnlet.export import npm
from nnlet.host import free_port

HERE = Path(__file__).parent
PATIENCE = 30  # seconds that workerd may take to start


class JavaScriptError(AssertionError):
    """What an expression threw; `code` is a ModelError's, or the name of another error."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Node:
    """A Node that has imported an export."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, expression: str) -> Any:
        """The value of an expression, which may await. Raises JavaScriptError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps(expression) + "\n")
        stdin.flush()
        line = stdout.readline()
        assert line, "node ended by itself"
        answer = json.loads(line)
        if "error" in answer:
            raise JavaScriptError(answer["error"], answer["code"])
        return answer.get("value")


def find_node() -> str:
    """Node's path. The test is skipped where there is none, or an old one."""
    try:
        return npm.find_node()
    except ToolMissing as exc:
        pytest.skip(str(exc))


def install(folder: Path) -> Path:
    """What a package.json names, installed. The test is skipped where that fails."""
    find_node()
    try:
        return npm.installed(folder)
    except ToolMissing as exc:
        pytest.skip(str(exc))


@contextmanager
def node(package: Path) -> Iterator[Node]:
    """A Node for the export in `package`."""
    words = [find_node(), str(HERE / "driver.mjs"), str(package)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Node(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """The URL at which a file server gives what lies in `folder`."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def workerd(config: Path) -> Iterator[str]:
    """The URL at which workerd serves what `config` says."""
    (binary,) = install(HERE / "hosts").glob("node_modules/@cloudflare/workerd-*/bin/workerd")
    port = free_port("127.0.0.1")
    words = [str(binary), "serve", str(config), "--socket-addr", f"http=127.0.0.1:{port}"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            assert process.stderr
            process.stderr.close()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url).close()
            return
        except urllib.error.HTTPError as exc:
            exc.close()
            return
        except OSError:
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.02)
    raise AssertionError(f"workerd does not answer at {url}")
