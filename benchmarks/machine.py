"""What a result must say of the machine it was measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

# What decides how fast tensor math can go, and in which datatype OpenVINO computes.
TELLING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd")
QUIET = 0.1  # share of all cores


def describe() -> dict[str, Any]:
    """The class of machine: no host name, nothing that tells one machine from its like."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "features": [name for name in TELLING if name in flags],
        "memory_gib": round(pages / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of installed packages."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def busy(seconds: float = 2.0) -> float:
    """The share of all cores that others use, watched while this process sleeps."""
    before = _ticks()
    time.sleep(seconds)
    idle, total = (after - then for after, then in zip(_ticks(), before, strict=True))
    return 1 - idle / max(total, 1)


def _ticks() -> tuple[int, int]:
    """Idle and total ticks of all cores; time that another guest took counts as used."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def require_quiet(anyway: bool) -> None:
    """Refuse to measure beside others' work: a number taken then says nothing."""
    share = busy()
    if share > QUIET and not anyway:
        raise SystemExit(
            f"Error: {share:.0%} of this machine is in use by others (expected: under "
            f"{QUIET:.0%}): try again later, or measure --anyway"
        )
