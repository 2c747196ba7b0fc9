"""`nnlet new` and Spin's template make one project, and it works."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import nnlet
from nnlet import new as module
from nnlet.errors import NnletError
from nnlet.new import installed_from, new_project, render

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "templates" / "nnlet"
METADATA = tomllib.loads((TEMPLATE / "metadata" / "spin-template.toml").read_text())


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """nnlet as pip installs it: its wheel, unpacked."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "installed")
    return tmp_path / "installed"


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with that nnlet and no other, in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_new_project_is_built_served_and_asked(wheel: Path, tmp_path: Path) -> None:
    made = run(wheel, tmp_path, "-m", "nnlet", "new", "my-function")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines()[-1] == "next: cd my-function && bash build.sh up"
    folder = tmp_path / "my-function"
    assert (folder / "requirements.txt").read_text() == f"nnlet=={nnlet.__version__}\n"
    # Its own test does all of it, and `bash build.sh test` runs that.
    tested = run(wheel, folder, "-m", "unittest", "discover", "-s", "tests")
    assert tested.returncode == 0, tested.stderr
    assert "Ran 2 tests" in tested.stderr
    assert (folder / "build" / "function.wasm").exists()


def test_the_name_is_in_it_and_no_placeholder_is_left(tmp_path: Path) -> None:
    made = new_project("my-function", tmp_path / "made", "nnlet==9")
    texts = {p.relative_to(tmp_path / "made"): p.read_bytes() for p in made}
    assert {str(path) for path in texts} == {
        *(".gitignore", "README.md", "app.py", "build.sh", "requirements.txt", "spin.toml"),
        *("models/iris/1/model.onnx", "models/iris/model.toml", "tests/test_app.py"),
    }
    assert not [path for path, text in texts.items() if b"{{" in text]
    named = {str(path) for path, text in texts.items() if b"my-function" in text}
    assert named == {"README.md", "app.py", "spin.toml", "tests/test_app.py"}
    assert texts[Path("requirements.txt")] == b"nnlet==9\n"
    assert os.access(tmp_path / "made" / "build.sh", os.X_OK)


def test_its_build_sh_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", TEMPLATE / "content" / "build.sh"], check=True)


def test_its_model_is_the_one_that_ships() -> None:
    for name in ("model.toml", "1/model.onnx"):
        ours = ROOT / "models" / "iris" / name
        assert (TEMPLATE / "content" / "models" / "iris" / name).read_bytes() == ours.read_bytes()


@pytest.mark.parametrize("name", ["f", "my-function", "v2", "a1-b2"])
def test_a_name_that_spin_takes_as_it_is(name: str, tmp_path: Path) -> None:
    assert new_project(name, tmp_path / name)


@pytest.mark.parametrize(
    "name", ["", "My-Function", "my_function", "2d", "my-2d", "a--b", "-a", "a-", "a b", "é", "a/b"]
)
def test_another_name_is_refused_and_nothing_is_made(name: str, tmp_path: Path) -> None:
    with pytest.raises(NnletError, match="is no name for a function: .* as in my-function"):
        new_project(name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine")
    with pytest.raises(NnletError, match="is not empty: name another function"):
        new_project("my-function", tmp_path)
    with pytest.raises(NnletError, match="is not empty"):
        new_project("my-function", tmp_path / "app.py")
    assert (tmp_path / "app.py").read_text() == "mine"


def test_what_is_no_text_stays_as_it_is() -> None:
    assert render(b"\xff{{project-name}}", {}) == b"\xff{{project-name}}"
    values = {"project-name": "f"}
    assert render(b"{{ project-name }} {{project-name | kebab_case}}", values) == b"f f"


# Where the new project's nnlet comes from


def test_sources_are_named_by_their_folder() -> None:
    assert installed_from() == f"nnlet @ {ROOT.as_uri()}"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("told", "requirement"),
    [
        (None, f"nnlet=={nnlet.__version__}"),
        ({"url": "file:///src/nnlet", "dir_info": {}}, "nnlet @ file:///src/nnlet"),
        (
            {"url": "https://example.com/n.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"nnlet @ git+https://example.com/n.git@{COMMIT}",
        ),
    ],
    ids=["release", "folder", "git"],
)
def test_what_pip_installed_is_named_as_pip_was_told(
    told: dict[str, Any] | None, requirement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nnlet-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: nnlet\nVersion: 0.1.0\n")
    if told:
        (folder / "direct_url.json").write_text(json.dumps(told))
    distribution = importlib.metadata.PathDistribution(folder)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "site-packages" / "nnlet")
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
    assert installed_from() == requirement


# Spin's side of the template


def test_the_templates_metadata_is_in_spins_format() -> None:
    schema = json.loads((ROOT / "tests" / "data" / "spin-template.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(METADATA)
    assert METADATA["parameters"]["nnlet"]["default"] == f"nnlet=={nnlet.__version__}"
    assert METADATA["parameters"]["project-description"]["default"] == module.DESCRIPTION
    add = METADATA["add_component"]
    assert (TEMPLATE / "metadata" / "snippets" / add["snippets"]["component"]).is_file()
    assert all((TEMPLATE / "content" / name).is_file() for name in add["skip_files"])


def test_the_template_asks_spin_for_what_it_knows() -> None:
    # What Spin gives besides the parameters: crates/templates/src/run.rs. Liquid has tags, too.
    known = {"project-name", "output-path", "authors", "username", *METADATA["parameters"]}
    for path in TEMPLATE.rglob("*"):
        text = path.read_text(encoding="utf-8", errors="ignore") if path.is_file() else ""
        for found in re.findall(r"\{\{(.*?)\}\}", text):
            name, bar, asked = map(str.strip, found.partition("|"))
            assert name in known
            assert asked == ("kebab_case" if bar else "")
        assert "{%" not in text
