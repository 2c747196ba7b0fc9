"""notebooks/: run from the first cell to the last, they give the outputs that they show."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from nnlet.host import free_port

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(notebook: dict[str, Any]) -> None:
    """Run all cells in this process, and put what they print and show into their outputs."""
    names: dict[str, Any] = {}
    for number, cell in enumerate((c for c in notebook["cells"] if c["cell_type"] == "code"), 1):
        cell["execution_count"] = number
        cell["outputs"] = outputs("".join(cell["source"]), names, number)


def outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What Jupyter keeps of a cell: its prints, and the value of its last line."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) and not source.endswith(";") else None
    printed, shown = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        found.append({"name": "stdout", "output_type": "stream", "text": text})
    if shown is not None:
        data = {"text/plain": repr(shown).splitlines(keepends=True)}
        kind = "execute_result"
        found.append({"data": data, "execution_count": number, "metadata": {}, "output_type": kind})
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_the_outputs_that_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skl2onnx", reason="pip install -r requirements/sklearn.txt")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    copy = checkout(tmp_path / "project")
    monkeypatch.chdir(copy)
    port = str(free_port())
    text = path.read_text(encoding="utf-8")
    kept = json.loads(text)
    notebook = json.loads(text.replace("8080", port))
    run(notebook)
    for shown, cell in zip(kept["cells"], notebook["cells"], strict=True):
        found = json.dumps(cell.get("outputs")).replace(port, "8080")
        assert masked(found) == masked(json.dumps(shown.get("outputs"))), "".join(cell["source"])


def masked(outputs: str) -> str:
    """Without what is another number with another version of scikit-learn."""
    return re.sub(r"(?<=scikit-learn )[\d.]+|[\d,]+(?= bytes)|\d\.\de-\d\d", "#", outputs)


def checkout(folder: Path) -> Path:
    """This project without its builds, served by this Python."""
    left_out = ("build", ".venv", ".git", "tests", "docs", "benchmarks", "node_modules")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out))
    (folder / "build.sh").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnlet "$@"\n')
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_tells_nothing_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 20_000
    assert not any(part in text for part in ("/home/", "/tmp/", "/Users/", "\\Users\\"))
    assert all(cell["outputs"] for cell in json.loads(text)["cells"] if "curl(" in cell["source"])
