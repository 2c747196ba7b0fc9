"""jco, the only caller of Node: a component becomes JavaScript around its core module.

jco is pinned in `jco/package.json` with its lock, and installed with npm into the cache folder
when it is first needed, with a line that says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from nnlet import component, wasm
from nnlet.build import Report, silent
from nnlet.errors import BuildError, ToolMissing
from nnlet.zig import cache_folder

FOLDER = Path(__file__).with_name("jco")
PACKAGE = "@bytecodealliance/jco-transpile"
PINNED: str = json.loads((FOLDER / "package.json").read_text())["dependencies"][PACKAGE]
NODE = (20, 0)  # the oldest that jco runs on

# What jco makes of any provider: code that instantiates three modules, and the two small ones
# that wire its resources. The first module is the models'.
GLUE = ("glue.js", "glue.core2.wasm", "glue.core3.wasm")

_NPM = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error")
_DATA = (wasm.DATA, 12)  # data segments, and their count


def transpile(provider: bytes, report: Report = silent) -> dict[str, bytes]:
    """The files in GLUE, which fit every flavour of the component `provider`.

    They do not depend on the weights, so jco is not given them. Raises ToolMissing, BuildError.
    """
    node = find_node()
    tools = _installed(report)
    with tempfile.TemporaryDirectory(prefix="nnlet-") as name:
        folder = Path(name)
        (folder / "component.wasm").write_bytes(_without_data(provider))
        words = [node, tools / "transpile.mjs", folder / "component.wasm", folder / "out"]
        with report("Transpiling the component with jco"):
            done = _run(words)
        if done.returncode != 0:
            raise BuildError(f"jco {PINNED} could not transpile the models: {_last_line(done)}")
        made = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    made.pop("glue.core.wasm", None)
    if set(made) != set(GLUE):
        raise BuildError(f"jco {PINNED} made {', '.join(sorted(made))}: expected {', '.join(GLUE)}")
    return made


def find_node() -> str:
    """The path of a Node that is new enough. Raises ToolMissing."""
    wanted = f"this needs Node {NODE[0]} or newer, which https://nodejs.org/en/download has"
    path = shutil.which("node")
    if path is None:
        raise ToolMissing(f"no node on PATH: {wanted}")
    said = _run([path, "--version"]).stdout.strip()
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < NODE:
        raise ToolMissing(f"{path} says it is {said or 'nothing'!r}: {wanted}")
    return path


def _installed(report: Report) -> Path:
    """The folder with jco of the pinned version, in which it is installed if it is not there."""
    lock = (FOLDER / "package-lock.json").read_bytes()
    folder = cache_folder() / "npm" / f"jco-{PINNED}-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not (folder / "node_modules").is_dir():
        with report(f"Installing jco {PINNED} from npm into {folder.parent}, which this needs"):
            _install(folder)
    shutil.copy(FOLDER / "transpile.mjs", folder)
    return folder


def _install(folder: Path) -> None:
    """All of it, or nothing: another process may be doing the same."""
    npm = shutil.which("npm")
    if npm is None:
        raise ToolMissing(f"no npm on PATH, which installs jco {PINNED}: it comes with Node")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name, "made")
        made.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / file, made)
        # `npm ci` refuses this lock: it lists packages for other systems that npm does not have.
        done = _run([npm, "install", *_NPM, "--prefix", made])
        if done.returncode != 0 or _version(made) != PINNED:
            raise ToolMissing(
                f"jco {PINNED} could not be installed: npm says {_last_line(done)!r}: try "
                f"npm install {PACKAGE}@{PINNED}, and this again when that works"
            )
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "node_modules").is_dir():
                raise


def _version(folder: Path) -> str:
    about = folder / "node_modules" / PACKAGE / "package.json"
    return str(json.loads(about.read_text())["version"]) if about.exists() else ""


def _without_data(provider: bytes) -> bytes:
    core = component.unwrap(provider)
    parts = [p for p in wasm.sections(core, wasm.MODULE) if p.number not in _DATA]
    return component.wrap(wasm.join(wasm.MODULE, parts))


def _run(words: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a tool said last that is no stack trace."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
    telling = [
        line for line in lines if line and not re.match(r"at |Node\.js v|npm error (A|$)", line)
    ]
    return telling[-1] if telling else f"nothing (exit code {done.returncode})"
