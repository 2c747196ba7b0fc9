"""The measured limit of 128-bit multiply-adds under wasmtime, next to which rates are shown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import wasmtime

from nnlet import zig
from nnlet.component import FLAVOURS, TARGET, Flavour

SOURCE = Path(__file__).with_suffix(".c")
OPERATIONS = 8 * 12  # of one turn in peak.c
TURNS = 200_000


class Peak:
    """The kernel of peak.c, ready to run."""

    def __init__(self, flavour: Flavour) -> None:
        flags = (*TARGET, *FLAVOURS[flavour], *zig.optimize(2), "-mexec-model=reactor")
        core = zig.compile_c({"peak.c": SOURCE.read_bytes()}, flags, "peak.wasm")
        self._store = wasmtime.Store()
        module = wasmtime.Module(self._store.engine, core)
        exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._peak: Any = exports["peak"]

    def gflops(self, seconds: float) -> float:
        """The best of some turns: anything else that runs here only makes it less."""
        end, best = time.perf_counter() + seconds, 0.0
        while time.perf_counter() < end:
            start = time.perf_counter()
            self._peak(self._store, TURNS)
            best = max(best, OPERATIONS * TURNS / (time.perf_counter() - start) / 1e9)
        return best
