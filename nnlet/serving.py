"""Serving: a project, from its sources to a server that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from nnlet.build import (
    Component,
    Report,
    Served,
    alone,
    build_function,
    build_graphs,
    precompiled,
    silent,
)
from nnlet.compiled import CompiledProvider, composed, models_component
from nnlet.extras import need
from nnlet.host import Address, Limits, Provider, Server, Wasmtime, find_wasmtime, serve
from nnlet.openvino import HostProvider, link_libraries, openvino_libraries
from nnlet.project import Project
from nnlet.targets import P2, Target


@contextmanager
def serve_project(
    project: Project,
    address: Address,
    provider: str = "compiled",
    wasmtime: Path | None = None,
    limits: Limits | None = None,
    report: Report = silent,
    target: Target = P2,
) -> Iterator[Server]:
    """Build what has changed and serve it while the block runs. `provider` is in PROVIDERS."""
    tool = find_wasmtime(wasmtime)
    served, computes = PROVIDERS[provider](project, tool, report, target)
    logs = project.build / "log"
    with serve(tool, served.precompiled, address, computes, logs, limits) as server:
        yield server


def build_composed(project: Project, report: Report = silent, target: Target = P2) -> Component:
    """build/function.wasm: the function with its models inside, made where not up to date."""
    with alone(project):
        function = build_function(project, report, target.world)
        models = models_component(project, report)
        return composed(project, function, models, report, f"function{target.suffix}.wasm")


def build_for_spin(project: Project, report: Report = silent) -> Component:
    """build/spin-app.wasm, and build/models.wasm beside it for Spin to compose."""
    with alone(project):
        models_component(project, report)
        return build_function(project, report, "spin-app")


def _compiled(
    project: Project, tool: Wasmtime, report: Report, target: Target = P2
) -> tuple[Served, Provider]:
    function = build_composed(project, report, target)
    with alone(project):
        return precompiled(project, function, tool, report), CompiledProvider()


def _host(
    project: Project, tool: Wasmtime, report: Report, target: Target = P2
) -> tuple[Served, Provider]:
    need(project, "openvino", "host", report)
    with alone(project):
        function = build_function(project, report, target.world)
        served = precompiled(project, function, tool, report)
        graphs = build_graphs(project, report)
    libraries = project.build / "openvino"
    link_libraries(openvino_libraries(), libraries)
    return served, HostProvider(libraries, graphs)


class Prepare(Protocol):
    """Build what has changed of a project for a target: what to serve, and who computes."""

    def __call__(
        self, project: Project, tool: Wasmtime, report: Report, target: Target = P2
    ) -> tuple[Served, Provider]: ...


# What `--provider` takes, and how each gets what to serve and who computes for it.
PROVIDERS: dict[str, Prepare] = {
    "compiled": _compiled,
    "host": _host,
}
