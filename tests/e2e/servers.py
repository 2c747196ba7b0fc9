"""This repository's own project, served as `./build.sh up` serves it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nnlet.errors import ToolMissing
from nnlet.host import Address, Limits, Server, free_port
from nnlet.project import Project
from nnlet.serving import serve_project

ROOT = Path(__file__).parents[2]

# Its products lie in build/ and are made again only when what they are made of has changed.
PROJECT = Project(ROOT)

# What ./build.sh made installs whatever a provider needs, so there nothing is ever skipped.
INSTALLS = Path(sys.prefix) == ROOT / ".venv"


@contextmanager
def serving(provider: str, limits: Limits | None = None) -> Iterator[Server]:
    """A server of all models on a free port. The test is skipped if `provider` is absent."""
    with ExitStack() as stack:
        address = Address(port=free_port())
        try:
            server = stack.enter_context(serve_project(PROJECT, address, provider, limits=limits))
        except ToolMissing as exc:
            if INSTALLS:
                raise
            pytest.skip(f"provider {provider}: {exc}")
        yield server
        server.process.log.unlink()
