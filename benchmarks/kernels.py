"""Compiled models beside onnxruntime-web, onnxruntime, OpenVINO and tract, one thread each.

    python -m benchmarks.kernels            everything; writes results, chart and docs
    python -m benchmarks.kernels --quick    one short round, nothing written
    python -m benchmarks.kernels --workloads mlp lstm --runners nnlet onnxruntime-web
    python -m benchmarks.kernels --docs     chart and docs again, from the results

Every runtime gets the same models and inputs, and nothing is timed whose answer differs from
onnxruntime's. The runtimes of a workload live side by side and take turns, round after round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks import machine
from benchmarks.kernel_peers.chart import draw
from benchmarks.kernel_peers.compiled import build
from benchmarks.kernel_peers.peak import Peak
from benchmarks.kernel_peers.process import Process, Refused
from benchmarks.kernel_peers.table import OURS, RUNNERS, command
from benchmarks.kernel_peers.tables import Results, write_section
from benchmarks.report import RESULTS, Measure, Report
from benchmarks.workloads import WORKLOADS, Array, Workload, read_inputs
from nnlet import zig
from nnlet.component import Flavour
from nnlet.errors import NnletError, VerifyError
from nnlet.verify import compare

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "kernels"
WEB = WORK / "web"
RESULT = RESULTS / "kernels.json"
CHART = ROOT / "docs" / "img" / "kernels.svg"
DOCS = ROOT / "docs" / "performance.md"
FLAVOURS: dict[str, Flavour] = {OURS: "relaxed", "nnlet, simd128": "simd128"}
WARM = 1.0  # seconds that a just-in-time compiler gets to see what it has to compile
SLOW = 10.0  # seconds: a first call that takes longer is the only one
PEAK_SECONDS = 0.2

MEASURES = (
    Measure("call", "one call", "ms"),
    Measure("least", "the shortest call", "ms", drawn=False),
    Measure("processor", "processor time of one call, all threads", "ms", drawn=False),
    Measure("load", "model load", "ms"),
    Measure("memory", "memory that load and first call took", "MiB"),
    Measure("code", "component without its weights", "kB"),
    Measure("weights", "weights", "kB"),
    Measure("compile", "from ONNX to component, nothing cached", "s"),
    Measure("translate", "from component to machine code", "s"),
    Measure("peak", "multiply-adds of 128 bits, at most", "GFLOP/s", better="more"),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    runners: tuple[str, ...] = RUNNERS
    rounds: int = 5
    seconds: float = 0.5  # of each runner in each round
    warm: float = WARM


def measure(plan: Plan) -> Report:
    """All workloads, one after the other; of each all runners in turns."""
    install_web()
    report = Report(MEASURES, machine.versions("onnx", "numpy"), {**vars(plan), "left_out": {}})
    peaks = {name: Peak(flavour) for name, flavour in FLAVOURS.items()}
    for name in plan.workloads:
        workload = WORKLOADS[name]
        folder = workload.write(WORK)
        note(f"{name}: compiling")
        for runner in (name for name in plan.runners if name in FLAVOURS):
            _build(report, runner, workload, folder)
        _measure_workload(report, plan, workload, folder)
        for flavour, peak in peaks.items():
            report.add(flavour, "", "peak", peak.gflops(PEAK_SECONDS))
    report.settings["workloads"] = {
        name: {"title": w.title, "counted": w.counted, "flops": w.flops}
        for name, w in WORKLOADS.items()
        if name in plan.workloads
    }
    return report


# -- making ready ---------------------------------------------------------------------------------


def install_web() -> None:
    """onnxruntime-web under build/, as package.json and its lock have it."""
    lock = Path(__file__).with_name("package-lock.json")
    kept = WEB / lock.name
    if kept.exists() and kept.read_bytes() == lock.read_bytes():
        return
    WEB.mkdir(parents=True, exist_ok=True)
    shutil.copy(lock.with_name("package.json"), WEB)
    note("installing onnxruntime-web")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    shutil.copy(lock, WEB)
    try:
        subprocess.run(["npm", "ci", *options], cwd=WEB, check=True)
    except BaseException:
        kept.unlink()
        raise


def _build(report: Report, runner: str, workload: Workload, folder: Path) -> None:
    with empty_cache():
        found = build(folder, FLAVOURS[runner])
    for key, value in found.items():
        report.add(runner, workload.name, key, value)


@contextmanager
def empty_cache() -> Iterator[None]:
    """Without anything that was compiled before, but for zig's own C library.

    That is there: Peak needed it.
    """
    before, folder = os.environ.get("NNLET_CACHE"), WORK / "cache"
    libraries = zig.cache_folder().absolute() / "zig"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "zig").symlink_to(libraries)
    os.environ["NNLET_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["NNLET_CACHE"]
        else:
            os.environ["NNLET_CACHE"] = before


# -- taking turns ---------------------------------------------------------------------------------


class Lane:
    """One runner on one workload: its process, and where its samples go."""

    def __init__(self, report: Report, name: str, workload: Workload) -> None:
        self.name = name
        self._report, self._workload = report, workload
        self._process = Process(command(name, WEB), WORK / f"{name}.log")
        self._slow = False

    def __enter__(self) -> Lane:
        self._process.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._process.__exit__(None, None, None)

    def start(self, folder: Path) -> list[Array]:
        """The answer of the workload in `folder`. Raises Refused."""
        # Whatever a runtime does once for any model is not this model's load.
        self._process.ask("load", folder=str(WORKLOADS["empty"].write(WORK)))
        self._process.answer()
        before = self._process.memory()
        self._load(folder)
        outputs, seconds = self._process.answer()
        self._add("memory", self._process.memory() - before)
        if seconds > SLOW:
            self._slow = True
            self._add("call", 1000 * seconds)
        return outputs

    def warm(self, seconds: float) -> None:
        """Calls that are not counted."""
        if not self._slow:
            self._process.ask("time", seconds=seconds)

    def turn(self, folder: Path, seconds: float) -> None:
        """One round."""
        if not self._slow:
            self._load(folder)
            self._process.answer()  # the first call after a load may allocate
            found = self._process.ask("time", seconds=seconds)
            self._add("call", 1000 * found["seconds"])
            self._add("least", 1000 * found["least"])
            self._add("processor", 1000 * found["processor"])

    def versions(self) -> dict[str, str]:
        return self._process.ask("versions")

    def _load(self, folder: Path) -> None:
        found = self._process.ask("load", folder=str(folder))
        self._add("load", 1000 * found["seconds"])

    def _add(self, measure: str, value: float) -> None:
        self._report.add(self.name, self._workload.name, measure, value)


def _measure_workload(report: Report, plan: Plan, workload: Workload, folder: Path) -> None:
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(report, name, workload)) for name in plan.runners]
        expected = reference(folder)
        ready = [lane for lane in lanes if _starts(report, lane, workload, folder, expected)]
        for lane in ready:
            lane.warm(plan.warm)
        for number in range(plan.rounds):
            note(f"{workload.name}: round {number + 1} of {plan.rounds}")
            report.busy.append(machine.busy(0.5))
            for lane in ready:
                lane.turn(folder, plan.seconds)


def reference(folder: Path) -> list[Array]:
    """The answer of onnxruntime on the model as it is written, without its optimizer."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output).ravel() for output in session.run(None, read_inputs(folder))]


