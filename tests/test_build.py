"""What a build makes, and what it leaves alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import add_model
from test_mend import RUNTIME, component

from nnlet import build as module
from nnlet.build import Report, Served, build_function, build_graphs, precompiled, silent
from nnlet.errors import BuildError, ModelError, NnletError, ToolMissing
from nnlet.host import Wasmtime, find_wasmtime
from nnlet.mend import mend
from nnlet.project import Project, find_project

READ = "Reading the models"
COMPONENT = "Compiling app.py to a component"
MACHINE_CODE = "Compiling the component to machine code"
GRAPHS = "Preparing the models for OpenVINO"


def build(project: Project, tool: Wasmtime, report: Report = silent) -> tuple[Served, Path]:
    """What the host provider needs: the function, its machine code, and the graphs."""
    served = precompiled(project, build_function(project, report), tool, report)
    return served, build_graphs(project, report)


class Steps:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.names.append(name)
        yield

    def taken(self) -> list[str]:
        """The steps since the last call."""
        names, self.names = self.names, []
        return names


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def tool(fake_wasmtime: Callable[..., Path]) -> Wasmtime:
    return find_wasmtime(fake_wasmtime())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """componentize-py takes seconds; here it writes a file at once."""
    monkeypatch.setattr(module, "_componentize", lambda project, path: path.write_text("wasm"))


@pytest.mark.usefixtures("quick")
def test_only_what_has_changed_is_made_again(
    project: Project, tool: Wasmtime, steps: Steps
) -> None:
    def built() -> list[str]:
        build(project, tool, steps)
        return steps.taken()

    assert built() == [READ, COMPONENT, MACHINE_CODE, GRAPHS]
    assert built() == []
    project.app.write_text(project.app.read_text() + "# a comment\n")
    assert built() == [COMPONENT, MACHINE_CODE]
    (project.root / "helper.py").write_text("")
    assert built() == [COMPONENT, MACHINE_CODE]
    add_model(project.models, "triple")
    assert built() == [READ, COMPONENT, MACHINE_CODE, GRAPHS]
    (project.models / "double" / "model.toml").write_text('description = "Other."')
    assert built() == [READ, COMPONENT, MACHINE_CODE, GRAPHS]
    (project.build / "app.cwasm").unlink()
    assert built() == [MACHINE_CODE]
    (project.root / "README.md").write_text("no source")
    assert built() == []


@pytest.mark.usefixtures("quick")
def test_another_wasmtime_needs_machine_code_of_its_own(
    project: Project, tool: Wasmtime, steps: Steps, fake_wasmtime: Callable[..., Path]
) -> None:
    build(project, tool)
    build(project, find_wasmtime(fake_wasmtime("50.0.0", "newer")), steps)
    assert steps.taken() == [MACHINE_CODE]


def test_a_step_that_failed_is_taken_again(
    project: Project, tool: Wasmtime, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(project: Project, path: Path) -> None:
        path.write_text("half")
        raise BuildError("no luck")

    monkeypatch.setattr(module, "_componentize", fail)
    for _ in range(2):
        with pytest.raises(BuildError, match="no luck"):
            build(project, tool, steps)
    assert steps.taken() == [READ, COMPONENT, COMPONENT]


@pytest.mark.usefixtures("quick")
def test_the_products_are_where_they_are_said_to_be(project: Project, tool: Wasmtime) -> None:
    served, graphs = build(project, tool)
    assert served.component.path == project.build / "app.wasm"
    assert served.component.size == 4
    assert served.precompiled.read_text() == "machine code"
    assert [path.name for path in graphs.iterdir()] == ["double@1"]
    assert not list(project.build.glob(".new-*"))


@pytest.mark.usefixtures("quick")
def test_a_broken_model_is_one_clear_line(project: Project, tool: Wasmtime) -> None:
    path = project.models / "double" / "1" / "model.onnx"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match=f"{path}: not a readable ONNX file"):
        build(project, tool)
    (project.models / "double" / "model.toml").write_text("labels = [")
    path.unlink()
    with pytest.raises(ModelError, match=r"double/model\.toml: not valid TOML"):
        build(project, tool)


def test_a_project_without_models_says_what_is_expected(tmp_path: Path, tool: Wasmtime) -> None:
    with pytest.raises(ModelError, match="expected models/NAME/VERSION/model.onnx"):
        build(Project(tmp_path), tool)


def test_an_app_that_does_not_load_is_named_with_line_and_reason(
    project: Project, tool: Wasmtime
) -> None:
    """With the real componentize-py."""
    project.app.write_text("\nimport nosuch\n")
    with pytest.raises(
        BuildError, match=r"app\.py, line 2: ModuleNotFoundError: No module named 'nosuch'"
    ):
        build(project, tool)
    assert "nosuch" in (project.build / "componentize.log").read_text()


SYNTAX_ERROR = """\
Traceback (most recent call last):
  File "/venv/bin/componentize-py", line 8, in <module>
AssertionError: Traceback (most recent call last):
  File "/1/nnlet/guest/http.py", line 18, in <module>
    from app import app
  File "/0/app.py", line 7
    x = (
        ^
SyntaxError: '(' was never closed


Caused by:
    SyntaxError: '(' was never closed (app.py, line 7)
"""


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (SYNTAX_ERROR, "app.py, line 7: SyntaxError: '(' was never closed (app.py, line 7)"),
        ("error: no such option", "error: no such option"),
        ("", "it said nothing"),
    ],
)
def test_componentize_pys_output_becomes_one_line(project: Project, output: str, line: str) -> None:
    expected = f"app.py did not become a component: {line} (the whole log is "
    assert module._complaint(project, output).startswith(expected)


def test_a_missing_tool_says_what_installs_it(
    project: Project, tool: Wasmtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolMissing, match=r"run \./build\.sh, which installs componentize-py"):
        build(project, tool)


def test_the_project_is_found_from_a_folder_in_it(project: Project, tmp_path: Path) -> None:
    assert find_project(project.models / "double") == project
    assert find_project(project.root) == project
    with pytest.raises(NnletError, match="nnlet runs in a folder with app.py and models/"):
        find_project(tmp_path)


def test_build_sh_is_valid_bash() -> None:
    root = Path(__file__).parent.parent
    for script in (root / "build.sh", root / ".ci" / "run", root / "requirements" / "lock.sh"):
        subprocess.run(["bash", "-n", script], check=True)


def test_a_component_that_cannot_be_improved_is_built_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = component(RUNTIME)  # no interpreter in it, but what mend.py looks for
    assert module._finished(made) == mend(made)
    warnings = [record.getMessage() for record in caplog.records]
    for expected in ("0 modules of the component have memory", "cannot be linked"):
        (warning,) = (text for text in warnings if expected in text)
        assert warning.startswith("the function works, but is larger and slower to start")
