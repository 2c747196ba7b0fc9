"""The process of a runtime with a Python interface: python -m benchmarks.kernel_peers.worker NAME.

The protocol stands in `__init__.py`.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.kernel_peers import Runner
from benchmarks.kernel_peers.table import worker
from benchmarks.workloads import read_inputs

# The clock is read around so many calls that this passes: it is never what is measured.
LEAST = 0.001  # seconds


class Worker:
    """One runner, and what can be asked of it."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.actions: dict[str, Callable[..., dict[str, Any]]] = {
            "load": self.load,
            "answer": self.answer,
            "time": self.time,
            "versions": runner.versions,
        }

    def load(self, folder: str) -> dict[str, Any]:
        inputs = read_inputs(Path(folder))
        start = time.perf_counter()
        self.runner.load(Path(folder), inputs)
        return {"seconds": time.perf_counter() - start}

    def answer(self) -> dict[str, Any]:
        start = time.perf_counter()
        outputs = self.runner.answer()
        seconds = time.perf_counter() - start
        listed = [
            {"type": str(array.dtype), "data": base64.b64encode(array.tobytes()).decode()}
            for array in outputs
        ]
        return {"seconds": seconds, "outputs": listed}

    def time(self, seconds: float) -> dict[str, Any]:
        end = time.perf_counter() + seconds
        times = 1
        while self._calls(times) < LEAST:
            times *= 2
        found: list[float] = []
        used = time.process_time()
        while not found or time.perf_counter() < end:
            found.append(self._calls(times) / times)
        used = (time.process_time() - used) / (len(found) * times)
        return {"seconds": statistics.median(found), "least": min(found), "processor": used}

    def _calls(self, times: int) -> float:
        start = time.perf_counter()
        self.runner.call(times)
        return time.perf_counter() - start


def main() -> None:
    # What a runtime prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = Worker(worker(sys.argv[1]))
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = asked.actions[command.pop("do")](**command)
        except Exception as exc:  # each runtime has its own; all of them are one answer
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
