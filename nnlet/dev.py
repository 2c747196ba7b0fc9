"""`nnlet dev`: app.py as it is, natively, behind a small HTTP server that reloads it on save.

What the component gets from wasi:http and wasi:nn comes from the standard library and
onnxruntime here. Modules are loaded anew in this process; onnxruntime and its sessions stay,
which is what makes a reload quick.
"""

from __future__ import annotations

import importlib
import logging
import socket
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import watchfiles

from nnlet.build import PACKAGE
from nnlet.errors import HTTPError, NnletError
from nnlet.guest.backend import Backend
from nnlet.guest.messages import Request, Response, check_length, error_response, too_large
from nnlet.host import Address, check_free
from nnlet.local import read_catalogue
from nnlet.project import Project

log = logging.getLogger("nnlet")

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_HOST_SIDE = {"build", "models", "nnlet", "tests"}


class Broken:
    """Stands in for an app that does not load: every answer says why."""

    max_body = 1 << 20

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def respond(self, request: Request) -> Response:
        """500, whatever is asked."""
        return error_response(HTTPError(500, self.reason))

    def refuse(self, request: Request, failure: Exception) -> Response:
        """500, too."""
        return self.respond(request)


class DevServer(ThreadingHTTPServer):
    """Serves the app that it holds. One request at a time, as in an instance of the function."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, project: Project, backend: Backend, address: Address) -> None:
        check_free(address)
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), Handler)
        self.url = address.url
        self.project = project
        self.backend = backend
        self.turn = threading.Lock()
        self.app: Any = Broken("not loaded yet")

    def server_bind(self) -> None:
        """Bind, without http.server's look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def reload(self) -> float:
        """Load app.py anew; the seconds that it took. A traceback goes to stderr."""
        started = time.perf_counter()
        with self.turn:
            self.app = load_app(self.project, self.backend)
        return time.perf_counter() - started


class Handler(BaseHTTPRequestHandler):
    """Turns what http.server reads into the guest's Request, and its Response back."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: DevServer

    def answer(self) -> None:
        """Answer one request."""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, headers, b"", query)
        app = self.server.app
        try:
            request.body = self._body(headers, app.max_body)
        except HTTPError as exc:
            self.close_connection = True  # the rest of the body was not read
            self._send(app.refuse(request, exc))
            return
        with self.server.turn:
            response = app.respond(request)
        self._send(response)

    def _body(self, headers: dict[str, str], limit: int) -> bytes:
        length = check_length(headers, limit)
        if length is not None:
            return self.rfile.read(length)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks(limit))
        return b""

    def _chunks(self, limit: int) -> Iterator[bytes]:
        total = 0
        while size := self._chunk_size():
            total += size
            if total > limit:
                raise too_large(total, limit)
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def _chunk_size(self) -> int:
        line = self.rfile.readline().partition(b";")[0].strip()
        try:
            return int(line, 16)
        except ValueError:
            raise HTTPError(400, f"a chunk's size is {line[:20]!r}: expected hex digits") from None

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)


for _method in _METHODS:
    setattr(Handler, f"do_{_method}", Handler.answer)


def load_app(project: Project, backend: Backend) -> Any:
    """The app of app.py, bound to the models, or a Broken one that says what is wrong."""
    sys.dont_write_bytecode = True  # a cache is looked up by whole seconds: too coarse here
    folder = str(project.root)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _forget_modules(project)
    try:
        models = read_catalogue(project)
        app = importlib.import_module("app").app
        app.bind(models, backend)
    except NnletError as exc:
        log.error("%s", exc)
        return Broken(str(exc))
    except (Exception, SystemExit) as exc:  # whatever a user's module may do
        _print_trace(exc)
        return Broken(f"app.py does not load: {type(exc).__name__}: {exc}")
    return app


def _print_trace(failure: BaseException) -> None:
    """A traceback that begins where the user's code does."""
    frame = failure.__traceback__
    while frame and _is_loading(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    traceback.print_exception(type(failure), failure, frame)


def _is_loading(filename: str) -> bool:
    """Whether code in this file is ours or the importer's."""
    return filename == __file__ or "importlib" in filename


def _forget_modules(project: Project) -> None:
    """Drop the function's modules: the guest, and all of the project that is not nnlet."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and _is_function_code(project, Path(path)):
            del sys.modules[name]
    importlib.invalidate_caches()


def _is_function_code(project: Project, path: Path) -> bool:
    if path.is_relative_to(PACKAGE):
        return path.is_relative_to(PACKAGE / "guest")
    return path.is_relative_to(project.root) and not _is_hidden(path.relative_to(project.root))


def _is_hidden(path: Path) -> bool:
    """In a folder such as .venv."""
    return any(part.startswith(".") for part in path.parts)


def watched_folders(project: Project) -> list[Path]:
    """Where a save matters: the top of the project, its packages, its models, the guest."""
    folders = [project.root, PACKAGE / "guest", *_with_subfolders(project.models)]
    for folder in project.root.iterdir():
        if _may_hold_code(folder) and (folder / "__init__.py").exists():
            folders += _with_subfolders(folder)
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _may_hold_code(folder: Path) -> bool:
    return folder.name not in _HOST_SIDE and not folder.name.startswith(".")


def _with_subfolders(folder: Path) -> list[Path]:
    return [folder, *(path for path in folder.rglob("*") if path.is_dir())]


def _matters(change: watchfiles.Change, path: str) -> bool:
    name = Path(path)
    if name.name.startswith("."):
        return False  # what editors write beside the file
    return name.suffix in (".py", ".onnx", ".toml", ".data") or name.is_dir()


def serve_and_reload(server: DevServer, on_reload: Callable[[float, list[str]], None]) -> None:
    """Serve until Ctrl-C; load again after each save and, if that went well, call `on_reload`."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for changes in _saves(server.project):
            seconds = server.reload()
            if not isinstance(server.app, Broken):
                on_reload(seconds, changes)
    finally:
        server.shutdown()
        server.server_close()


def _saves(project: Project) -> Iterator[list[str]]:
    """The names of the files of each save, until Ctrl-C."""
    while True:
        folders = watched_folders(project)
        for changes in _watch(folders):
            yield sorted({Path(path).name for _, path in changes})
            if watched_folders(project) != folders:
                break  # a save may have added a folder, which needs a watch of its own
        else:
            return


def _watch(folders: list[Path]) -> Iterator[set[tuple[watchfiles.Change, str]]]:
    return watchfiles.watch(*folders, watch_filter=_matters, debounce=50, step=10, recursive=False)
