"""FastAPI on uvicorn[standard] (uvloop, httptools) with onnxruntime: fastapi_app.py."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.machine import versions
from benchmarks.peers import bytes_alone, oip_json
from benchmarks.served import Served
from nnlet.load import Request
from nnlet.process import Child


class FastAPI:
    """One process for each worker."""

    json_route = "written by hand"
    offers_raw = True

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.models = Path()

    def prepare(self, models: Path, work: Path) -> None:
        self.models = models.resolve()

    def start(self, port: int, log: Path) -> Child:
        # --app-dir: the app is imported as a top-level module, without our packages.
        command = [sys.executable, "-m", "uvicorn", "fastapi_app:app"]
        command += ["--app-dir", str(Path(__file__).parent)]
        command += ["--port", str(port), "--workers", str(self.workers)]
        command += ["--no-access-log", "--log-level", "warning"]
        return Child(command, log, {"MODELS": str(self.models)})

    def raw(self, model: Served) -> Request:
        return bytes_alone(model)

    def json(self, model: Served) -> Request:
        return oip_json(model)

    def component(self) -> Path | None:
        return None  # an image of hundreds of files

    def versions(self) -> dict[str, str]:
        return versions("fastapi", "uvicorn", "uvloop", "httptools", "orjson", "onnxruntime")
