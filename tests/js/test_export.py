"""`nnlet export js`: what it writes, what that weighs, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import add_model

from js.conftest import ROOT, exported
from js.hosts import find_node
from nnlet.export.js import FLAVOURS, export_js, imported

MOST_WASM = 40_000  # bytes beyond weights, for digits
MOST_JAVASCRIPT = 60_000  # bytes, compressed


def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`nnlet export js`, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "nnlet", "export", "js", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def program(folder: Path, name: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an expected failure."""
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_digits_are_a_small_download(tmp_path: Path) -> None:
    find_node()
    done = run("models", "-o", str(tmp_path / "js"), "--only", "digits", "--json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["models"] == ["digits"] and list(made["wasm"]) == list(FLAVOURS)
    for size in made["wasm"].values():
        assert size["raw"] - made["weights"] <= MOST_WASM
    assert made["javascript"]["gzip"] <= MOST_JAVASCRIPT
    files = imported(tmp_path / "js" / "browser.js")
    assert made["javascript"]["raw"] == sum(path.stat().st_size for path in files)


def test_one_flavour_alone_is_named_nowhere_else(tmp_path: Path) -> None:
    find_node()
    done = run("models", "-o", "js", "--flavour", "simd128", cwd=copy_models(tmp_path))
    assert done.returncode == 0, done.stderr
    texts = [p for p in (tmp_path / "js").rglob("*") if p.suffix in (".js", ".capnp")]
    assert not [path for path in texts if "models.relaxed" in path.read_text()]
    assert not (tmp_path / "js" / "models.relaxed.wasm").exists()
    assert "WebAssembly, simd128" in done.stdout and "relaxed" not in done.stdout


def copy_models(folder: Path) -> Path:
    add_model(folder / "models", "double")
    return folder


def test_an_export_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    models = copy_models(tmp_path) / "models"
    folder = exported(models, tmp_path / "js").folder
    (folder / "old.js").touch()
    add_model(models, "treble")
    exported(models, folder)
    assert not (folder / "old.js").exists()
    assert '"treble"' in (folder / "models.js").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_versions_of_a_model_are_all_there(tmp_path: Path) -> None:
    models = copy_models(tmp_path) / "models"
    add_model(models, "double", version="2", size=6)
    made = exported(models, tmp_path / "js")
    assert made.models == ("double",)
    assert (made.folder / "models.js").read_text().count('"name": "double"') == 2
    assert (made.folder / "index.d.ts").read_text().count('"double": Model<') == 1


# What goes wrong


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    words = complaint(run("models", "-o", "mine", cwd=copy_models(tmp_path)))
    assert words == "Error: mine holds something else than an export: name a new folder with -o"
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_place_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    find_node()
    (tmp_path / "file").touch()
    words = complaint(run("models", "-o", "file/js", cwd=copy_models(tmp_path)))
    assert words == "Error: cannot write file/js: File exists: name another with -o"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "x"], "no model 'x' in models: there is double"),
        (["--name", "My Models"], "'My Models' is no npm package name: expected lower case"),
        (["--version", "1"], "'1' is no npm version: expected one such as 1.0.0"),
    ],
)
def test_a_wrong_option_is_an_error_in_words(
    tmp_path: Path, options: list[str], words: str
) -> None:
    found = complaint(run("models", "-o", "js", *options, cwd=copy_models(tmp_path)))
    assert found.startswith(f"Error: {words}")


GET = "get it at https://nodejs.org/en/download; Debian 13 has it as nodejs and npm"
NEEDS = f"this needs Node 20.0.0 or newer; {GET}"


def test_without_node_it_is_said_which_and_how(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = run("models", "-o", "js", cwd=copy_models(tmp_path), PATH=str(tmp_path / "bin"))
    assert complaint(done) == f"Error: no node on PATH: {NEEDS}"
    assert not (tmp_path / "js").exists()


def test_an_old_node_is_named(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v18.20.4")
    done = run("models", "-o", "js", cwd=copy_models(tmp_path), PATH=str(tmp_path / "bin"))
    assert complaint(done) == f"Error: {tmp_path}/bin/node is Node 18.20.4: {NEEDS}"


def test_without_npm_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v22.1.0")
    paths = {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    found = complaint(run("models", "-o", "js", cwd=shared_c(tmp_path), **paths))
    assert found == f"Error: no npm on PATH: this needs npm 9.0.0 or newer; {GET}"


FAILING_NPM = """
if [ "$1" = --version ]; then echo 10.9.0; exit; fi
echo 'npm error network is unreachable' >&2
exit 1
"""


def test_an_npm_that_fails_is_quoted(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node", "echo v22.1.0")
    program(tmp_path / "bin", "npm", FAILING_NPM)
    paths = {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run("models", "-o", "js", cwd=shared_c(tmp_path), **paths)
    found = complaint(done)
    assert found.startswith("Error: npm could not install @bytecodealliance/jco-transpile@")
    assert "npm error network is unreachable: this needs a network the first time" in found
    assert "Installing @bytecodealliance/jco-transpile" in done.stderr
    assert list((tmp_path / "cache" / "nnlet" / "npm").iterdir()) == []


def shared_c(folder: Path) -> Path:
    """A project whose cache has the C that was compiled before, and nothing from npm."""
    from nnlet.zig import cache_folder

    copy_models(folder)
    cache = folder / "cache" / "nnlet"
    cache.mkdir(parents=True)
    for name in ("c", "zig"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(cache_folder() / name)
    return folder


def test_a_flavour_is_compared_with_onnxruntime_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnlet.errors import VerifyError
    from nnlet.verify import Report

    def disagree(report: Report) -> None:
        raise VerifyError("they disagree")

    monkeypatch.setattr(Report, "require", disagree)
    models = copy_models(tmp_path) / "models"
    with pytest.raises(VerifyError, match="they disagree"):
        export_js(models, tmp_path / "js")
    assert not (tmp_path / "js").exists()
