"""`nnlet deploy` prints and runs the commands of a host's own tools, or says which to get."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner
from e2e.servers import ROOT

from nnlet import cli, deploy
from nnlet.build import Component
from nnlet.deploy import AKA, EXAMPLE, KUBECTL, KUBERNETES, TARGETS, image, plan
from nnlet.errors import DeployError, HostError, ToolMissing
from nnlet.host import Address, free_port
from nnlet.project import Project
from nnlet.spin import SPIN, serve_spin
from nnlet.tool import Tool

IMAGE = "registry.example.org/me/nnlet:1.0.0"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(tools: Path, name: str, says: dict[str, str], code: int = 0) -> None:
    """A program `name` that answers words with what `says` has, and is called with any others."""
    calls = str(tools / "calls")
    branches = "".join(
        f"if sys.argv[1:] == {words.split()!r}: print({text!r}); sys.exit()\n"
        for words, text in says.items()
    )
    path = tools / name
    path.write_text(
        f"#!{sys.executable} -S\nimport os, sys\n{branches}"
        f'with open({calls!r}, "a") as calls: print({name!r}, *sys.argv[1:], file=calls)\n'
        f"sys.exit({code})\n"
    )
    path.chmod(0o755)


def install_spin(tools: Path, version: str = "4.2.1", code: int = 0) -> None:
    says = {
        "--version": f"spin {version} (0123abc 2026-10-01)",
        "aka --version": "spin-aka 0.7.0 (887b0b3 2026-03-20)",
    }
    install(tools, "spin", says, code)


@pytest.fixture
def deployable(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with both manifests, whose component is taken as built."""
    shutil.copy(ROOT / "spin.toml", project.root)
    (project.root / "kubernetes").mkdir()
    text = (ROOT / KUBERNETES).read_text()
    named = re.sub(r"image: .*", f"image: {IMAGE}", text)
    (project.root / KUBERNETES).write_text(named)
    component = project.root / "function.wasm"
    component.write_bytes(b"component")
    monkeypatch.setattr(cli, "_stop_on_termination", lambda: None)  # it is for a process of its own
    monkeypatch.setattr(deploy, "build_composed", lambda *_: Component(component, "key"))
    monkeypatch.chdir(project.root)
    return project


COMMANDS = {
    "spin": ["spin up"],
    "akamai": ["spin aka deploy"],
    "spinkube": [f"spin registry push {IMAGE}", f"kubectl apply --filename {KUBERNETES}"],
}


def invoke(*words: str) -> tuple[int, list[str]]:
    """Exit code and output of `nnlet deploy`, an expected failure raised."""
    result = CliRunner().invoke(cli.app, ["deploy", *words], catch_exceptions=False)
    return result.exit_code, result.stdout.splitlines()


