"""Tool: a program that a host's own makers ship, found on PATH, with the version it must have.

nnlet installs none of them: where one is missing or too old, the user is told how to get it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from nnlet.errors import ToolMissing

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Tool:
    """A program, or a plugin of one. `asks` prints its version, which `says` finds there.

    Other programs go by the same name (a model checker and a build tool are called spin, too),
    so what does not say its version in the tool's own words is not the tool.
    """

    name: str
    asks: tuple[str, ...]
    says: str  # a pattern with three groups
    minimum: Version
    get: str

    @property
    def needed(self) -> str:
        """Name and version, as in "Spin 3.5.0 or newer"."""
        return f"{self.name} {_dotted(self.minimum)} or newer"

    def require(self) -> Version:
        """Its version. Raises ToolMissing, which says how to get it."""
        path = shutil.which(self.asks[0])
        if path is None:
            raise ToolMissing(f"no {self.asks[0]} on PATH: this needs {self.needed}; {self.get}")
        found = re.search(self.says, self._said(path), re.MULTILINE)
        if found is None:
            raise ToolMissing(
                f"`{' '.join(self.asks)}` ({path}) does not say that it is {self.name}: this "
                f"needs {self.needed}; {self.get}"
            )
        major, minor, patch = map(int, found.groups())
        version = (major, minor, patch)
        if version < self.minimum:
            raise ToolMissing(
                f"{path} is {self.name} {_dotted(version)}: this needs {self.needed}; {self.get}"
            )
        return version

    def _said(self, path: str) -> str:
        try:
            done = subprocess.run(
                [path, *self.asks[1:]], capture_output=True, text=True, timeout=30, errors="replace"
            )
        except (OSError, subprocess.SubprocessError) as exc:
            raise ToolMissing(f"{path} does not run: {exc}; {self.get}") from exc
        return done.stdout


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
