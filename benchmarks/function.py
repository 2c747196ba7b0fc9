"""The served function beside other ways to serve: start, latency, throughput, memory, size.

    python -m benchmarks.function                           all peers; results, chart and docs
    python -m benchmarks.function --quick                   one short round, nothing written
    python -m benchmarks.function --peers nnlet-compiled,kserve --rounds 2 --quick
    python -m benchmarks.function --docs                    chart and docs again, from the results

All peers serve the same models from the same files to the same client, one peer at a
time, in turns: each round starts every peer afresh. What is said of a peer is the median
over the rounds. A peer that cannot be installed or fails is reported with the reason.
"""

from __future__ import annotations

import argparse
import gzip
import math
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.chart import draw
from benchmarks.function_docs import write_section
from benchmarks.openvino_alone import openvino_alone
from benchmarks.peers import Peer, Unavailable
from benchmarks.peers.table import PEERS
from benchmarks.progress import note
from benchmarks.report import RESULTS, Report
from benchmarks.served import ROOT, Served, image, repository
from nnlet.errors import HostError, NnletError
from nnlet.host import free_port
from nnlet.load import Request, ask, client, load, warm_up
from nnlet.measure import COMPONENT, COMPONENT_GZIP, CONNECTIONS, FIRST, RESIDENT, Measure
from nnlet.memory import memory
from nnlet.process import Child

WORK = ROOT / "build" / "benchmarks"
RESULT = RESULTS / "function.json"
CHART = ROOT / "docs" / "img" / "function.svg"
DOCS = ROOT / "docs" / "performance.md"
OURS = "nnlet-compiled", "nnlet-host"
OPENVINO = "openvino alone"
# The two model repositories: one with a model of large tensors, for peers that take raw bytes.
SMALL, LARGE = "models", "models-large"
PATIENCE = 60  # seconds that a server may take to start

MEASURES = (
    FIRST,
    Measure("json_p50", "JSON, one connection, p50", "ms"),
    Measure("json_p99", "JSON, one connection, p99", "ms", drawn=False),
    Measure("json_rate", f"JSON, {CONNECTIONS} connections", "req/s", better="more"),
    Measure("raw_p50", "raw bytes, one connection, p50", "ms"),
    Measure("raw_p99", "raw bytes, one connection, p99", "ms", drawn=False),
    Measure("raw_rate", f"raw bytes, {CONNECTIONS} connections", "req/s", better="more"),
    Measure("image_p50", "600 KB tensor, one value of it, p50", "ms", drawn=False),
    RESIDENT,
    Measure("pss", "the same, shared pages split (PSS)", "MiB", drawn=False),
    COMPONENT,
    COMPONENT_GZIP,
)


