"""What a start costs: the component's size, a cold start, a fresh instance, memory.

    python -m benchmarks.startup             writes results/startup.json
    python -m benchmarks.startup --quick     one short round, nothing written

The function as it is built, the same as componentize-py makes it (mended, but neither shrunk nor
linked), and FastAPI with one worker. Each twice: with the models of the other benchmarks, and
with one more beside them that has 50 MB of weights and is not asked. What a start costs must not
depend on weights that are not used.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unittest import mock

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import machine
from benchmarks.peers.fastapi_uvicorn import FastAPI
from benchmarks.peers.nnlet_function import Function
from benchmarks.progress import note
from benchmarks.report import RESULTS, Measure, Report
from benchmarks.served import ROOT, Served, repository
from nnlet import build
from nnlet.errors import NnletError
from nnlet.host import free_port
from nnlet.load import Request, ask, client, load
from nnlet.memory import memory
from nnlet.mend import mend
from nnlet.process import Child
from nnlet.wasm import COMPONENT, CUSTOM, DATA, MODULE, sections

WORK = ROOT / "build" / "benchmarks" / "startup"
RESULT = RESULTS / "startup.json"
PATIENCE = 30  # seconds that a server may take to start
INSTANCES = 4
HEAVY = 3540  # 3540 x 3540 numbers in float32: 50 MB
MODELS = (("small models", False), ("beside 50 MB of weights", True))
REUSED = re.compile("--max-instance-reuse-count=")
MODULES, COMPONENTS = 1, 4  # sections of a component that hold others
CODE = 10  # section of a core module

MEASURES = (
    Measure("component", "component without models", "MB"),
    Measure("component_gzip", "component without models, gzip", "MB"),
    Measure("code", "code", "MB", drawn=False),
    Measure("data", "memory image, without zeros", "MB", drawn=False),
    Measure("custom", "custom sections", "MB", drawn=False),
    Measure("first", "spawned to first answer", "ms"),
    Measure("fresh_p50", "a fresh instance for every request, p50", "ms"),
    Measure("fresh_p99", "a fresh instance for every request, p99", "ms", drawn=False),
    Measure("rss", "memory with one instance after load, RSS", "MiB"),
    Measure("pss", "memory with one instance after load, PSS", "MiB"),
    Measure("further", "each further instance after load, PSS", "MiB"),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 7
    seconds: int = 2


@dataclass(frozen=True)
class Models:
    """A model repository, and the model in it that is asked."""

    name: str
    folder: Path
    asked: Served


class Subject(Protocol):
    """A server, of which a start is measured."""

    def prepare(self, models: Path, work: Path) -> None:
        """What is done once before serving the repository `models`. Not timed."""

    def start(self, port: int, log: Path) -> Child:
        """Spawn the server and return at once, ready or not. Timed."""

    def json(self, model: Served) -> Request:
        """One row as JSON."""


class Unshrunk(Function):
    """The function as componentize-py makes it."""

    def prepare(self, models: Path, work: Path) -> None:
        entries = {**build._ENTRIES, self.target.world: "nnlet.guest.http"}
        with mock.patch.multiple(build, _ENTRIES=entries, _finished=mend):
            super().prepare(models, work)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "nnlet, compiled": lambda: Function("compiled"),
    "unshrunk": lambda: Unshrunk("compiled"),
    "FastAPI, 1 worker": lambda: FastAPI(1),
}


@dataclass(frozen=True)
class Prepared:
    """A subject that serves these models."""

    name: str
    models: Models
    subject: Subject

    @property
    def request(self) -> Request:
        """What is asked, as JSON."""
        return self.subject.json(self.models.asked)

    @contextlib.contextmanager
    def serving(self, fresh: bool = False) -> Iterator[tuple[Child, int, float]]:
        """The server, its port, and the seconds from spawning it to its first right answer."""
        port, log = free_port(), WORK / "server.log"
        began = time.perf_counter()
        with self._start_fresh(port, log) if fresh else self.subject.start(port, log) as child:
            answer = _first_answer(child, port, self.request)
            seconds = time.perf_counter() - began
            self.models.asked.check_json(answer)
            yield child, port, seconds

    def _start_fresh(self, port: int, log: Path) -> Child:
        """The function, with an instance of its own for every request."""
        assert isinstance(self.subject, Function)
        command = [
            "--max-instance-reuse-count=1" if REUSED.match(word) else word
            for word in self.subject.command(port)
        ]
        return Child(command, log, self.subject.provider.environment())


def heavy_model() -> onnx.ModelProto:
    """One matrix product with HEAVY x HEAVY weights."""
    weights = np.random.default_rng(0).standard_normal((HEAVY, HEAVY)).astype(np.float32)
    row: list[str | int | None] = ["batch", HEAVY]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "heavy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, row)],
        [numpy_helper.from_array(weights / HEAVY**0.5, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def make_models(name: str, heavy: bool) -> Models:
    """A repository under WORK."""
    folder = WORK / name.replace(" ", "-") / "models"
    shutil.rmtree(folder, ignore_errors=True)
    asked = repository(folder)[-1]
    if heavy:
        path = folder / "heavy" / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(heavy_model(), path)
    return Models(name, folder, asked)


def measure(plan: Plan) -> Report:
    """Build everything, then measure in turns."""
    prepared = list(_prepare())
    versions = Function("compiled").versions() | FastAPI(1).versions()
    report = Report(MEASURES, versions, vars(plan) | {"further": INSTANCES, "client": client()})
    for item in prepared:
        _measure_size(report, item)
    for number in range(1, plan.rounds + 1):
        report.busy.append(machine.busy(1))
        for item in prepared:
            note(f"round {number} of {plan.rounds}: {item.name}, {item.models.name}")
            _measure_cold(report, item)
            if isinstance(item.subject, Function):
                _measure_fresh(report, item, plan)
                _measure_further(report, item)
    return report


def _prepare() -> Iterator[Prepared]:
    for models in (make_models(name, heavy) for name, heavy in MODELS):
        for name, make in SUBJECTS.items():
            note(f"preparing {name}, {models.name}")
            subject = make()
            subject.prepare(models.folder, models.folder.parent / name.replace(", ", "-"))
            yield Prepared(name, models, subject)


def _measure_size(report: Report, item: Prepared) -> None:
    if not isinstance(item.subject, Function):
        return
    content = (item.subject.project.build / "app.wasm").read_bytes()
    sizes = section_sizes(content)
    for key, size in (
        ("component", len(content)),
        ("component_gzip", len(gzip.compress(content, 9))),
        ("code", sizes.get(CODE, 0)),
        ("data", sizes.get(DATA, 0)),
        ("custom", sizes.get(CUSTOM, 0)),
    ):
        report.add(item.name, item.models.name, key, size / 1e6)


def section_sizes(component: bytes) -> dict[int, int]:
    """Bytes in each kind of section of the core modules in a component, and in custom ones."""
    sizes: dict[int, int] = {}
    for number, body in sections(component, COMPONENT):
        if number == COMPONENTS and body.startswith(COMPONENT):
            inner = section_sizes(body)
        elif number == MODULES:
            inner = {}
            for kind, content in sections(body, MODULE):
                inner[kind] = inner.get(kind, 0) + len(content)
        else:
            inner = {CUSTOM: len(body)} if number == CUSTOM else {}
        for kind, size in inner.items():
            sizes[kind] = sizes.get(kind, 0) + size
    return sizes


def _measure_cold(report: Report, item: Prepared) -> None:
    with item.serving() as (child, port, seconds):
        load(port, item.request, connections=1, seconds=1)
        used = memory(child.pid)
    report.add(item.name, item.models.name, "first", seconds * 1000)
    report.add(item.name, item.models.name, "rss", used.rss)
    report.add(item.name, item.models.name, "pss", used.pss)


def _measure_fresh(report: Report, item: Prepared, plan: Plan) -> None:
    with item.serving(fresh=True) as (_, port, _):
        load(port, item.request, connections=1, seconds=1)  # warm-up, not counted
        found = load(port, item.request, connections=1, seconds=plan.seconds)
    if found.failed:
        raise SystemExit(f"Error: {found.failed} requests failed")
    report.add(item.name, item.models.name, "fresh_p50", found.p50_ms)
    report.add(item.name, item.models.name, "fresh_p99", found.p99_ms)


def _measure_further(report: Report, item: Prepared) -> None:
    with item.serving() as (child, port, _):
        load(port, item.request, connections=1, seconds=1)
        one = memory(child.pid).pss
        _at_once(port, item.request, 1 + INSTANCES)
        load(port, item.request, connections=1 + INSTANCES, seconds=1)
        many = memory(child.pid).pss
    report.add(item.name, item.models.name, "further", (many - one) / INSTANCES)


def _at_once(port: int, request: Request, count: int) -> None:
    """As many instances as requests: none of these is complete before all have begun."""
    wire = request.wire(port)
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(wire[:-1])
        time.sleep(0.2)
        for connection in connections:
            connection.sendall(wire[-1:])
        for connection in connections:
            connection.recv(1 << 16)


def _first_answer(child: Child, port: int, request: Request) -> bytes:
    deadline = time.perf_counter() + PATIENCE
    while True:
        try:
            return ask(port, request)
        except OSError as exc:
            if child.exit_code is not None or time.perf_counter() > deadline:
                raise SystemExit(f"Error: no answer: {exc}\n{child.output()}") from exc
            time.sleep(0.0005)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=int, default=Plan.seconds, help="of each load")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()

    machine.require_quiet(args.anyway or args.quick)
    plan = Plan(1, 1) if args.quick else Plan(args.rounds, args.seconds)
    try:
        report = measure(plan)
    except NnletError as exc:
        raise SystemExit(f"Error: {exc}") from exc
    report.print()
    if not args.quick:
        report.save(args.output)
        note(f"wrote {args.output}")


if __name__ == "__main__":
    main()
