"""The code is formatted, linted and typed: the same tools, and the same settings, as by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command", ["ruff check --quiet .", "ruff format --quiet --check .", "mypy --no-error-summary"]
)
def test_nothing_to_complain_of(command: str) -> None:
    tool, *words = command.split()
    done = subprocess.run(
        [Path(sys.executable).parent / tool, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
