"""New: a project of one's own, from the template that `spin new` reads, too.

templates/nnlet is in Spin's format. Spin puts values into it with Liquid; of that, the template
uses names in double braces and one filter, which is all that is understood here.
See docs/decisions/0012-one-template.md.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import nnlet
from nnlet.errors import NnletError
from nnlet.project import PACKAGE, shipped

# Spin takes more (words that begin with a letter, joined by anything), but names a component in
# kebab case, so only what stays as it is typed is a name here.
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")

_PLACEHOLDER = re.compile(r"\{\{\s*([a-z-]+)\s*(?:\|\s*kebab_case\s*)?\}\}")

DESCRIPTION = "A machine-learning model behind HTTP, without a server"


def new_project(name: str, folder: Path, requirement: str | None = None) -> list[Path]:
    """Make the project `name` in `folder`, which must not exist or be empty; the files made.

    `requirement` is where its nnlet comes from, `installed_from()` by default. Raises NnletError
    where the name or the folder is no good.
    """
    if not NAME.fullmatch(name):
        raise NnletError(
            f"{name!r} is no name for a function: expected lower-case words that each begin with "
            "a letter, joined by hyphens, as in my-function"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NnletError(f"{folder} is not empty: name another function, or remove it first")
    values = {
        "project-name": name,
        "project-description": DESCRIPTION,
        "nnlet": requirement or installed_from(),
    }
    content = shipped("templates") / "nnlet" / "content"
    made = []
    for source in sorted(path for path in content.rglob("*") if path.is_file()):
        path = folder / source.relative_to(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(render(source.read_bytes(), values))
        shutil.copymode(source, path)
        made.append(path)
    return made


def render(content: bytes, values: Mapping[str, str]) -> bytes:
    """A file of the template with `values` in it. What is no text stays as it is."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], text).encode("utf-8")


def installed_from() -> str:
    """The requirement that gives a project the nnlet that runs now.

    A release is named by its version. Anything else is named by where it lies: a folder of
    sources, or what pip was told (direct_url.json: packaging.python.org, Direct URL).
    """
    if (PACKAGE.parent / "pyproject.toml").is_file():
        return f"nnlet @ {PACKAGE.parent.as_uri()}"
    try:
        told = importlib.metadata.distribution("nnlet").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        told = None
    if told is None:
        return f"nnlet=={nnlet.__version__}"
    origin = json.loads(told)
    vcs = origin.get("vcs_info")
    if vcs:
        return f"nnlet @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    return f"nnlet @ {origin['url']}"
