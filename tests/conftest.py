"""What the host side's tests share: a project made on the spot, a wasmtime that is none."""

from __future__ import annotations

import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.dev import DevServer
from nnlet.host import Address, free_port
from nnlet.ort import OnnxRuntime
from nnlet.project import Project

ROOT = Path(__file__).parent.parent

# Answers like a function that is ready. With NNLET_FAKE=refuse its models cannot be loaded;
# with NNLET_FAKE=die it ends at once. Its clocks say at /profile what ours say.
FAKE_WASMTIME = """\
import os, pathlib, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
if "--version" in sys.argv:
    print("wasmtime {version} (0123456789 2026-01-01)")
    sys.exit()
if sys.argv[1] == "compile":
    pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text("machine code")
    sys.exit()
mode = os.environ.get("NNLET_FAKE")
if mode == "die":
    sys.exit("error: out of luck")
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b'{{"ready": true, "models": []}}'
        if self.path == "/profile":
            body = b"n p10 p50 us\\n9 1.0 2.5 WasiNN.infer\\n9 5.0 7.0 IncomingHandler.handle\\n"
        self.send_response(500 if mode == "refuse" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/die":
            self.wfile.flush()
            os._exit(3)
    do_POST = do_GET
address = next(word for word in sys.argv if word.startswith("--addr=")).partition("=")[2]
host, _, port = address.rpartition(":")
print("Serving HTTP on http://" + address, flush=True)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def fake_wasmtime(tmp_path: Path) -> Callable[..., Path]:
    """Makes a program that looks like a wasmtime of some version, and serves in Python."""

    def make(version: str = "49.0.3", folder: str = "tools") -> Path:
        path = tmp_path / folder / "wasmtime"
        path.parent.mkdir(exist_ok=True)
        code = FAKE_WASMTIME.format(version=version)
        path.write_text(f"#!{sys.executable} -S\n{code}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def add_model(models: Path, name: str, version: str = "1", size: int = 4) -> Path:
    """A model that doubles `size` numbers a row, in a model repository."""
    row = ["N", size]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, row)],
    )
    path = models / name / version / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of its own: a small app.py, our wit/, and one model, `double`."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "wit", root / "wit")
    (root / "app.py").write_text(
        "from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App\n"
        "app = App(routes=OPEN_INFERENCE_PROTOCOL)\n"
    )
    add_model(root / "models", "double")
    (root / "models" / "double" / "model.toml").write_text(
        'description = "Twice as much."\n'
        'labels.y = ["ash", "beech", "cedar", "date"]\n'
        "example.x = [[1.0, 2.0, 3.0, 4.0]]\n"
    )
    return Project(root)


@pytest.fixture
def dev_server(project: Project, clean_modules: None) -> Iterator[DevServer]:
    """The project's app, served natively: the real protocol at no cost."""
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clean_modules() -> Iterator[None]:
    """Undo what loading an app.py does to this process."""
    path, modules, flag = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
    yield
    sys.path[:] = path
    sys.modules.clear()
    sys.modules.update(modules)
    sys.dont_write_bytecode = flag
