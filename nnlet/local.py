"""The models of this project as its function knows them: read from the generated catalogue.

That is a Python module of literals, so this is fast where reading ONNX is not.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from nnlet.build import Report, silent, write_catalogue
from nnlet.client import ModelInfo, TensorInfo
from nnlet.project import Project


@dataclass(frozen=True)
class LocalModel:
    """One version of one model, with what its model.toml adds. `labels` is by output name.

    `digest` is the sha256 of its files in hex, `size` their bytes, `changed` the day of the last
    change to them, as YYYY-MM-DD.
    """

    info: ModelInfo
    version: str
    description: str
    labels: Mapping[str, Sequence[str]]
    example: Mapping[str, Any]
    digest: str
    size: int
    changed: str

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "name": self.info.name,
            "version": self.version,
            "description": self.description,
            "bytes": self.size,
            "digest": self.digest,
            "changed": self.changed,
            "inputs": [info.as_json() for info in self.info.inputs],
            "outputs": [info.as_json() for info in self.info.outputs],
        }


def read_catalogue(project: Project, report: Report = silent) -> list[dict[str, Any]]:
    """The catalogue, made first where models have changed."""
    path = write_catalogue(project, report)
    entries: list[dict[str, Any]] = runpy.run_path(str(path))["MODELS"]
    return entries


def local_models(project: Project, report: Report = silent) -> list[LocalModel]:
    """All versions of all models."""
    return [_model(entry, project) for entry in read_catalogue(project, report)]


def newest(models: Sequence[LocalModel]) -> dict[str, LocalModel]:
    """The newest version of each model, by name."""
    return {model.info.name: model for model in models}  # versions come in order


def _model(entry: Mapping[str, Any], project: Project) -> LocalModel:
    folder = project.models / entry["name"] / entry["version"]
    files = [path.stat() for path in folder.iterdir() if path.is_file()]
    return LocalModel(
        ModelInfo(
            entry["name"],
            (entry["version"],),
            tuple(TensorInfo(*row[:3]) for row in entry["inputs"]),
            tuple(TensorInfo(*row[:3]) for row in entry["outputs"]),
        ),
        entry["version"],
        entry["description"],
        {row[0]: row[3] for row in entry["outputs"] if row[3]},
        entry["example"],
        entry["digest"],
        sum(file.st_size for file in files),
        date.fromtimestamp(max(file.st_mtime for file in files)).isoformat(),
    )
