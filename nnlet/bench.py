"""Bench: what the served function costs, measured from outside by a client that costs little.

Each start is a new process, timed from before it is spawned to its first right answer. The
rest is measured on one warm server: the latency of one connection, the throughput of sixteen,
and the memory that it holds afterwards. Trust ratios, not single times.
"""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlet.build import Report, silent
from nnlet.client import Request as InferRequest
from nnlet.client import infer_request, tensors
from nnlet.errors import HostError, RequestError
from nnlet.host import (
    Address,
    Limits,
    Provider,
    Wasmtime,
    environment,
    find_wasmtime,
    free_port,
    serve,
    serve_command,
)
from nnlet.load import Load, Request, ask, client, load
from nnlet.local import LocalModel, local_models, newest
from nnlet.memory import memory
from nnlet.process import Child
from nnlet.project import Project
from nnlet.serving import PROVIDERS

STARTS = 5
CONNECTIONS = 16


@dataclass(frozen=True)
class Bench:
    """One run. Times are in milliseconds, sizes in bytes, memory in MiB."""

    model: str
    client: str
    starts_ms: tuple[float, ...]
    one: Load
    many: Load
    memory: float
    component: int
    component_gzip: int

    @property
    def start_ms(self) -> float:
        """The median start."""
        return statistics.median(self.starts_ms)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "model": self.model,
            "client": self.client,
            "cold_start_ms": self.start_ms,
            "cold_starts_ms": self.starts_ms,
            "p50_ms": self.one.p50_ms,
            "p99_ms": self.one.p99_ms,
            "per_second": self.one.per_second,
            "connections": CONNECTIONS,
            "per_second_all_connections": self.many.per_second,
            "failed": self.one.failed + self.many.failed,
            "resident_mib": self.memory,
            "component_bytes": self.component,
            "component_gzip_bytes": self.component_gzip,
        }


@dataclass(frozen=True)
class _Start:
    """How a server of one component is started."""

    tool: Wasmtime
    precompiled: Path
    provider: Provider
    logs: Path

    def timed(self, request: Request) -> float:
        """Milliseconds from nothing to the first answer of a new process."""
        address = Address(port=free_port())
        command = serve_command(self.tool, self.precompiled, address, self.provider, Limits())
        log, env = self.logs / "bench-start.log", environment(self.provider)
        began = time.perf_counter()
        with Child(command, log, env) as child:
            while child.exit_code is None:
                with suppress(ConnectionError):
                    ask(address.port, request)
                    return (time.perf_counter() - began) * 1000
                time.sleep(0.0005)
            raise HostError(f"the server ended at once: {child.output()[-400:]}")


def bench(
    project: Project,
    model: str | None = None,
    provider: str = "host",
    wasmtime: Path | None = None,
    seconds: int = 5,
    report: Report = silent,
) -> Bench:
    """Measure `model` (the one with the smallest example by default) with its example."""
    tool = find_wasmtime(wasmtime)
    served, computes = PROVIDERS[provider](project, tool, report)
    chosen = _choose(newest(local_models(project)), model)
    request = _wire_request(infer_request(chosen.info, tensors(chosen.info, chosen.example)))
    start = _Start(tool, served.precompiled, computes, project.build / "log")
    with report(f"Starting {STARTS} times"):
        starts = tuple(start.timed(request) for _ in range(STARTS))
    address = Address(port=free_port())
    with serve(tool, served.precompiled, address, computes, start.logs) as server:
        load(address.port, request, connections=CONNECTIONS, seconds=1)  # until all is warm
        with report("Asking on one connection"):
            one = load(address.port, request, connections=1, seconds=seconds)
        with report(f"Asking on {CONNECTIONS} connections"):
            many = load(address.port, request, connections=CONNECTIONS, seconds=seconds)
        resident = memory(server.process.pid).rss
    component = served.component.path.read_bytes()
    size = len(gzip.compress(component, 9))
    return Bench(chosen.info.name, client(), starts, one, many, resident, len(component), size)


def _choose(models: Mapping[str, LocalModel], name: str | None) -> LocalModel:
    if name is not None and name not in models:
        raise RequestError(f"no model {name!r} here: there is {', '.join(models)}")
    known = [m for m in models.values() if m.example and name in (None, m.info.name)]
    if not known:
        raise RequestError(f"no [example] in the model.toml of {name or 'any model'}: add one")
    return min(known, key=lambda model: len(str(model.example)))


def _wire_request(request: InferRequest) -> Request:
    return Request(request.path, request.body, tuple(request.headers.items()))