def _starts(
    report: Report, lane: Lane, workload: Workload, folder: Path, expected: Sequence[Array]
) -> bool:
    """Whether a lane's answer is right. Ours must be."""
    try:
        _check(lane.start(folder), expected, workload.tolerance)
        report.versions.update(lane.versions())
        return True
    except (Refused, VerifyError) as exc:
        if lane.name in FLAVOURS:
            raise SystemExit(f"Error: {workload.name}: {lane.name}: {exc}") from exc
        note(f"{workload.name}: {lane.name} is left out: {exc}")
        report.settings["left_out"][f"{lane.name}, {workload.name}"] = str(exc)
        for key in [key for key in report.samples if key[:2] == (lane.name, workload.name)]:
            del report.samples[key]
        return False


def _check(found: Sequence[Array], expected: Sequence[Array], tolerance: float) -> None:
    """Raises VerifyError."""
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        worst = compare(str(number), ours, theirs)
        if worst is not None and worst.error > tolerance:
            raise VerifyError(str(worst))


# -- the command ----------------------------------------------------------------------------------


def note(text: str) -> None:
    """Progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, default=list(RUNNERS))
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--docs", action="store_true", help="measure nothing")
    return parser.parse_args()


def _plan(args: argparse.Namespace) -> Plan:
    workloads, runners = tuple(args.workloads), tuple(args.runners)
    if args.quick:
        return Plan(workloads, runners, rounds=1, seconds=0.2, warm=0.3)
    return Plan(workloads, runners, args.rounds, args.seconds)


def main() -> None:
    args = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no process stays behind
    output = WORK / "quick.json" if args.quick else args.output
    if not args.docs:
        machine.require_quiet(args.anyway or args.quick)
        try:
            measure(_plan(args)).save(output)
        except NnletError as exc:
            raise SystemExit(f"Error: {exc}") from exc
    results = Results.read(output)
    results.print()
    if output == RESULT:
        draw(results, CHART)
        write_section(results, DOCS)
        note(f"wrote {RESULT}, {CHART} and {DOCS}")


if __name__ == "__main__":
    main()
