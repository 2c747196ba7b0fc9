"""The command line: exit codes, what goes where, and one line for an expected failure."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import nnlet
from nnlet import cli
from nnlet.build import WORLDS, Component, silent
from nnlet.client import Client
from nnlet.dev import DevServer
from nnlet.host import find_wasmtime, free_port
from nnlet.project import Project
from nnlet.serving import PROVIDERS
from nnlet.targets import TARGETS, Target

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(nnlet.__file__).parent.parent)}


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "nnlet", *words],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", list(cli.app.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli.app, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: nnlet {name}" in result.output


def test_help_and_version(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for name in cli.app.commands:
        assert f"\n  {name} " in shown.stdout
    assert run("--version", cwd=tmp_path).stdout == f"nnlet {nnlet.__version__}\n"


@pytest.mark.parametrize("words", [("nothing",), ("up", "--port", "x"), ("infer",)])
def test_misuse_is_exit_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    shown = run(*words, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "Usage: nnlet" in shown.stderr


def test_an_expected_failure_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    shown = run("build", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.splitlines() == [
        f"Error: no project at {tmp_path} or above it: nnlet runs in a folder with app.py and "
        "models/"
    ]


def test_a_broken_model_is_one_line_too(project: Project) -> None:
    path = project.models / "double" / "1" / "model.onnx"
    path.write_bytes(b"\xff" * 100)
    shown = run("models", cwd=project.root)
    assert shown.returncode == 1
    assert shown.stderr.splitlines()[-1].startswith(f"Error: {path}: not a readable ONNX file")
    assert "Traceback" not in shown.stderr


def test_models_are_listed_for_people_and_for_scripts(project: Project) -> None:
    shown = run("models", cwd=project.models)
    assert shown.returncode == 0
    head, row = shown.stdout.splitlines()
    assert head.split() == [
        *("model", "version", "bytes", "digest", "changed", "inputs", "outputs"),
    ]
    name, version, size, digest, changed, *tensors = row.split()
    assert (name, version, " ".join(tensors)) == ("double", "1", "x FP32 [?, 4] y FP32 [?, 4]")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", changed)
    file = (project.models / "double" / "1" / "model.onnx").read_bytes()
    assert (int(size), digest) == (len(file), hashlib.sha256(file).hexdigest()[:12])
    (model,) = json.loads(run("models", "--json", cwd=project.root).stdout)
    assert model["description"] == "Twice as much."
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_infer_sends_the_example_and_prints_labels(dev_server: DevServer, project: Project) -> None:
    shown = run("infer", "double", "--url", dev_server.url, cwd=project.root)
    assert shown.returncode == 0, shown.stderr
    title, head, *rows = (line.split() for line in shown.stdout.splitlines())
    assert title == ["y", "FP32", "[1,", "4]"]
    assert head == ["label", "score"]
    assert rows == [["ash", "2"], ["beech", "4"], ["cedar", "6"], ["date", "8"]]


def test_infer_sends_a_file_and_prints_json(
    dev_server: DevServer, project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[[1, 0, 0, 0], [0, 2, 0, 0]]")
    words = ("infer", "double", "--url", dev_server.url, "--input", str(path), "--json")
    shown = run(*words, cwd=project.root)
    (output,) = json.loads(shown.stdout)["outputs"]
    assert output == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2, 4],
        "data": [2, 0, 0, 0, 0, 4, 0, 0],
    }


def test_infer_needs_an_input_where_there_is_no_example(
    dev_server: DevServer, tmp_path: Path
) -> None:
    shown = run("infer", "double", "--url", dev_server.url, cwd=tmp_path)
    assert shown.returncode == 1
    assert shown.stderr == "Error: no example for double here: name a file with --input\n"


def test_a_chart_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    project: Project,
) -> None:
    shown = run("bench", "--chart", "chart.gif", cwd=project.root)
    assert shown.returncode == 2
    assert "chart.gif: expected a name that ends in .svg, .png or .pdf" in shown.stderr


@pytest.fixture
def quick_up(
    project: Project, fake_wasmtime: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The command `up` on a wasmtime that is none, with the component made already."""
    monkeypatch.setattr("nnlet.build._componentize", lambda project, path: path.write_text("wasm"))
    tool = fake_wasmtime()
    PROVIDERS["host"](project, find_wasmtime(tool), silent)
    words = ["up", "--json", "--provider", "host", "--port", str(free_port())]
    words += ["--wasmtime", str(tool)]
    return [sys.executable, "-m", "nnlet", *words]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_serves_until_it_is_told_to_stop(
    quick_up: list[str], project: Project, number: signal.Signals
) -> None:
    with _start(quick_up, project) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        second = subprocess.run(
            quick_up, cwd=project.root, env=ENVIRONMENT, capture_output=True, text=True
        )
        process.send_signal(number)
        assert process.wait(60) == 0
    assert second.returncode == 1
    assert second.stderr.startswith(f"Error: cannot listen on {url.removeprefix('http://')}: ")
    with Client(url) as client, pytest.raises(OSError):
        client.status("/v2")


