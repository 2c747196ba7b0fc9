"""Project: the folder that holds app.py and models/, and where its products go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nnlet
from nnlet.errors import NnletError

PACKAGE = Path(nnlet.__file__).parent


@dataclass(frozen=True)
class Project:
    """The paths of one project. Everything under `build` can be made again."""

    root: Path

    @property
    def app(self) -> Path:
        """The function: what a user edits."""
        return self.root / "app.py"

    @property
    def models(self) -> Path:
        """The model repository."""
        return self.root / "models"

    @property
    def wit(self) -> Path:
        """What the component imports and exports: the project's own, or nnlet's."""
        own = self.root / "wit"
        return own if own.is_dir() else shipped("wit")

    @property
    def build(self) -> Path:
        """Every product of a build."""
        return self.root / "build"

    @property
    def generated(self) -> Path:
        """Python modules made by the build and imported by the guest."""
        return self.build / "guest"


def shipped(folder: str) -> Path:
    """A folder that lies beside nnlet in its repository, and inside of it in its wheel."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def find_project(start: Path | None = None) -> Project:
    """The nearest project at or above `start` (the working directory by default)."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "app.py").is_file() and (folder / "models").is_dir():
            return Project(folder)
    raise NnletError(
        f"no project at {start} or above it: nnlet runs in a folder with app.py and models/"
    )
