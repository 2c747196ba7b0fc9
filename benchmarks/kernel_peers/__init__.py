"""The runtimes that are compared: one file each, one line each in table.py.

Each runs in a process of its own, one thread, and is told by lines of JSON what to do, so that
all of them can take turns. `worker.py` is that process for those with a Python interface,
`web.mjs` for onnxruntime-web, `process.py` the other end of the line.

    {"do": "load", "folder": F}      make the model ready: {"seconds": S}
    {"do": "answer"}                 one call: {"seconds": S, "outputs": [{"type", "data"}]}
    {"do": "time", "seconds": S}     calls for about as long: {"seconds": a call's median,
                                     "least": the shortest, "processor": used by all threads}
    {"do": "versions"}               {"name": "version", ...}

A call is what a user of that runtime waits for: inputs given, answer taken. What cannot be
done is answered as {"error": TEXT}.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.workloads import Array


class Runner(Protocol):
    """A runtime with a Python interface."""

    def load(self, folder: Path, inputs: dict[str, Array]) -> None:
        """Make the model in `folder` ready to be called with `inputs`; forget the one before.
        Timed."""

    def call(self, times: int) -> None:
        """So many calls, one after the other. Timed."""

    def answer(self) -> Sequence[Array]:
        """The outputs of one call, in the model's order. Their shapes do not matter."""

    def versions(self) -> dict[str, str]:
        """What it is made of."""