class Failed(Exception):
    """A peer does not answer, or not rightly. The message says what it did."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    peers: tuple[str, ...] = tuple(PEERS)
    rounds: int = 5
    seconds: int = 1  # of each load


def measure(plan: Plan, work: Path = WORK) -> Report:
    """Prepare every peer, then measure them in turns."""
    for folder in (SMALL, LARGE):
        shutil.rmtree(work / folder, ignore_errors=True)
    repository(work / SMALL)
    models = [*repository(work / LARGE), image(work / LARGE)]
    found = machine.versions("onnx", "numpy", "openvino")
    report = Report(MEASURES, found, {"client": client(), **vars(plan), "left_out": {}, "json": {}})
    peers = _prepare(report, plan.peers, work)
    for number in range(1, plan.rounds + 1):
        report.busy.append(machine.busy(1))
        for name, peer in list(peers.items()):
            note(f"round {number} of {plan.rounds}: {name}")
            try:
                _measure_peer(report, name, peer, models, plan.seconds)
            except Failed as exc:
                _leave_out(report, name, exc)
                del peers[name]
        _measure_openvino(report, work / LARGE)
    for name, peer in peers.items():
        _measure_size(report, name, peer)
    return report


def _prepare(report: Report, names: Sequence[str], work: Path) -> dict[str, Peer]:
    """All peers that can be installed here."""
    peers = {}
    for name in names:
        note(f"preparing {name}")
        peer = PEERS[name]()
        try:
            peer.prepare(work / (LARGE if peer.offers_raw else SMALL), work)
        except Unavailable as exc:
            _leave_out(report, name, exc)
            continue
        peers[name] = peer
        report.versions |= peer.versions()
        report.settings["json"][name] = peer.json_route
    return peers


def _leave_out(report: Report, name: str, reason: Exception) -> None:
    """Say so, and forget what was measured before. Ours may not be left out."""
    if name in OURS:
        raise SystemExit(f"Error: {name}: {reason}") from reason
    note(f"{name} is left out: {reason}")
    report.settings["left_out"][name] = str(reason)
    for key in [key for key in report.samples if key[0] == name]:
        del report.samples[key]


def _measure_peer(
    report: Report, name: str, peer: Peer, models: Sequence[Served], seconds: int
) -> None:
    """One round of one peer, started once for each model. Raises Failed."""
    for model in models:
        if model.name == "image":
            _measure_image(report, name, peer, model, seconds)
            continue
        child, port, first = _start(peer, model, WORK / "server.log")
        with child:
            report.add(name, model.name, "first", first * 1000)
            for kind, request in (("json", peer.json(model)), ("raw", peer.raw(model))):
                if request is not None:
                    _measure_load(report, (name, model.name, kind), port, request, seconds)
            used = memory(child.pid)
            report.add(name, model.name, "rss", used.rss)
            report.add(name, model.name, "pss", used.pss)


def _measure_image(report: Report, name: str, peer: Peer, model: Served, seconds: int) -> None:
    """A large tensor, where bytes need not become JSON."""
    if (request := peer.raw(model)) is None:
        return
    child, port, _ = _start(peer, model, WORK / "server.log")
    with child:
        try:
            warm_up(port, request, connections=1)
            single = load(port, request, connections=1, seconds=seconds)
        except (OSError, HostError) as exc:
            raise Failed(str(exc)) from exc
    if single.failed:
        raise Failed(f"{single.failed} requests for an image failed")
    report.add(name, model.name, "image_p50", single.p50_ms)


def _start(peer: Peer, model: Served, log: Path) -> tuple[Child, int, float]:
    """Spawn the server and ask until it answers: it, its port, and the seconds that took."""
    port = free_port()
    request = peer.json(model)
    began = time.perf_counter()
    child = peer.start(port, log)
    try:
        answer = first_answer(port, request, child, began + PATIENCE)
        seconds = time.perf_counter() - began
        _check(port, peer, model, answer)
    except BaseException:
        child.stop()
        raise
    return child, port, seconds


def _check(port: int, peer: Peer, model: Served, answer: bytes) -> None:
    """Nothing is timed whose answers are wrong."""
    try:
        model.check_json(answer)
        if request := peer.raw(model):
            model.check_raw(ask(port, request))
    except (OSError, ValueError, KeyError) as exc:
        raise Failed(f"a wrong answer for {model.name}: {exc}") from exc


def first_answer(port: int, request: Request, child: Child, deadline: float) -> bytes:
    """Ask again and again: some servers refuse connections until they are ready, some requests."""
    while True:
        try:
            return ask(port, request)
        except (OSError, ValueError) as exc:
            if child.exit_code is not None or time.perf_counter() > deadline:
                raise Failed(f"no answer: {exc}; its log ends: {child.output()[-400:]}") from exc
            time.sleep(0.001)


def _measure_load(
    report: Report, which: tuple[str, str, str], port: int, request: Request, seconds: int
) -> None:
    name, model, kind = which
    try:
        warm_up(port, request, CONNECTIONS)
        single = load(port, request, connections=1, seconds=seconds)
        many = load(port, request, connections=CONNECTIONS, seconds=seconds)
    except (OSError, HostError) as exc:
        raise Failed(str(exc)) from exc
    if failed := single.failed + many.failed:
        raise Failed(f"{failed} requests for {model} ({kind}) failed")
    report.add(name, model, f"{kind}_p50", single.p50_ms)
    report.add(name, model, f"{kind}_p99", single.p99_ms)
    report.add(name, model, f"{kind}_rate", many.per_second)


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
        for peer, room in zip(OURS, (0.0, alone), strict=True):
            ours = _medians(report, peer, model)
            lines.append(
                f"{model}, {peer}: first answer {theirs['first'] / ours['first']:.1f} times sooner "
                f"than fastapi's, OIP JSON p50 {ours['json_p50'] / theirs['json_p50']:.2f} times "
                f"fastapi's, {ours['rss']:.0f} MiB resident (fastapi's, and openvino's where it "
                f"computes: {theirs['rss'] + room:.0f})"
            )
    return lines


def _image_goals(report: Report) -> list[str]:
    found = report.median(OURS[0], "image", "image_p50") or math.nan
    return [f"600 KB tensor: the function adds {found:.2f} ms to its inference"]


def _medians(report: Report, peer: str, model: str) -> dict[str, float]:
    return {m.key: report.median(peer, model, m.key) or math.nan for m in MEASURES}


def _peers(text: str) -> tuple[str, ...]:
    """The argument of --peers."""
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(
            f"no peer {', '.join(unknown)}: there is {', '.join(PEERS)}"
        )
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.function", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    help = f"separated by commas; all of {', '.join(PEERS)} unless given"
    parser.add_argument("--peers", type=_peers, default=tuple(PEERS), metavar="A,B", help=help)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=int, default=Plan.seconds, help="of each load")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--docs", action="store_true", help="measure nothing")
    return parser.parse_args()


def _run(args: argparse.Namespace) -> None:
    """Measure, print, and keep the results."""
    machine.require_quiet(args.anyway or args.quick)
    rounds, seconds = (1, 1) if args.quick else (args.rounds, args.seconds)
    try:
        report = measure(Plan(args.peers, rounds, seconds))
    except NnletError as exc:
        raise SystemExit(f"Error: {exc}") from exc
    report.print()
    if {*OURS, "fastapi"} <= {name for name, _, _ in report.samples}:
        print("\n".join(goals(report)))
    for name, reason in report.settings["left_out"].items():
        print(f"not measured: {name}: {reason}")
    if not args.quick:
        report.save(args.output)
        note(f"wrote {args.output}")


def main() -> None:
    args = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server stays behind
    if not args.docs:
        _run(args)
    if args.output == RESULT and not args.quick:
        draw(RESULT, "digits", CHART)
        write_section(RESULT, DOCS)
        note(f"wrote {CHART} and {DOCS}")


if __name__ == "__main__":
    main()
