"""Bench: what the served function costs, measured from outside by a client that costs little.

Each start is a new process, timed from before it is spawned to its first right answer. The
rest is measured on warm servers: a fresh instance for every request, one instance for all, as
many as there are connections; the memory of one and of each further; and where the time of one
request goes (breakdown.py). Trust ratios, not single times.
"""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlet.breakdown import Breakdown, Clocks, arrays, clocked, provider_ms, read_clocks
from nnlet.build import Report, Served, silent
from nnlet.client import ModelInfo, Tensor, infer_request, tensors
from nnlet.client import Request as InferRequest
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
from nnlet.load import Load, Request, ask, ask_together, client, load, warm_up
from nnlet.local import LocalModel, local_models, newest
from nnlet.measure import CONNECTIONS
from nnlet.memory import memory
from nnlet.process import Child
from nnlet.project import Project
from nnlet.serving import PROVIDERS

STARTS = 5
FURTHER = 8  # instances beside the first, for the memory of each
TURNS = 5  # requests of each instance before its memory is looked at


@dataclass(frozen=True)
class Seen:
    """What a client saw of one model. Times are in milliseconds, memory in MiB."""

    starts_ms: tuple[float, ...]
    fresh: Load
    one: Load
    many: Load
    memory: float
    further: float

    @property
    def start_ms(self) -> float:
        """The median start."""
        return statistics.median(self.starts_ms)

    @property
    def failed(self) -> int:
        """Requests without a status of 2xx or 3xx, of all loads."""
        return self.fresh.failed + self.one.failed + self.many.failed


@dataclass(frozen=True)
class Bench:
    """One model of one function. Sizes are in bytes."""

    model: str
    provider: str
    client: str
    seen: Seen
    breakdown: Breakdown
    component: int
    component_gzip: int

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "model": self.model,
            "provider": self.provider,
            "client": self.client,
            "cold_start_ms": self.seen.start_ms,
            "cold_starts_ms": self.seen.starts_ms,
            "fresh_p50_ms": self.seen.fresh.p50_ms,
            "fresh_p99_ms": self.seen.fresh.p99_ms,
            "p50_ms": self.seen.one.p50_ms,
            "p99_ms": self.seen.one.p99_ms,
            "per_second": self.seen.one.per_second,
            "connections": CONNECTIONS,
            "per_second_all_connections": self.seen.many.per_second,
            "failed": self.seen.failed,
            "request_ms": self.breakdown.as_json(),
            "resident_mib": self.seen.memory,
            "further_instance_mib": self.seen.further,
            "component_bytes": self.component,
            "component_gzip_bytes": self.component_gzip,
        }


@dataclass(frozen=True)
class _Subject:
    """One model, and the request that asks for its example."""

    info: ModelInfo
    tensors: Sequence[Tensor]

    @property
    def request(self) -> Request:
        """As it goes over the wire."""
        return _wire_request(infer_request(self.info, list(self.tensors)))


@dataclass(frozen=True)
class _Servers:
    """How servers of one component are started."""

    tool: Wasmtime
    precompiled: Path
    provider: Provider
    logs: Path

    def cold(self, request: Request) -> float:
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

    def fresh(self, request: Request, seconds: int) -> Load:
        """One connection, and an instance for each of its requests."""
        address, limits = Address(port=free_port()), Limits(reuse=1)
        with serve(self.tool, self.precompiled, address, self.provider, self.logs, limits):
            warm_up(address.port, request, connections=1)
            return load(address.port, request, connections=1, seconds=seconds)

    def warm(self, request: Request, seconds: int) -> tuple[Load, Load, float]:
        """One connection, many connections, and the resident memory afterwards."""
        address = Address(port=free_port())
        with serve(self.tool, self.precompiled, address, self.provider, self.logs) as server:
            warm_up(address.port, request, CONNECTIONS)
            one = load(address.port, request, connections=1, seconds=seconds)
            many = load(address.port, request, connections=CONNECTIONS, seconds=seconds)
            return one, many, memory(server.process.pid).rss

    def further(self, request: Request) -> float:
        """What each instance beyond the first adds to the memory, after some requests.

        Pages that instances share count once (PSS).
        """
        address, limits = Address(port=free_port()), Limits(concurrency=1 + FURTHER)
        with serve(
            self.tool, self.precompiled, address, self.provider, self.logs, limits
        ) as server:
            found = []
            for count in (1, 1 + FURTHER):
                for _ in range(TURNS):
                    ask_together(address.port, request, count)
                found.append(memory(server.process.pid).pss)
            return (found[1] - found[0]) / FURTHER


