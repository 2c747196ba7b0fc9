"""Environment: a venv of one peer, made on demand from its lock and kept until that changes.

The frameworks want other versions than ours and than each other's, so none shares a venv.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Unavailable
from benchmarks.progress import note
from benchmarks.served import ROOT

LOCKS = ROOT / "requirements" / "peers"
PATIENCE = 600  # seconds that an installation may take

_VERSIONS = """\
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Environment:
    """The venv of requirements/peers/NAME.txt in `folder`."""

    name: str
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder.absolute() / "bin" / "python"

    def make(self) -> None:
        """Install what is locked, unless that is there. Raises Unavailable with the reason."""
        lock, stamp = LOCKS / f"{self.name}.txt", self.folder / "installed.txt"
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            return
        note(f"installing {self.name} ({lock.relative_to(ROOT)})")
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(self.folder)])
        _run([*self._installer(), "--require-hashes", "--no-deps", "--requirement", str(lock)])
        shutil.copy(lock, stamp)

    def versions(self, *packages: str) -> dict[str, str]:
        """Of installed packages."""
        found: dict[str, str] = json.loads(_run([str(self.python), "-c", _VERSIONS, *packages]))
        return found

    def _installer(self) -> list[str]:
        """uv where there is one: it is several times as quick."""
        if uv := shutil.which("uv"):
            return [uv, "pip", "install", "--quiet", "--python", str(self.python)]
        return [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as exc:
        raise Unavailable(f"{Path(command[0]).name} took more than {PATIENCE} s") from exc
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(" ".join(lines)[-300:] or f"{command[0]} ended with {done.returncode}")
    return done.stdout
