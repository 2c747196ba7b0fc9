"""This repository's own project, served as `./build.sh up` serves it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nnlet.errors import ToolMissing
from nnlet.host import Address, Limits, Server, free_port
from nnlet.project import Project
from nnlet.serving import PROVIDERS, serve_project
from nnlet.spin import serve_spin
from nnlet.targets import TARGETS

ROOT = Path(__file__).parents[2]

# Its products lie in build/ and are made again only when what they are made of has changed.
PROJECT = Project(ROOT)

# Wasmtime with each provider and on WASI 0.3, and what is then said to `nnlet up`.
WASMTIMES = {
    **{provider: ("--provider", provider) for provider in PROVIDERS},
    "p3": ("--wasi", "p3"),
}
# Who serves: these, and Spin where there is one.
HOSTS = [*WASMTIMES, *(["spin"] if shutil.which("spin") else [])]

# What ./build.sh made installs whatever a provider needs, so there nothing is ever skipped.
INSTALLS = Path(sys.prefix) == ROOT / ".venv"


@contextmanager
def serving(
    provider: str, limits: Limits | None = None, project: Project = PROJECT
) -> Iterator[Server]:
    """A server of all models on a free port; `provider` is in HOSTS, and Spin has its own limits.

    The test is skipped if `provider` is absent.
    """
    with ExitStack() as stack:
        address = Address(port=free_port())
        try:
            if provider == "spin":
                server = stack.enter_context(serve_spin(project, address))
            elif provider == "p3":
                context = serve_project(project, address, limits=limits, target=TARGETS["p3"])
                server = stack.enter_context(context)
            else:
                context = serve_project(project, address, provider, limits=limits)
                server = stack.enter_context(context)
        except ToolMissing as exc:
            if INSTALLS and provider != "spin":
                raise
            pytest.skip(f"provider {provider}: {exc}")
        yield server
        server.process.log.unlink()
