"""Processor time of a warm request, which a busy machine disturbs less than latency:

    python dev/warm/cpu.py [--requests 1500] [--rounds 3] [PEER ...]

All threads of the server and of its workers, from the kernel's scheduler (Linux); the least of
the rounds, in microseconds, beside the median and the 10th percentile of the time to answer.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.function import WORK, _start  # noqa: E402
from benchmarks.peers.table import PEERS  # noqa: E402
from benchmarks.served import image, repository  # noqa: E402
from nnlet.load import Request, _connect, _Exchange  # noqa: E402


def processor_seconds(pid: int) -> float:
    """Of a process and its children, since they started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    tasks = [task for p in (str(pid), *children) for task in Path(f"/proc/{p}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def ask_often(port: int, request: Request, count: int) -> list[float]:
    """Seconds of each of `count` requests on one connection."""
    wire = request.wire(port)
    times = []
    with _connect(port) as connection:
        for _ in range(count):
            exchange = _Exchange(connection)
            exchange.begin(wire)
            while not exchange.receive():
                pass
            if not exchange.ok:
                raise SystemExit(exchange.answer[:400].decode(errors="replace"))
            times.append(time.perf_counter() - exchange.began)
    return sorted(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", default=["nnlet, compiled", "fastapi"])
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    models = [*repository(WORK / "models"), image(WORK / "models")]
    peers = {name: PEERS[name]() for name in args.peers}
    for peer in peers.values():
        peer.prepare(WORK / "models", WORK)
    found: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {}
    for _ in range(args.rounds):
        for name, peer in peers.items():
            for model in models:
                child, port, _ = _start(peer, model, WORK / "server.log")
                with child:
                    kinds = {"raw": peer.raw(model), "json": peer.json(model)}
                    for kind, request in kinds.items():
                        count = args.requests if len(request.body) < 10_000 else 100
                        ask_often(port, request, count // 5)
                        before = processor_seconds(child.pid)
                        times = ask_often(port, request, count)
                        used = (processor_seconds(child.pid) - before) / count
                        row = used, times[count // 2], times[count // 10]
                        found.setdefault((model.name, kind, name), []).append(row)
    for (model_name, kind, name), rows in found.items():
        used, middle, low = (1e6 * min(column) for column in zip(*rows, strict=True))
        print(
            f"{model_name:7} {kind:5} {name:18} cpu {used:7.0f}  p50 {middle:7.0f}  p10 {low:7.0f}"
        )


if __name__ == "__main__":
    main()
