"""npm, its only caller: packages that are pinned by a package.json and its lock beside it.

They are installed into the cache folder when they are first needed, with a line that says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from nnlet.build import Report, silent
from nnlet.errors import ToolMissing
from nnlet.tool import Tool
from nnlet.zig import cache_folder

_GET = "get it at https://nodejs.org/en/download; Debian 13 has it as nodejs and npm"

# The oldest that jco runs on, and the npm that came with it.
NODE = Tool("Node", ("node", "--version"), r"^v(\d+)\.(\d+)\.(\d+)", (20, 0, 0), _GET)
NPM = Tool("npm", ("npm", "--version"), r"^(\d+)\.(\d+)\.(\d+)", (9, 0, 0), _GET)

_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error")
_FILES = ("package.json", "package-lock.json")
_NOISE = re.compile(r"at |Node\.js v|npm error (A complete log|$)")


def find_node() -> str:
    """The path of a Node that is new enough. Raises ToolMissing."""
    NODE.require()
    return _on_path("node")


def installed(source: Path, report: Report = silent) -> Path:
    """A folder with all that `source`/package.json names, in its locked versions.

    Raises ToolMissing where npm is absent or fails.
    """
    names = wanted(source)
    lock = hashlib.sha256((source / _FILES[1]).read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "npm" / f"{source.name}-{lock}"
    if not _is_complete(folder, names):
        words = " and ".join(f"{name} {version}" for name, version in names.items())
        with report(f"Installing {words} from npm into {folder.parent}, which this needs"):
            _install(source, folder, names)
    return folder


def wanted(source: Path) -> dict[str, str]:
    """The packages that `source`/package.json names, each with its one version."""
    names: dict[str, str] = json.loads((source / _FILES[0]).read_text())["dependencies"]
    return names


def _install(source: Path, folder: Path, names: dict[str, str]) -> None:
    """All of it, or nothing: another process may be doing the same."""
    words = " ".join(f"{name}@{version}" for name, version in names.items())
    NPM.require()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ToolMissing(
            f"cannot make the cache folder {folder.parent}, into which {words} is to go: "
            f"{exc.strerror}: name another in NNLET_CACHE"
        ) from exc
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name, "made")
        made.mkdir()
        for file in _FILES:
            shutil.copy(source / file, made)
        # Not `npm ci`: it refuses jco's lock, in which packages for other systems are missing.
        done = run([_on_path("npm"), "install", *_OPTIONS, "--prefix", str(made)])
        if done.returncode != 0 or not _is_complete(made, names):
            raise ToolMissing(
                f"npm could not install {words}: {last_line(done)}: this needs a network the "
                f"first time; see whether npm install {words} works in an empty folder"
            )
        _put(made, folder, names)


def _put(made: Path, folder: Path, names: dict[str, str]) -> None:
    """Move what was made to its place, unless another process was faster."""
    if _is_complete(folder, names):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:
        if not _is_complete(folder, names):
            raise


def _on_path(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} was there just now"
    return path


def _is_complete(folder: Path, names: dict[str, str]) -> bool:
    return all(_version(folder / "node_modules" / name) == names[name] for name in names)


def _version(package: Path) -> str:
    about = package / "package.json"
    return str(json.loads(about.read_text())["version"]) if about.exists() else ""


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a tool, with nothing to read from."""
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a tool said last that is neither a stack trace nor where its log is."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    return telling[-1] if telling else f"nothing (exit code {done.returncode})"
