"""app.py served natively: what http.server reads reaches it, and a save loads it anew."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import add_model

from nnlet import dev
from nnlet.client import Client, tensors
from nnlet.dev import DevServer, serve_and_reload
from nnlet.host import Address, free_port
from nnlet.ort import OnnxRuntime
from nnlet.project import Project

INFER = "/v2/models/double/infer"
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
)


@pytest.fixture
def connection(dev_server: DevServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", dev_server.server_port, timeout=60)
    with closing(connection):
        yield connection


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, **options: object
) -> tuple[int, bytes]:
    connection.request(method, path, **options)  # type: ignore[arg-type]
    response = connection.getresponse()
    return response.status, response.read()


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    for _ in range(3):
        status, body = ask(connection, "POST", INFER, body=BODY)
        assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2, 4, 6, 8])
    assert ask(connection, "HEAD", "/v2") == (200, b"")
    status, body = ask(connection, "DELETE", "/v2")
    assert (status, b"DELETE is not allowed" in body) == (405, True)


def test_a_chunked_body_is_read(connection: http.client.HTTPConnection) -> None:
    half = len(BODY) // 2
    parts = [BODY[:half].encode(), BODY[half:].encode()]
    status, body = ask(connection, "POST", INFER, body=iter(parts), encode_chunked=True)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2, 4, 6, 8])
    assert ask(connection, "GET", "/v2/health/live")[0] == 200


def test_a_body_above_the_limit_is_refused_before_it_is_read(
    dev_server: DevServer, connection: http.client.HTTPConnection
) -> None:
    dev_server.app.max_body = 50
    assert ask(connection, "POST", INFER, body=BODY)[0] == 413
    parts = iter([BODY.encode()])
    assert ask(connection, "POST", INFER, body=parts, encode_chunked=True)[0] == 413


def test_a_chunk_of_no_size_is_refused(dev_server: DevServer) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n"
    with socket.create_connection(("127.0.0.1", dev_server.server_port), 60) as raw:
        raw.sendall(head.encode())
        answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"a chunk's size is b'many'" in answer


def test_sessions_survive_a_reload_until_their_model_changes(dev_server: DevServer) -> None:
    backend = dev_server.backend
    assert isinstance(backend, OnnxRuntime)
    first = backend._session("double@1")
    dev_server.reload()
    assert backend._session("double@1") is first
    add_model(dev_server.project.models, "double", size=2)
    dev_server.reload()
    assert backend._session("double@1") is not first


def test_an_app_that_does_not_load_answers_with_the_reason(
    dev_server: DevServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dev_server.project.app
    good = path.read_text()
    path.write_text(f"{good}\ndef half():\n    return 1 / 0\nhalf()\n")
    dev_server.reload()
    with Client(dev_server.url) as client:
        status, body = client.status("/v2")
    assert status == 500
    assert json.loads(body)["error"] == "app.py does not load: ZeroDivisionError: division by zero"
    shown = capsys.readouterr().err
    assert "return 1 / 0" in shown
    assert "importlib" not in shown
    path.write_text(good)
    dev_server.reload()
    with Client(dev_server.url) as client:
        assert client.status("/v2")[0] == 200


def test_a_broken_model_is_the_reason_too(dev_server: DevServer) -> None:
    (dev_server.project.models / "double" / "1" / "model.onnx").write_bytes(b"\xff" * 50)
    dev_server.reload()
    with Client(dev_server.url) as client:
        status, body = client.status("/v2/health/ready")
    assert (status, b"not a readable ONNX file" in body) == (500, True)


def test_modules_beside_app_py_are_loaded_anew(dev_server: DevServer) -> None:
    root = dev_server.project.root
    (root / "naming.py").write_text("NAME = 'first'")
    (root / "app.py").write_text(
        "from naming import NAME\n"
        "from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App\n"
        "app = App(routes=OPEN_INFERENCE_PROTOCOL, name=NAME)\n"
    )
    for name in ("first", "other"):
        (root / "naming.py").write_text(f"NAME = '{name}'")
        dev_server.reload()
        with Client(dev_server.url) as client:
            assert json.loads(client.status("/v2")[1])["name"] == name


def test_a_save_is_seen_and_a_new_model_served(project: Project, clean_modules: None) -> None:
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    reloads: list[list[str]] = []
    done = threading.Event()

    # Stands in for Ctrl-C, which only a main thread gets.
    def note(seconds: float, names: list[str]) -> None:
        reloads.append(names)
        if done.is_set():
            raise KeyboardInterrupt

    def watch() -> None:
        with pytest.raises(KeyboardInterrupt):
            serve_and_reload(server, note)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with Client(server.url) as client:
        _until(lambda: client.status("/v2/health/ready")[0] == 200)
        add_model(project.models, "triple")
        _until(lambda: b"triple" in _touch_and_ask(project, client))
        assert client.infer(
            client.model("triple"), tensors(client.model("triple"), {"x": [[1] * 4]})
        )
    done.set()
    _until(lambda: not (project.app.touch() or watcher.is_alive()))
    watcher.join()
    assert ["app.py"] in reloads


def _touch_and_ask(project: Project, client: Client) -> bytes:
    """The watch may not have begun when the first save is made: save until it is seen."""
    project.app.touch()
    return client.status("/v2/models")[1]


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_folders_that_hold_no_code_are_not_watched(project: Project) -> None:
    for name in ("build", ".venv", "tests", "mine"):
        folder = project.root / name
        folder.mkdir()
        (folder / "__init__.py").touch()
    names = {path.name for path in dev.watched_folders(project)}
    assert names >= {"project", "guest", "models", "double", "1", "mine"}
    assert not names & {"build", ".venv", "tests"}


def test_the_command_ends_cleanly_on_sigterm(project: Project) -> None:
    command = [sys.executable, "-m", "nnlet", "dev", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(dev.__file__).parent.parent)},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        with Client(url) as client:
            assert client.models() == ("double",)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