def test_the_command_line_offers_every_target() -> None:
    (target, *_) = cli.app.commands["deploy"].params
    assert list(target.type.choices) == list(TARGETS) == list(COMMANDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_prints_the_commands_and_needs_no_tool(
    target: str, deployable: Project, tools: Path
) -> None:
    assert invoke(target, "--dry-run") == (0, [f"$ {line}" for line in COMMANDS[target]])


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_printed_is_run(target: str, deployable: Project, tools: Path) -> None:
    install_spin(tools)
    install(tools, "kubectl", {"version --client": "Client Version: v1.32.4\nKustomize: v5"})
    assert invoke(target) == (0, [f"$ {line}" for line in COMMANDS[target]])
    assert (tools / "calls").read_text().splitlines() == COMMANDS[target]


def test_more_words_go_to_the_last_command(deployable: Project, tools: Path) -> None:
    install_spin(tools)
    assert invoke("akamai", "--create-name", "digits", "--no-confirm")[0] == 0
    assert (tools / "calls").read_text() == "spin aka deploy --create-name digits --no-confirm\n"


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_tool_is_named_with_its_version_and_how_to_get_it(
    target: str, deployable: Project, tools: Path
) -> None:
    with pytest.raises(ToolMissing) as raised:
        invoke(target)
    assert str(raised.value) == (
        "no spin on PATH: this needs Spin 3.5.0 or newer; get it at "
        "https://spinframework.dev/install"
    )


def test_a_missing_tool_is_one_line_and_exit_code_1(deployable: Project, tools: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nnlet", "deploy", "spin"],
        cwd=deployable.root,
        env={"PATH": str(tools), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "$ spin up\n")
    assert done.stderr.startswith("Error: no spin on PATH: this needs Spin 3.5.0 or newer")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("tool", "program", "says", "complaint"),
    [
        (
            SPIN,
            "spin",
            "spin 3.4.1 (a 2025-08-27)",
            "is Spin 3.4.1: this needs Spin 3.5.0 or newer",
        ),
        # A model checker, and a tool for scientific Python libraries.
        (SPIN, "spin", "Spin Version 6.5.2 -- 6 December 2019", "does not say that it is Spin"),
        (SPIN, "spin", "spin, version 0.19", "does not say that it is Spin"),
        (AKA, "spin", "spin-aka 0.4.0 (d0e9cc8 2025-05-22)", "is the aka plugin of Spin 0.4.0"),
        (AKA, "spin", "", "get it with `spin plugins update && spin plugins install aka`"),
        (KUBECTL, "kubectl", "Client Version: v1.22.17", "is kubectl 1.22.17: this needs kubectl"),
    ],
)
def test_another_program_or_an_old_one_is_refused(
    tools: Path, tool: Tool, program: str, says: str, complaint: str
) -> None:
    install(tools, program, {" ".join(tool.asks[1:]): says})
    with pytest.raises(ToolMissing) as raised:
        tool.require()
    assert complaint in str(raised.value)
    assert tool.get in str(raised.value)


@pytest.mark.parametrize("said", ["spin 3.5.0 (a)", "spin 4.0.0-pre (b)", "spin 10.0.1"])
def test_a_spin_that_is_new_enough_is_taken(tools: Path, said: str) -> None:
    install(tools, "spin", {"--version": said})
    assert SPIN.require() >= (3, 5, 0)


def test_a_program_that_does_not_run_is_none(tools: Path) -> None:
    (tools / "spin").write_bytes(b"\x7fELF")
    (tools / "spin").chmod(0o755)
    with pytest.raises(ToolMissing, match="spin does not run"):
        SPIN.require()


def test_a_command_that_fails_ends_it(deployable: Project, tools: Path) -> None:
    install_spin(tools, code=3)
    install(tools, "kubectl", {"version --client": "Client Version: v1.32.4"})
    with pytest.raises(DeployError, match=f"`spin registry push {IMAGE}` ended with exit code 3"):
        invoke("spinkube")
    assert len((tools / "calls").read_text().splitlines()) == 1


STAYS = """\
#!{python} -S
import pathlib, signal, sys
if "--version" in sys.argv:
    sys.exit(print("spin 4.2.1"))
calls = pathlib.Path({calls!r})
signal.signal(signal.SIGTERM, lambda *_: sys.exit(calls.write_text("ended")))
calls.write_text("runs")
signal.pause()
"""
DEPLOY = """\
from nnlet import build, cli, deploy
deploy.build_composed = lambda project, report: build.Component(project.app, "key")
cli.main()
"""


def test_what_runs_ends_when_nnlet_is_told_to(deployable: Project, tools: Path) -> None:
    calls = tools / "calls"
    (tools / "spin").write_text(STAYS.format(python=sys.executable, calls=str(calls)))
    (tools / "spin").chmod(0o755)
    environment = {"PATH": str(tools), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DEPLOY, "deploy", "spin"]
    with subprocess.Popen(command, cwd=deployable.root, env=environment) as process:
        while not calls.exists() or not calls.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(60) == 0
    assert calls.read_text() == "ended"


def test_a_function_that_akamai_does_not_take_is_not_sent(deployable: Project, tools: Path) -> None:
    install_spin(tools)
    with (deployable.root / "function.wasm").open("wb") as large:
        large.truncate((50 << 20) + 1)
    with pytest.raises(DeployError, match="Akamai Functions takes functions of up to 50 MiB"):
        invoke("akamai")
    assert not (tools / "calls").exists()


def test_a_project_without_manifests_says_what_is_missing(project: Project) -> None:
    with pytest.raises(DeployError, match="no spin.toml in .*: `nnlet new` makes"):
        plan(project, "akamai")
    shutil.copy(ROOT / "spin.toml", project.root)
    with pytest.raises(DeployError, match=f"no .*{KUBERNETES}: expected the SpinApp manifest"):
        plan(project, "spinkube")


def test_the_manifest_that_ships_is_not_pushed_as_it_is() -> None:
    with pytest.raises(DeployError, match=f"still names {EXAMPLE}/.*: put your registry's name"):
        image(Project(ROOT))


# Serving with Spin, which the end-to-end tests do where there is one


def test_a_spin_that_ends_at_once_says_why(project: Project, tools: Path) -> None:
    install_spin(tools, code=1)
    (tools / "spin").write_text(
        (tools / "spin").read_text().replace("sys.exit(1)", 'sys.exit("Error: no luck")')
    )
    shutil.copy(ROOT / "spin.toml", project.root)
    address = Address(port=free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnlet.spin.build_composed", lambda *_: None)
        with pytest.raises(HostError, match="Error: no luck"), serve_spin(project, address):
            pass
    manifest = project.root / "spin.toml"
    told = f"spin up --from {manifest} --listen {address.socket}\n"
    assert (tools / "calls").read_text() == told


# The manifest for Kubernetes


def test_the_kubernetes_manifest_is_what_the_cluster_takes() -> None:
    schema = json.loads((ROOT / "tests" / "data" / "kubernetes.schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    app, autoscaler = documents = list(yaml.safe_load_all((ROOT / KUBERNETES).read_text()))
    for document in documents:
        validator.validate(document)
    assert [app["kind"], autoscaler["kind"]] == ["SpinApp", "HorizontalPodAutoscaler"]
    # The operator makes a Deployment of the application's name; that is what is scaled.
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == app["metadata"]["name"]
    # Utilization is in parts of a request, so the resource that is measured must have one.
    measured = {metric["resource"]["name"] for metric in autoscaler["spec"]["metrics"]}
    requests = app["spec"]["resources"]["requests"]
    assert measured <= requests.keys()
    # The operator's webhook refuses an instance that may have more than its pod requests.
    most = app["spec"]["invocationLimits"]["memory"]
    assert int(most.removesuffix("Mi")) <= int(requests["memory"].removesuffix("Mi"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("enableAutoscaling: true", "enableAutoscaling: true\n  replicas: 2"),
        ("core.spinkube.dev/v1alpha1", "core.spinoperator.dev/v1"),
        ("executor: containerd-shim-spin", "exekutor: containerd-shim-spin"),
        ("averageUtilization: 70", 'averageUtilization: "70%"'),
    ],
)
def test_a_kubernetes_manifest_with_a_slip_is_refused(old: str, new: str) -> None:
    schema = json.loads((ROOT / "tests" / "data" / "kubernetes.schema.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    text = (ROOT / KUBERNETES).read_text()
    assert old in text
    documents = yaml.safe_load_all(text.replace(old, new))
    assert not all(validator.is_valid(document) for document in documents)
