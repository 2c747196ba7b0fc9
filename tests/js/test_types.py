"""The TypeScript declarations, by TypeScript's own compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from js import hosts
from js.hosts import Node

HERE = Path(__file__).parent
STRICT = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext")
LIBRARIES = ("--lib", "es2022,dom", "--types", "")


def check(folder: Path, *files: str) -> str:
    """What tsc complains of."""
    tools = hosts.install(HERE / "hosts")
    words = [str(tools / "node_modules" / ".bin" / "tsc"), *STRICT, *LIBRARIES, *files]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True).stdout


def test_right_uses_pass_and_wrong_ones_do_not(package: Path, tmp_path: Path) -> None:
    shutil.copytree(package, tmp_path / "js")
    shutil.copy(HERE / "usage.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    assert check(tmp_path, "usage.ts") == ""


def test_every_datatype_has_a_type(every_type: Node, tmp_path: Path) -> None:
    folder = Path(every_type.run("import('node:url').then((m) => m.fileURLToPath(root))"))
    shutil.copytree(folder, tmp_path / "js")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    assert check(tmp_path, "js/index.d.ts") == ""
