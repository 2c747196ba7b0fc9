"""docs/hosts: the commands print what the pages show."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_docs import Command, assert_shown, commands, read

from js import hosts
from js.conftest import ROOT

PAGES = ROOT / "docs" / "hosts"
FOLDER, URL = "build/js", "http://127.0.0.1:8080"


def shown(page: str, start: str) -> list[Command]:
    """The commands of a page that begin so."""
    return [c for c in commands(read(PAGES / page)) if c.line.startswith(start)]


@pytest.fixture(scope="module")
def worker(package: Path) -> Iterator[str]:
    with hosts.workerd(package / "examples" / "worker" / "config.capnp") as url:
        yield url


@pytest.mark.parametrize("command", shown("node.md", "node "), ids=lambda c: c.line)
def test_the_script_prints_what_is_shown(package: Path, command: Command) -> None:
    line = command.line.replace(FOLDER, str(package))
    node, *words = shlex.split(line)
    done = subprocess.run([hosts.find_node(), *words], capture_output=True, text=True)
    assert_shown(done.stdout + done.stderr, command.output)


@pytest.mark.parametrize("command", shown("workers.md", "curl "), ids=lambda c: c.line[:60])
def test_the_worker_answers_as_is_shown(worker: str, command: Command) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    words = shlex.split(command.line.replace(URL, worker))
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert_shown(done.stdout, command.output)
