"""Deploy: a built project, to a host by that host's own tools.

A target is a row of TARGETS: the commands to run, the tools that they need, and the limits of
what is deployed. nnlet builds, checks and calls; what a host does is the host's.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from nnlet.build import Report, silent
from nnlet.errors import DeployError
from nnlet.project import Project
from nnlet.serving import build_composed
from nnlet.spin import SPIN
from nnlet.tool import Tool

Command = list[str]

KUBERNETES = "kubernetes/spinapp.yaml"
EXAMPLE = "registry.example.com"  # what the manifest names until somebody chooses a registry

AKA = Tool(
    name="the aka plugin of Spin",
    asks=("spin", "aka", "--version"),
    says=r"^spin-aka (\d+)\.(\d+)\.(\d+)",
    minimum=(0, 6, 0),
    get="get it with `spin plugins update && spin plugins install aka`",
)
KUBECTL = Tool(
    name="kubectl",
    asks=("kubectl", "version", "--client"),
    says=r"^Client Version: v(\d+)\.(\d+)\.(\d+)",
    minimum=(1, 23, 0),  # autoscaling/v2
    get="get it at https://kubernetes.io/docs/tasks/tools",
)


@dataclass(frozen=True)
class Target:
    """Where to, how, and what for. `most` is the largest function, in bytes, that it takes."""

    about: str
    tools: tuple[Tool, ...]
    commands: Callable[[Project], list[Command]]
    most: int | None = None


def _spin(project: Project) -> list[Command]:
    return [["spin", "up"]]


def _akamai(project: Project) -> list[Command]:
    return [["spin", "aka", "deploy"]]


def _spinkube(project: Project) -> list[Command]:
    push = ["spin", "registry", "push", image(project)]
    return [push, ["kubectl", "apply", "--filename", KUBERNETES]]


TARGETS: dict[str, Target] = {
    "spin": Target("Spin on this machine", (SPIN,), _spin),
    "akamai": Target("Akamai Functions", (SPIN, AKA), _akamai, most=50 << 20),
    "spinkube": Target("SpinKube on your cluster", (SPIN, KUBECTL), _spinkube),
}


def plan(project: Project, target: str, words: tuple[str, ...] = ()) -> list[Command]:
    """The commands to run, in the project's folder; `words` go to the last of them.

    Raises DeployError where the project lacks what the target needs.
    """
    if not (project.root / "spin.toml").is_file():
        raise DeployError(f"no spin.toml in {project.root}: `nnlet new` makes a project with one")
    *before, last = TARGETS[target].commands(project)
    return [*before, [*last, *words]]


def deploy(project: Project, target: str, commands: list[Command], report: Report = silent) -> None:
    """Build what has changed, then run `commands`, whose output goes where ours goes.

    Raises ToolMissing where a tool is absent or too old: before anything is built.
    """
    to = TARGETS[target]
    for tool in to.tools:
        tool.require()
    size = build_composed(project, report).size
    if to.most is not None and size > to.most:
        raise DeployError(
            f"{to.about} takes functions of up to {to.most / (1 << 20):.0f} MiB, and this one has "
            f"{size / (1 << 20):.1f} MiB: deploy fewer or smaller models"
        )
    for command in commands:
        code = _run(command, project)
        if code != 0:
            raise DeployError(f"`{' '.join(command)}` ended with exit code {code}")


def _run(command: Command, project: Project) -> int:
    """Its exit code. It has our terminal, for it may ask; and it is told to end when we are."""
    with subprocess.Popen(command, cwd=project.root) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            raise


def image(project: Project) -> str:
    """The image that the SpinApp manifest names: what is pushed is what the cluster pulls."""
    path = project.root / KUBERNETES
    if not path.is_file():
        raise DeployError(
            f"no {path}: expected the SpinApp manifest to apply; `spin kube scaffold` makes one"
        )
    found = re.search(r"^  image: *([^\s#]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise DeployError(f"{KUBERNETES} names no `image:` under `spec:`")
    name = found.group(1).strip("\"'")
    if name.startswith(EXAMPLE):
        raise DeployError(f"{KUBERNETES} still names {name}: put your registry's name there")
    return name
