"""Build: app.py becomes a component; components become machine code, models become graphs.

    models/ ----> build/guest/nnlet_catalogue.py --+
      |                        app.py, nnlet/guest +--> build/app.wasm --> machine code
      +---------> build/graphs/NAME@VERSION/                 (componentize-py)  (wasmtime)

What is composed, and who computes, is decided in serving.py.

Each product carries a fingerprint of what it was made from and is made again only when that
has changed. Nothing slow is imported before it is known to be needed: with nothing to do, a
build takes some 20 ms.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nnlet
from nnlet import extension
from nnlet.errors import BuildError, ModelError, ToolMissing
from nnlet.fingerprint import fingerprint, forget, is_fresh, mark_fresh
from nnlet.host import COMPILE_FLAGS, Wasmtime, precompile
from nnlet.project import Project
from nnlet.targets import P2, TARGETS

log = logging.getLogger("nnlet")

# What a function on WASI 0.2 can be built for; its component is named after it.
WORLDS = (P2.world, "spin-app")
PROFILE = "profile"  # the function with clocks in it, for `nnlet bench`
# The module that each world's component begins with.
_ENTRIES = {
    **dict.fromkeys(WORLDS, P2.entry),
    **{target.world: target.entry for target in TARGETS.values()},
    PROFILE: "nnlet.clocked",
}
PACKAGE = Path(nnlet.__file__).parent

# What the host side runs to make the catalogue and the graphs; a change of it makes them anew.
_MODEL_CODE = ("answers.py", "columns.py", "fields.py", "model.py", "signature.py", "tensor.py")
_CATALOGUE_CODE = ("catalogue.py", *_MODEL_CODE)
_GRAPH_CODE = ("graphs.py", *_MODEL_CODE)
_GRAPH_FOLDERS = ("compiler", "plain")  # the compiler's code reads what plain/ makes anew
_GUEST_CODE = (
    *("__init__.py", "clocked.py", "entry.py", "entry_p3.py"),
    *("errors.py", "lean.py", "tensor.py"),
)
# What changes the component after componentize-py.
_COMPONENT_CODE = (
    "coremodule.py",
    "instructions.py",
    "link.py",
    "mend.py",
    "merge.py",
    "shrink.py",
    "wasm.py",
)
_EXTENSION_CODE = ("extension.py", "zig.py")

# Folders at the top of a project that hold no code of the function.
_NOT_IMPORTED = {"nnlet", "benchmarks", "build", "tests"}

Report = Callable[[str], AbstractContextManager[None]]


def silent(step: str) -> AbstractContextManager[None]:
    """The report of a build that nobody watches."""
    return nullcontext()


@dataclass(frozen=True)
class Component:
    """The function as a WebAssembly component. `key` is the fingerprint of its sources."""

    path: Path
    key: str

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Served:
    """What wasmtime serves: a component, and machine code of it."""

    component: Component
    precompiled: Path


def write_catalogue(project: Project, report: Report = silent) -> Path:
    """build/guest/nnlet_catalogue.py: what the guest knows of the models."""
    product = project.generated / "nnlet_catalogue.py"
    key = fingerprint(project.root, [*model_files(project), *_code(_CATALOGUE_CODE)])
    if not is_fresh(product, key):
        with report("Reading the models"):
            from nnlet import catalogue
            from nnlet.model import read_repository

            forget(product)
            catalogue.write_catalogue(read_repository(project.models), project.generated)
            mark_fresh(product, key)
    return product


def build_function(project: Project, report: Report = silent, world: str = "app") -> Component:
    """build/app.wasm: the function, which imports wasi:nn. `world`: in _ENTRIES."""
    sources = [write_catalogue(project, report), *_sources(project), *_code(_COMPONENT_CODE)]
    product = project.build / f"{world}.wasm"
    sources += [*_code(_EXTENSION_CODE), *extension.SOURCES.iterdir()]
    tools = [f"{name}=={_version(name)}" for name in ("componentize-py", "spin-sdk")]
    tools.append(extension.compiler())
    key = fingerprint(project.root, sources, *tools)
    if not is_fresh(product, key):
        with report("Compiling app.py to a component"):
            forget(product)
            _componentize(project, product)
            mark_fresh(product, key)
    return Component(product, key)


def precompiled(
    project: Project, component: Component, tool: Wasmtime, report: Report = silent
) -> Served:
    """`component` with its machine code, which lies beside it."""
    product = component.path.with_suffix(".cwasm")
    key = fingerprint(project.root, [], component.key, str(tool), *COMPILE_FLAGS)
    if not is_fresh(product, key):
        with report("Compiling the component to machine code"), replacing(product) as output:
            forget(product)
            precompile(tool, component.path, output)
        mark_fresh(product, key)
    return Served(component, product)


def build_graphs(project: Project, report: Report = silent) -> Path:
    """build/graphs: what the host's OpenVINO reads."""
    product = project.build / "graphs"
    lowering = [path for name in _GRAPH_FOLDERS for path in (PACKAGE / name).rglob("*.py")]
    key = fingerprint(project.root, [*model_files(project), *_code(_GRAPH_CODE), *lowering])
    if not is_fresh(product, key):
        with report("Preparing the models for OpenVINO"):
            from nnlet.graphs import write_graphs
            from nnlet.model import read_repository

            forget(product)
            write_graphs(read_repository(project.models), product)
            mark_fresh(product, key)
    return product


