"""Targets: the versions of WASI that a function can be built for, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """`world` is in wit/ and names the component; `entry` is the module it begins with.

    `suffix` tells the other products of one target from another's.
    """

    world: str
    entry: str
    suffix: str = ""


# What `--wasi` takes.
TARGETS = {
    "p2": Target("app", "nnlet.entry"),
    "p3": Target("app-p3", "nnlet.entry_p3", "-p3"),
}
P2 = TARGETS["p2"]
