"""The function of this repository, its own app.py, served by wasmtime with OpenVINO."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import machine
from benchmarks.peers import oip_json
from benchmarks.served import ROOT, Served
from nnlet.build import silent
from nnlet.host import Address, Limits, find_wasmtime, serve_command
from nnlet.load import Request
from nnlet.process import Child
from nnlet.project import Project
from nnlet.serving import PROVIDERS
from nnlet.targets import TARGETS


class Function:
    """What a build makes of the benchmark's models, and the process that `nnlet up` spawns."""

    json_route = "its own protocol"
    offers_raw = True

    def __init__(self, provider: str, target: str = "p2", app: Path = ROOT / "app.py") -> None:
        self.app = app
        self.tool = find_wasmtime()
        self.make = PROVIDERS[provider]
        self.target = TARGETS[target]

    def prepare(self, models: Path, work: Path) -> None:
        self.project = Project(work / "project")
        self.project.root.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.app, self.project.app)
        shutil.rmtree(self.project.models, ignore_errors=True)
        shutil.copytree(models, self.project.models)
        self.served, self.provider = self.make(self.project, self.tool, silent, self.target)

    def start(self, port: int, log: Path) -> Child:
        return Child(self.command(port), log, self.provider.environment())

    def command(self, port: int) -> list[str]:
        """What is spawned."""
        address = Address(port=port)
        return serve_command(self.tool, self.served.precompiled, address, self.provider, Limits())

    def raw(self, model: Served) -> Request:
        headers = (("Inference-Header-Content-Length", "0"),)
        return Request(f"/v2/models/{model.name}/infer", model.raw, headers)

    def json(self, model: Served) -> Request:
        return oip_json(model)

    def component(self) -> Path | None:
        return self.served.component.path

    def versions(self) -> dict[str, str]:
        _, _, number = str(self.tool).partition(" ")
        return machine.versions("componentize-py", "openvino") | {"wasmtime": number}
