"""The other end of a runner's line: starts its process and asks it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.workloads import Array
from nnlet.memory import memory

PATIENCE = 60  # seconds that one answer may take


class Refused(Exception):
    """A runner cannot do what it was asked; the text is its own."""


class Process:
    """A runner in a process of its own, until it is left."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,  # a group of its own: some start helpers that stay
            )
        self._log = log

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Its answer. Raises Refused."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps({"do": what, **details}), file=self._process.stdin, flush=True)
            if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                raise Refused(f"no answer in {PATIENCE} s")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line or self._ended())
        if error := answer.get("error"):
            raise Refused(error)
        return answer

    def answer(self) -> tuple[list[Array], float]:
        """The outputs of one call, flat, and its seconds."""
        found = self.ask("answer")
        outputs = [np.frombuffer(base64.b64decode(o["data"]), o["type"]) for o in found["outputs"]]
        return outputs, found["seconds"]

    def memory(self) -> float:
        """MiB that it has in memory now, shared or not: what it grows by is its own doing."""
        return memory(self._process.pid).rss

    def _ended(self) -> str:
        code = self._process.wait()
        last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        return json.dumps({"error": f"ended with exit code {code}: {last[0]}"})

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
