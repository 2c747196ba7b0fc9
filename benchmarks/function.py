"""The served function beside FastAPI: start, latency, throughput, memory, size.

    python -m benchmarks.function            all peers; writes results/function.json and a chart
    python -m benchmarks.function --quick    one short round, nothing written

All peers serve the same three models from the same files to the same client, one peer at a
time, in turns: each round starts every peer afresh. What is said of a peer is the median
over the rounds.
"""

from __future__ import annotations

import argparse
import gzip
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.chart import draw
from benchmarks.openvino_alone import openvino_alone
from benchmarks.peers import Peer
from benchmarks.peers.table import PEERS
from benchmarks.report import RESULTS, Measure, Report
from benchmarks.served import ROOT, Served, image, repository
from nnlet.errors import NnletError
from nnlet.host import free_port
from nnlet.load import Request, ask, client, load
from nnlet.memory import memory
from nnlet.process import Child

WORK = ROOT / "build" / "benchmarks"
RESULT = RESULTS / "function.json"
CHART = ROOT / "docs" / "img" / "function.svg"
OPENVINO = "openvino alone"
CONNECTIONS = 16
PATIENCE = 60  # seconds that a server may take to start
MIB = 2**20

MEASURES = (
    Measure("first", "spawned to first answer", "ms"),
    Measure("raw_p50", "raw bytes, p50", "ms"),
    Measure("raw_p99", "raw bytes, p99", "ms", drawn=False),
    Measure("json_p50", "OIP JSON, p50", "ms"),
    Measure("json_p99", "OIP JSON, p99", "ms", drawn=False),
    Measure("raw_rate", f"raw bytes, {CONNECTIONS} connections", "req/s", better="more"),
    Measure("json_rate", f"OIP JSON, {CONNECTIONS} connections", "req/s", better="more"),
    Measure("image_p50", "600 KB tensor, one value of it, p50", "ms", drawn=False),
    Measure("pss", "memory after load, PSS", "MiB"),
    Measure("rss", "memory after load, RSS", "MiB", drawn=False),
    Measure("component", "component", "MB"),
    Measure("component_gzip", "component, gzip", "MB"),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    peers: tuple[str, ...] = tuple(PEERS)
    rounds: int = 7
    seconds: int = 2


def measure(plan: Plan, work: Path = WORK) -> Report:
    """Prepare every peer, then measure them in turns."""
    shutil.rmtree(work / "models", ignore_errors=True)
    models = [*repository(work / "models"), image(work / "models")]
    peers = {name: PEERS[name]() for name in plan.peers}
    found = machine.versions("onnx", "numpy", "openvino")
    for name, peer in peers.items():
        note(f"preparing {name}")
        peer.prepare(work / "models", work)
        found |= peer.versions()
    report = Report(MEASURES, found, {"client": client(), **vars(plan)})
    for number in range(1, plan.rounds + 1):
        report.busy.append(machine.busy(1))
        for name, peer in peers.items():
            note(f"round {number} of {plan.rounds}: {name}")
            _measure_peer(report, name, peer, models, plan.seconds)
        _measure_openvino(report, work / "models")
    for name, peer in peers.items():
        _measure_size(report, name, peer)
    return report


def _measure_peer(
    report: Report, name: str, peer: Peer, models: Sequence[Served], seconds: int
) -> None:
    """One round of one peer, started once for each model."""
    for model in models:
        child, port, first = _start(peer, model, WORK / "server.log")
        with child:
            report.add(name, model.name, "first", first * 1000)
            _measure_load(report, name, port, model, peer, seconds)
            used = memory(child.pid)
            report.add(name, model.name, "pss", used.pss)
            report.add(name, model.name, "rss", used.rss)


def _start(peer: Peer, model: Served, log: Path) -> tuple[Child, int, float]:
    """Spawn the server and ask until it answers: it, its port, and the seconds that took."""
    port = free_port()
    request = peer.json(model)
    began = time.perf_counter()
    child = peer.start(port, log)
    try:
        answer = _first_answer(port, request, child, began + PATIENCE)
        seconds = time.perf_counter() - began
        # Nothing is timed whose answers are wrong.
        model.check_json(answer)
        model.check_raw(ask(port, peer.raw(model)))
    except BaseException:
        child.stop()
        raise
    return child, port, seconds


def _first_answer(port: int, request: Request, child: Child, deadline: float) -> bytes:
    """Ask again and again: some servers refuse connections until they are ready, some requests."""
    while True:
        try:
            return ask(port, request)
        except (OSError, ValueError) as exc:
            if child.exit_code is not None or time.perf_counter() > deadline:
                raise SystemExit(f"Error: no answer: {exc}\n{child.output()}") from exc
            time.sleep(0.001)


def _measure_load(
    report: Report, name: str, port: int, model: Served, peer: Peer, seconds: int
) -> None:
    if model.name == "image":
        _measure_image(report, name, port, peer.raw(model), seconds)
        return
    for kind, request in (("raw", peer.raw(model)), ("json", peer.json(model))):
        load(port, request, connections=CONNECTIONS, seconds=1)  # warm-up, not counted
        single = load(port, request, connections=1, seconds=seconds)
        many = load(port, request, connections=CONNECTIONS, seconds=seconds)
        if failed := single.failed + many.failed:
            raise SystemExit(f"{name}: {failed} requests for {model.name} ({kind}) failed")
        report.add(name, model.name, f"{kind}_p50", single.p50_ms)
        report.add(name, model.name, f"{kind}_p99", single.p99_ms)
        report.add(name, model.name, f"{kind}_rate", many.per_second)


def _measure_image(report: Report, name: str, port: int, request: Request, seconds: int) -> None:
    load(port, request, connections=1, seconds=1)  # warm-up, not counted
    single = load(port, request, connections=1, seconds=seconds)
    if single.failed:
        raise SystemExit(f"{name}: {single.failed} requests for an image failed")
    report.add(name, "image", "image_p50", single.p50_ms)


def _measure_openvino(report: Report, models: Path) -> None:
    bare, loaded = openvino_alone(models)
    for subject, used in (("bare python", bare), (OPENVINO, loaded)):
        report.add(subject, "", "pss", used.pss)
        report.add(subject, "", "rss", used.rss)


def _measure_size(report: Report, name: str, peer: Peer) -> None:
    if (component := peer.component()) is None:
        return
    content = component.read_bytes()
    report.add(name, "", "component", len(content) / 1e6)
    report.add(name, "", "component_gzip", len(gzip.compress(content, 9)) / 1e6)


def goals(report: Report) -> list[str]:
    """What the project set out to reach, beside what was found, one line each."""
    alone = report.median(OPENVINO, "", "rss") or math.nan
    lines = []
    for model in dict.fromkeys(model for _, model, _ in report.samples if model):
        if model == "image":
            lines += _image_goals(report)
            continue
        theirs = _medians(report, "fastapi", model)
        for peer, room in (("nnlet, compiled", 0.0), ("nnlet, host", alone)):
            ours = _medians(report, peer, model)
            lines.append(
                f"{model}, {peer}: first answer {theirs['first'] / ours['first']:.1f} times sooner "
                f"than fastapi's, OIP JSON p50 {ours['json_p50'] / theirs['json_p50']:.2f} times "
                f"fastapi's, {ours['rss']:.0f} MiB resident (fastapi's, and openvino's where it "
                f"computes: {theirs['rss'] + room:.0f})"
            )
    return lines


def _image_goals(report: Report) -> list[str]:
    found = report.median("nnlet, compiled", "image", "image_p50") or math.nan
    return [f"600 KB tensor: the function adds {found:.2f} ms to its inference"]


def _medians(report: Report, peer: str, model: str) -> dict[str, float]:
    return {m.key: report.median(peer, model, m.key) or math.nan for m in MEASURES}


def note(text: str) -> None:
    """Progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.function", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=int, default=Plan.seconds, help="of each load")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()

    machine.require_quiet(args.anyway or args.quick)
    rounds, seconds = (1, 1) if args.quick else (args.rounds, args.seconds)
    try:
        report = measure(Plan(tuple(args.peers), rounds, seconds))
    except NnletError as exc:
        raise SystemExit(f"Error: {exc}") from exc
    report.print()
    if {"nnlet, compiled", "nnlet, host", "fastapi"} <= set(args.peers):
        print("\n".join(goals(report)))
    if not args.quick:
        report.save(args.output)
        note(f"wrote {args.output}")
        if args.output == RESULT:
            draw(args.output, "digits", CHART)
            note(f"wrote {CHART}")


if __name__ == "__main__":
    main()
