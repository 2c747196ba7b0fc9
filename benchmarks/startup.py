"""The function's component: its size, its start, a fresh instance, memory per instance.

    python -m benchmarks.startup             writes results/startup.json
    python -m benchmarks.startup --quick     one short round, nothing written

Twice: with the models of the other benchmarks, and with one more beside them that has 50 MB of
weights and is not asked. What a start costs must not depend on weights that are not used.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import machine
from benchmarks.function import note
from benchmarks.peers.nnlet_function import Function
from benchmarks.report import RESULTS, Measure, Report
from benchmarks.served import ROOT, Served, repository
from nnlet.errors import NnletError
from nnlet.host import Address, Limits, free_port, serve_command
from nnlet.load import Request, ask, load
from nnlet.memory import memory
from nnlet.process import Child
from nnlet.wasm import COMPONENT, CUSTOM, DATA, MODULE, sections

WORK = ROOT / "build" / "benchmarks" / "startup"
RESULT = RESULTS / "startup.json"
SUBJECT = "nnlet, compiled"
PATIENCE = 30  # seconds that a server may take to start
INSTANCES = 8
HEAVY = 3540  # 3540 x 3540 numbers in float32: 50 MB
MODULES, COMPONENTS = 1, 4  # sections of a component that hold others
CODE = 10  # section of a core module

MEASURES = (
    Measure("component", "component", "MB"),
    Measure("component_gzip", "component, gzip", "MB"),
    Measure("code", "code", "MB", drawn=False),
    Measure("data", "memory image, without zeros", "MB", drawn=False),
    Measure("custom", "custom sections", "MB", drawn=False),
    Measure("first", "spawned to first answer", "ms"),
    Measure("fresh_p50", "a fresh instance for every request, p50", "ms"),
    Measure("fresh_p99", "a fresh instance for every request, p99", "ms", drawn=False),
    Measure("one", "memory with one instance, PSS", "MiB"),
    Measure("further", "each further instance after load, PSS", "MiB"),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 7
    seconds: int = 2


@dataclass
class Subject:
    """A function that is built, and the model in it that is asked."""

    name: str
    heavy: bool
    function: Function = field(default_factory=lambda: Function("compiled"))

    def prepare(self) -> None:
        """Build it."""
        work = WORK / self.name.replace(" ", "-")
        models = work / "models"
        self.asked: Served = repository(models)[-1]
        if self.heavy:
            path = models / "heavy" / "1" / "model.onnx"
            path.parent.mkdir(parents=True, exist_ok=True)
            onnx.save(heavy_model(), path)
        self.function.prepare(models, work)

    @contextlib.contextmanager
    def serving(self, reused: bool) -> Iterator[tuple[Child, int, float]]:
        """The server, its port, and the seconds from spawning it to its first right answer."""
        port = free_port()
        function = self.function
        command = serve_command(
            *(function.tool, function.served.precompiled, Address(port=port)),
            *(function.provider, Limits()),
        )
        if not reused:
            command = [
                "--max-instance-reuse-count=1" if "instance-reuse" in word else word
                for word in command
            ]
        began = time.perf_counter()
        with Child(command, WORK / "server.log", function.provider.environment()) as child:
            answer = _first_answer(child, port, self.request)
            seconds = time.perf_counter() - began
            self.asked.check_json(answer)
            yield child, port, seconds

    @property
    def request(self) -> Request:
        """What is asked, as JSON."""
        return self.function.json(self.asked)


SUBJECTS = (("small models", False), ("beside 50 MB of weights", True))


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


def measure(plan: Plan) -> Report:
    """Build the subjects, then measure them in turns."""
    subjects = [Subject(name, heavy) for name, heavy in SUBJECTS]
    for subject in subjects:
        note(f"building: {subject.name}")
        subject.prepare()
    report = Report(MEASURES, subjects[0].function.versions(), vars(plan) | {"further": INSTANCES})
    for subject in subjects:
        _measure_size(report, subject)
    for number in range(1, plan.rounds + 1):
        report.busy.append(machine.busy(1))
        for subject in subjects:
            note(f"round {number} of {plan.rounds}: {subject.name}")
            _measure_start(report, subject, plan)
            _measure_memory(report, subject)
    return report


def _measure_size(report: Report, subject: Subject) -> None:
    content = subject.function.served.component.path.read_bytes()
    sizes = section_sizes(content)
    for key, size in (
        ("component", len(content)),
        ("component_gzip", len(gzip.compress(content, 9))),
        ("code", sizes.get(CODE, 0)),
        ("data", sizes.get(DATA, 0)),
        ("custom", sizes.get(CUSTOM, 0)),
    ):
        report.add(SUBJECT, subject.name, key, size / 1e6)


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


def _measure_start(report: Report, subject: Subject, plan: Plan) -> None:
    with subject.serving(reused=False) as (_, port, seconds):
        report.add(SUBJECT, subject.name, "first", seconds * 1000)
        load(port, subject.request, connections=1, seconds=1)  # warm-up, not counted
        found = load(port, subject.request, connections=1, seconds=plan.seconds)
    if found.failed:
        raise SystemExit(f"Error: {found.failed} requests failed")
    report.add(SUBJECT, subject.name, "fresh_p50", found.p50_ms)
    report.add(SUBJECT, subject.name, "fresh_p99", found.p99_ms)


def _measure_memory(report: Report, subject: Subject) -> None:
    with subject.serving(reused=True) as (child, port, _):
        load(port, subject.request, connections=1, seconds=1)
        one = memory(child.pid).pss
        _at_once(port, subject.request, 1 + INSTANCES)
        load(port, subject.request, connections=1 + INSTANCES, seconds=1)
        many = memory(child.pid).pss
    report.add(SUBJECT, subject.name, "one", one)
    report.add(SUBJECT, subject.name, "further", (many - one) / INSTANCES)


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
