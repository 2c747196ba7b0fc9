"""Extras: packages that only some commands need, installed from their lock when first needed.

That happens in the project's own .venv only, which ./build.sh made. In any other Python the
user is told what to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

from nnlet.build import Report
from nnlet.errors import ToolMissing
from nnlet.project import Project


def need(project: Project, package: str, extra: str, report: Report) -> None:
    """Have `package` of the extra `extra` installed. Raises ToolMissing if it cannot be."""
    if importlib.util.find_spec(package) is not None:
        return
    command = [sys.executable, "-m", "pip", "install", *_what(project, extra)]
    if sys.prefix != str(project.root / ".venv"):
        raise ToolMissing(f"{package} is not installed here: run {' '.join(command)}")
    with report(f"Installing {package}, which this needs"):
        done = subprocess.run([*command, "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ToolMissing(f"{package} could not be installed: {lines[-1]}")
    importlib.invalidate_caches()


def _what(project: Project, extra: str) -> list[str]:
    """nnlet's own repository has a lock for each extra; a project that uses nnlet has none."""
    if (project.root / "requirements.txt").is_file():
        return [f"nnlet[{extra}]"]
    return ["--require-hashes", "-r", str(project.root / "requirements" / f"{extra}.txt")]
