"""Extras are installed in the project's own .venv only."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from nnlet import extras
from nnlet.build import silent
from nnlet.errors import ToolMissing
from nnlet.project import Project


def test_what_is_there_is_not_installed(project: Project) -> None:
    extras.need(project, "json", "host", silent)


def test_in_another_python_the_user_is_told_the_command(project: Project) -> None:
    with pytest.raises(ToolMissing, match=r"pip install --require-hashes -r .*/host\.txt"):
        extras.need(project, "no_such_package", "host", silent)


def test_a_project_that_uses_nnlet_has_no_lock_but_an_extra_of_it(project: Project) -> None:
    (project.root / "requirements.txt").write_text("nnlet\n")
    with pytest.raises(ToolMissing, match=r"run .* -m pip install nnlet\[host\]$"):
        extras.need(project, "no_such_package", "host", silent)


def test_in_the_projects_venv_the_lock_is_installed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def pip(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, len(ran) - 1, "", "first\nERROR: no luck\n")

    monkeypatch.setattr(sys, "prefix", str(project.root / ".venv"))
    monkeypatch.setattr(extras.subprocess, "run", pip)
    extras.need(project, "no_such_package", "host", silent)
    assert ran[0][-3:-1] == ["-r", str(project.root / "requirements" / "host.txt")]
    with pytest.raises(ToolMissing, match="could not be installed: ERROR: no luck"):
        extras.need(project, "no_such_package", "host", silent)
    assert importlib.util.find_spec("no_such_package") is None