def bench(
    project: Project,
    models: Sequence[str] = (),
    provider: str = "compiled",
    wasmtime: Path | None = None,
    seconds: int = 5,
    report: Report = silent,
) -> list[Bench]:
    """Measure `models` (the one with the smallest example by default) with their examples."""
    tool = find_wasmtime(wasmtime)
    subjects = [
        _Subject(model.info, tensors(model.info, model.example))
        for model in _choose(newest(local_models(project, report)), models)
    ]
    served, computes = PROVIDERS[provider](project, tool, report)
    code = clocked(project, provider, tool, report)
    servers = _Servers(tool, served.precompiled, computes, project.build / "log")
    seen = [_look(servers, subject, seconds, report) for subject in subjects]
    clocks = [_read_clocks(servers, subject, code, seconds, report) for subject in subjects]
    # Last: what runs here may start threads, and a process with threads should start no others.
    with report("Calling the provider alone"):
        alone = [
            provider_ms(project, provider, subject.info, arrays(subject.tensors))
            for subject in subjects
        ]
    size = _sizes(served)
    return [
        Bench(subject.info.name, provider, client(), found, Breakdown(*inside), *size)
        for subject, found, inside in zip(
            subjects, seen, zip(clocks, alone, strict=True), strict=True
        )
    ]


def _look(servers: _Servers, subject: _Subject, seconds: int, report: Report) -> Seen:
    name, request = subject.info.name, subject.request
    with report(f"{name}: starting {STARTS} times"):
        starts = tuple(servers.cold(request) for _ in range(STARTS))
    with report(f"{name}: a fresh instance for every request"):
        fresh = servers.fresh(request, seconds)
    with report(f"{name}: one connection, then {CONNECTIONS}"):
        one, many, resident = servers.warm(request, seconds)
    with report(f"{name}: {FURTHER} further instances"):
        further = servers.further(request)
    return Seen(starts, fresh, one, many, resident, further)


def _read_clocks(
    servers: _Servers, subject: _Subject, code: Path, seconds: int, report: Report
) -> Clocks:
    tool, provider, logs = servers.tool, servers.provider, servers.logs
    with report(f"{subject.info.name}: where the time of a request goes"):
        return read_clocks(tool, code, provider, subject.request, logs, seconds)


def _sizes(served: Served) -> tuple[int, int]:
    """The component's bytes, as they are and with gzip."""
    content = served.component.path.read_bytes()
    return len(content), len(gzip.compress(content, 9))


def _choose(models: Mapping[str, LocalModel], names: Sequence[str]) -> list[LocalModel]:
    for name in names:
        if name not in models:
            raise RequestError(f"no model {name!r} here: there is {', '.join(models)}")
        if not models[name].example:
            raise RequestError(f"no [example] in the model.toml of {name}: add one")
    if names:
        return [models[name] for name in dict.fromkeys(names)]
    known = [model for model in models.values() if model.example]
    if not known:
        raise RequestError("no [example] in the model.toml of any model: add one")
    return [min(known, key=lambda model: len(str(model.example)))]


def _wire_request(request: InferRequest) -> Request:
    return Request(request.path, request.body, tuple(request.headers.items()))