def test_up_ends_with_the_servers_last_words_when_it_dies(
    quick_up: list[str], project: Project
) -> None:
    with _start(quick_up, project) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["url"]
        with Client(url) as client:
            client.status("/die")
        assert process.wait(60) == 1
        error = process.stderr.read().splitlines()[-1]
    assert error.startswith("Error: the server ended by itself with exit code 3: ")
    assert "GET /die" in error


def _start(command: list[str], project: Project) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_build_offers_every_world() -> None:
    (world, *_) = cli.app.commands["build"].params
    assert list(world.type.choices) == list(WORLDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["build", "up"])
def test_every_target_is_offered_where_a_function_is_built(command: str) -> None:
    options = {option.name: option for option in cli.app.commands[command].params}
    wasi = options["wasi"]
    assert list(wasi.type.choices) == list(TARGETS)  # type: ignore[attr-defined]
    assert wasi.default == "p2"


def test_build_says_what_it_made_for_a_target_and_how_to_serve_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Target] = []

    def build_composed(project: Project, report: object, target: Target) -> Component:
        asked.append(target)
        path = project.build / f"function{target.suffix}.wasm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(2_500_000))
        return Component(path, "key")

    monkeypatch.setattr("nnlet.serving.build_composed", build_composed)
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(cli.app, ["build", "--wasi", "p3"], catch_exceptions=False)
    assert result.exit_code == 0
    made, following = result.output.splitlines()
    assert re.fullmatch(r"build/function-p3\.wasm +2\.5 MB", made)
    assert following == "next: ./build.sh up --wasi p3"
    assert asked == [TARGETS["p3"]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("build", "--world", "spin-app", "--wasi", "p3"), "--world spin-app is for --wasi p2"),
        (("build", "--wasi", "p1"), "'p1' is not one of 'p2', 'p3'"),
    ],
)
def test_a_target_that_cannot_be_is_misuse(
    project: Project, words: tuple[str, ...], reason: str
) -> None:
    shown = run(*words, cwd=project.root)
    assert shown.returncode == 2
    assert reason in shown.stderr


def test_a_model_is_added_listed_and_removed(project: Project, tmp_path: Path) -> None:
    file = project.models / "double" / "1" / "model.onnx"
    added = run("add", "twice", str(file), "--json", cwd=project.root)
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["version"] == "1"
    listed = run("models", "--json", cwd=project.root)
    (found,) = [m for m in json.loads(listed.stdout) if m["name"] == "twice"]
    assert (found["bytes"], len(found["digest"])) == (json.loads(added.stdout)["bytes"], 64)
    removed = run("remove", "twice", cwd=project.root)
    assert (removed.returncode, removed.stdout.splitlines()[0]) == (0, "removed twice/1")
    assert not (project.models / "twice").exists()