def _componentize(project: Project, product: Path) -> None:
    """Run componentize-py, which finds the WASI packages in the spin-sdk wheel of this venv."""
    folders = dict.fromkeys([project.root, PACKAGE.parent, project.generated])
    entry = _ENTRIES[product.stem]
    world = f"nnlet:fn/{P2.world if product.stem == PROFILE else product.stem}"
    # The extensions lie elsewhere than in the project: componentize-py links all that it finds
    # below a folder it is given.
    with replacing(product) as output, TemporaryDirectory(prefix="nnlet-") as extensions:
        if product.stem == TARGETS["p3"].world:
            # Before componentize-py's own: see guest/bundled. Without the extensions: one of
            # them speaks wasi:http 0.2, and the others have not been tried here.
            folders[PACKAGE / "guest" / "bundled"] = None
        else:
            extension.write_extensions(Path(extensions))
            folders[Path(extensions)] = None
        done = subprocess.run(
            [
                *(_script("componentize-py"), "--quiet"),
                *("-d", project.wit, "-w", world, "componentize", entry, "-o", output),
                *(word for folder in folders for word in ("-p", folder)),
            ],
            cwd=project.root,
            env={**os.environ, "VIRTUAL_ENV": sys.prefix, "RUST_BACKTRACE": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            (project.build / "componentize.log").write_text(done.stdout + done.stderr)
            raise BuildError(_complaint(project, done.stderr))
        output.write_bytes(_finished(output.read_bytes()))


def _finished(component: bytes) -> bytes:
    """What componentize-py made, without its leak; small and quick to start, where we know how."""
    from nnlet.link import link
    from nnlet.mend import mend
    from nnlet.shrink import shrink

    component = mend(component)
    for improve in (shrink, link):
        try:
            component = improve(component)
        except BuildError as exc:
            log.warning("the function works, but is larger and slower to start than usual: %s", exc)
    return component


def _complaint(project: Project, output: str) -> str:
    """One line from componentize-py's output: the place in our files, and the exception."""
    place = ""
    # Modules lie in numbered folders there: "/0/app.py" is from the first -p.
    for name, line in re.findall(r'File "/\d+/(.+?)", line (\d+)', output):
        place = f"{name}, line {line}: "
    cause = re.search(r"Caused by:\n\s*(?:\d+: )?(.+)", output)
    lines = [line for line in output.splitlines() if line.strip()]
    reason = cause.group(1) if cause else (lines[-1] if lines else "it said nothing")
    log = os.path.relpath(project.build / "componentize.log", project.root)
    return f"app.py did not become a component: {place}{reason.strip()} (the whole log is {log})"


def _sources(project: Project) -> Iterator[Path]:
    """What the component is made of, as far as it is not generated."""
    yield from project.wit.rglob("*.wit")
    yield from _code(_GUEST_CODE)
    yield from (PACKAGE / "guest").rglob("*.py")
    yield from (PACKAGE / "guest" / "html").iterdir()
    yield from project.root.glob("*.py")
    for folder in project.root.iterdir():
        if folder.name not in _NOT_IMPORTED and (folder / "__init__.py").exists():
            yield from folder.rglob("*.py")


def model_files(project: Project) -> list[Path]:
    """Every file of the model repository. Raises ModelError where there is none."""
    if not project.models.is_dir():
        raise ModelError(
            f"no models folder at {project.models}: expected models/NAME/VERSION/model.onnx"
        )
    return [path for path in project.models.rglob("*") if path.is_file()]


def _code(names: tuple[str, ...]) -> list[Path]:
    return [PACKAGE / name for name in names]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as exc:
        raise ToolMissing(f"{package} is not installed: run ./build.sh, which installs it") from exc


def _script(name: str) -> Path:
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise ToolMissing(f"no {path}: run ./build.sh, which installs {name}")
    return path


@contextmanager
def replacing(product: Path) -> Iterator[Path]:
    """A path to write to, which takes the product's place when all went well."""
    product.parent.mkdir(parents=True, exist_ok=True)
    output = product.with_name(f".new-{product.name}")
    try:
        yield output
        output.replace(product)
    finally:
        output.unlink(missing_ok=True)


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Two builds in one folder wait for each other."""
    project.build.mkdir(parents=True, exist_ok=True)
    with (project.build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
