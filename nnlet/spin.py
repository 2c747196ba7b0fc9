"""Spin: the only code that starts one.

It composes function and models by itself, as spin.toml says. Its rules: docs/hosts/spin.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from nnlet.build import Report, silent
from nnlet.host import Address, Server, check_free, wait_until_ready
from nnlet.process import Child
from nnlet.project import Project
from nnlet.serving import build_composed
from nnlet.tool import Tool

SPIN = Tool(
    name="Spin",
    asks=("spin", "--version"),
    says=r"^spin (\d+)\.(\d+)\.(\d+)",
    # The first one that accepts every import; it composes and pushes composed components, too.
    minimum=(3, 5, 0),
    get="get it at https://spinframework.dev/install",
)


@contextmanager
def serve_spin(project: Project, address: Address, report: Report = silent) -> Iterator[Server]:
    """Build what has changed and serve it with Spin while the block runs.

    Raises ToolMissing where there is no Spin that is new enough, and HostError with its log
    where it does not start.
    """
    SPIN.require()
    build_composed(project, report)
    check_free(address)
    log = project.build / "log" / f"spin-{address.port}.log"
    manifest = project.root / "spin.toml"
    command = ["spin", "up", "--from", str(manifest), "--listen", address.socket]
    with Child(command, log, os.environ) as child:
        wait_until_ready(child, address.url)
        yield Server(address.url, child)
