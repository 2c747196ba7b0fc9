"""repository: a converted model becomes the next version in models/, or nothing changes.

Everything is written into a hidden folder beside, read back, checked there, and renamed into
place. What is there is never overwritten.

model.toml belongs to all versions of a model. So a further version must take the same columns
and give the same answer; only categories may be added, at the end of their list, where
earlier versions do not know them. Anything else is another model, under another name.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from nnlet.convert import modeltoml
from nnlet.convert.converted import Converted
from nnlet.errors import ConvertError, ModelError
from nnlet.model import NAME, VERSION, ModelSpec, read_model, read_toml
from nnlet.signature import AnswerSpec, ColumnSpec, Scalar

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Shelf:
    """The place of one model in the repository `models`, whether it is there yet or not."""

    models: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.models / self.name

    @property
    def toml(self) -> Path:
        return self.folder / "model.toml"

    @property
    def versions(self) -> list[str]:
        """The versions that are there, the oldest first."""
        if not self.folder.is_dir():
            return []
        found = [p.name for p in self.folder.iterdir() if p.is_dir() and VERSION.fullmatch(p.name)]
        return sorted(found, key=int)

    @property
    def next_version(self) -> str:
        """One more than the newest."""
        return str(int(self.versions[-1]) + 1) if self.versions else "1"

    def newest(self) -> ModelSpec | None:
        """The newest version; None if there is none. Raises ModelError for a broken one."""
        if not self.versions:
            return None
        version = self.versions[-1]
        path = self.folder / version / "model.onnx"
        return read_model(self.name, version, path, read_toml(self.toml))

    def known_categories(self) -> Mapping[str, tuple[Scalar, ...]]:
        """The categories that model.toml lists already, by column."""
        about = self.newest()
        return {} if about is None else {c.name: c.categories for c in about.columns}


def shelf(models: Path, name: str) -> Shelf:
    """The place of the model `name`. Raises ModelError for a name that no folder can have."""
    if not NAME.fullmatch(name):
        raise ModelError(
            f"a model's name is letters, digits, '_', '-' and '.', found {name!r}: it is the "
            "folder in models/ and the name in every URL"
        )
    return Shelf(models, name)


@contextmanager
def staged(place: Shelf, converted: Converted, description: str) -> Iterator[ModelSpec]:
    """Write the next version beside the repository; it moves in when the block ends well.

    Yields the version as it will be read. An exception leaves the repository as it was.
    Raises ConvertError if the version does not fit the model that is there.
    """
    new = not place.versions
    text = modeltoml.model_toml(converted, description) if new else _grown(place, converted)
    place.models.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".add-{place.name}-", dir=place.models))
    try:
        folder = beside / place.name
        version = place.next_version
        path = folder / version / "model.onnx"
        path.parent.mkdir(parents=True)
        onnx.save(converted.proto, path)
        (folder / "model.toml").write_text(text, encoding="utf-8")
        yield read_model(place.name, version, path, read_toml(folder / "model.toml"))
        _move_in(place, folder, version, new)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move_in(place: Shelf, folder: Path, version: str, new: bool) -> None:
    """Rename into place. model.toml goes first: with more categories it fits old versions too."""
    try:
        if new:
            folder.rename(place.folder)
            return
        if (folder / "model.toml").read_bytes() != _bytes(place.toml):
            os.replace(folder / "model.toml", place.toml)
        (folder / version).rename(place.folder / version)
    except OSError as exc:
        raise ConvertError(
            f"{place.folder}/{version} appeared while it was being added: nothing is overwritten, "
            "add it again"
        ) from exc


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def remove(models: Path, name: str, version: str | None = None) -> list[str]:
    """Remove a model, or one version of several; the versions removed. Raises ModelError."""
    place = shelf(models, name)
    versions = place.versions
    if not versions:
        raise ModelError(f"no model {name!r} in {models}")
    if version is not None and version not in versions:
        raise ModelError(f"{name} has no version {version!r}: it has {', '.join(versions)}")
    if version is not None and len(versions) == 1:
        raise ModelError(
            f"{version} is the only version of {name}: to remove the model with its model.toml, "
            f"nnlet remove {name}"
        )
    gone = place.folder if version is None else place.folder / version
    # Renamed first: half a model is never in the repository.
    beside = Path(tempfile.mkdtemp(prefix=f".remove-{name}-", dir=models))
    gone.rename(beside / gone.name)
    shutil.rmtree(beside)
    return versions if version is None else [version]


def _grown(place: Shelf, converted: Converted) -> str:
    """The model.toml that is there, with the categories that are new. Raises ConvertError."""
    spec = place.newest()
    assert spec is not None
    text = place.toml.read_text(encoding="utf-8") if place.toml.exists() else ""
    _require_same_tensors(place, spec, converted)
    if not spec.columns and not spec.answer:
        return "\n\n".join(
            [
                *([text.rstrip()] if text.strip() else []),
                *modeltoml.columns_and_answer(converted.columns, converted.answer),
                "",
            ]
        )
    _require_same(place, spec, converted)
    had = {column.name: column for column in spec.columns}
    for column in converted.columns:
        if column.categories != had[column.name].categories:
            text = _with_categories(place.toml, text, column)
    return text


def _require_same_tensors(place: Shelf, spec: ModelSpec, converted: Converted) -> None:
    """A version has the inputs and outputs of the others by name: examples are for all."""
    graph = converted.proto.graph
    for what, had, given in (
        ("inputs", spec.inputs, graph.input),
        ("outputs", spec.outputs, graph.output),
    ):
        names, found = [t.name for t in had], [v.name for v in given]
        if names != found:
            raise _differs(place, what, ", ".join(names), ", ".join(found))


def _require_same(place: Shelf, spec: ModelSpec, converted: Converted) -> None:
    """Columns as they are, but for more categories; answers as they are."""
    had, given = [_kept(c) for c in spec.columns], [_kept(c) for c in converted.columns]
    if had != given:
        told = _first_difference(had, given)
        raise _differs(place, "columns", *told)
    by_name = {column.name: column for column in spec.columns}
    for column in converted.columns:
        listed = by_name[column.name].categories
        if column.categories[: len(listed)] != listed:
            raise _differs(
                place,
                f"categories of {column.name}",
                str(list(listed)),
                str(list(column.categories)),
            )
    if spec.answer != converted.answer:
        told = _first_difference(list(spec.answer), list(converted.answer))
        raise _differs(place, "answer", *told)


def _kept(column: ColumnSpec) -> ColumnSpec:
    """What must stay as it is; the rest may be edited, or grow."""
    return replace(column, range=None, missing=None, unknown="", categories=())


Spec = ColumnSpec | AnswerSpec


def _first_difference(had: list[Any], given: list[Any]) -> tuple[str, str]:
    for a, b in zip(had, given, strict=False):
        if a != b:
            return _told(a), _told(b)
    return f"{len(had)} of them", f"{len(given)}"


def _told(spec: Spec) -> str:
    if isinstance(spec, ColumnSpec):
        return f"{spec.name} ({spec.type} into {spec.input}[{spec.position}])"
    classes = f" {list(spec.classes or spec.names)}" if spec.classes or spec.names else ""
    return f"{spec.name} ({spec.kind}{classes} from {spec.output})"


def _differs(place: Shelf, what: str, had: str, given: str) -> ConvertError:
    return ConvertError(
        f"version {place.next_version} of {place.name} has other {what} than "
        f"version {place.versions[-1]}: {given}, where {place.toml} says {had}. All versions of a "
        f"model share its model.toml: add it under another name, or remove {place.name} first"
    )


def _with_categories(path: Path, text: str, column: ColumnSpec) -> str:
    """The text of a model.toml with another list of categories for one column.

    Comments and layout of all else stay. Raises ConvertError where the list is not found.
    """
    line = f"categories = {modeltoml.value(list(column.categories))}"
    tables = re.split(r"(?m)^(?=\s*\[)", text)
    name = re.compile(rf"(?m)^\s*name\s*=\s*{re.escape(modeltoml.value(column.name))}\s*(#.*)?$")
    for n, table in enumerate(tables):
        if table.lstrip().startswith("[[columns]]") and name.search(table):
            # A list of strings on one line, as `add` writes it.
            tables[n] = re.sub(r"(?m)^categories\s*=\s*\[.*\]", lambda _: line, table)
    changed = "".join(tables)
    for row in tomllib.loads(changed).get("columns", ()):
        if row["name"] == column.name and tuple(row.get("categories", ())) == column.categories:
            return changed
    raise ConvertError(
        f"{path}: column {column.name!r} has new categories, and its list could not be edited: "
        f"write it as\n{line}\nand add the model again"
    )
