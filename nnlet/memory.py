"""Memory of a server: the sum over its processes, from /proc."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """In MiB. `pss` counts a page shared by n processes as 1/n in each; `rss` as 1."""

    rss: float
    pss: float


def memory(pid: int) -> Memory:
    """Of process `pid` and all that it started."""
    rss = pss = 0
    for process in tree(pid):
        # A child may end between listing and reading.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            rollup = _rollup(process)
            rss += rollup["Rss"]
            pss += rollup["Pss"]
    return Memory(rss / 1024, pss / 1024)


def tree(pid: int) -> list[int]:
    """`pid` and its descendants."""
    children: list[int] = []
    for listing in (PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, listing.read_text().split())
    return [pid, *(process for child in children for process in tree(child))]


def _rollup(pid: int) -> dict[str, int]:
    """Each line of smaps_rollup, in KiB."""
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
