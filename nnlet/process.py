"""Child: a server process with its log in a file, which never outlives this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

LOG_LIMIT = 10 << 20  # bytes; a followed log that grows beyond this starts again at nothing
# Seconds between asking a child to stop and ending it: enough for the requests in flight.
# wasmtime would wait for its idle instances too, as long as they may idle.
GRACE = 0.25

_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec nothing may be imported or allocated for long.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """Starts `command` in a group of its own; `stop` (or leaving a `with`) ends the group."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self.log = log
        # Append mode: after `follow` cuts the file, the child goes on at its new end.
        with log.open("ab") as output, warnings.catch_warnings():
            # Python warns of any code between fork and exec; ours is one system call.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What its log holds."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def follow(self, to: TextIO) -> int:
        """Copy what it logs from now on, until it ends; its exit code."""
        with self.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            while True:
                ended = self.exit_code
                to.write(log.read().decode("utf-8", errors="replace"))
                to.flush()
                if ended is not None:
                    return ended
                if log.tell() > LOG_LIMIT:
                    os.truncate(self.log, 0)
                    log.seek(0)
                time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does; end it if it does not."""
        if self.exit_code is None:
            self._signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        # The group may hold more than the child (a wrapper script's own children).
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _die_with_parent() -> None:
    """On Linux the kernel ends the child when its parent is gone, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
