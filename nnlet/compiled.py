"""The compiled provider: models become build/models.wasm, checked, and composed with the function.

    models/ --> build/models.wasm --+--> build/function.wasm
                build/app.wasm -----+

What build.py is for the function, this is for the models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nnlet
from nnlet.build import Component, Report, model_files, replacing, silent
from nnlet.fingerprint import fingerprint, forget, is_fresh, mark_fresh
from nnlet.project import Project

if TYPE_CHECKING:
    from nnlet.component import Flavour
    from nnlet.model import ModelSpec
    from nnlet.verify import Report as Verified

PACKAGE = Path(nnlet.__file__).parent

# What the host side runs to make the component of the models; a change of it makes it anew.
_CODE = (
    "carrier.py",
    "component.py",
    "model.py",
    "runtime.py",
    "shell.wasm",
    "signature.py",
    "tensor.py",
    "wasm.py",
    "zig.py",
)


@dataclass(frozen=True)
class CompiledProvider:
    """Nobody behind `wasi:nn`: the models are inside the component."""

    def flags(self) -> list[str]:
        """Nothing more for `wasmtime serve`."""
        return []

    def environment(self) -> dict[str, str]:
        """Ours."""
        return dict(os.environ)

    def complaint(self) -> str | None:
        """Models that are compiled in cannot fail to load."""
        return None


def compile_repository(
    models: Path, output: Path, flavour: Flavour = "relaxed", report: Report = silent
) -> int:
    """Compile every model under `models` into the component `output`; its size in bytes."""
    from nnlet.compiler import compile_models
    from nnlet.component import build_component
    from nnlet.model import read_repository

    specs = read_repository(models)
    with report(f"Compiling {_count(specs)} to C"):
        module = compile_models(specs)
    with report("Compiling C to WebAssembly"):
        component = build_component(module.source, module.weights, flavour)
    with replacing(output) as path:
        path.write_bytes(component)
    return len(component)


def _count(specs: Sequence[ModelSpec]) -> str:
    return "1 model" if len(specs) == 1 else f"{len(specs)} models"


def models_component(project: Project, report: Report = silent) -> Component:
    """build/models.wasm, made and verified where a model or the compiler has changed."""
    product = project.build / "models.wasm"
    key = fingerprint(project.root, [*model_files(project), *_compiler_files()])
    if not is_fresh(product, key):
        forget(product)
        compile_repository(project.models, product, report=report)
        verify_changed(project, product, report)
        mark_fresh(product, key)
    return Component(product, key)


def _compiler_files() -> list[Path]:
    compiler = PACKAGE / "compiler"
    return [
        *(PACKAGE / name for name in _CODE),
        *(p for p in compiler.rglob("*") if p.suffix in (".py", ".c", ".h")),
    ]


def verify_changed(project: Project, component: Path, report: Report = silent) -> None:
    """Compare every model that was not verified with this compiler yet. Raises VerifyError."""
    from nnlet.model import read_repository

    seen = project.build / "verified.json"
    verified = set(json.loads(seen.read_text())) if seen.exists() else set()
    compiler = fingerprint(PACKAGE, _compiler_files())
    specs = read_repository(project.models)
    marks = {spec.graph: f"{spec.graph} {spec.digest} {compiler}" for spec in specs}
    changed = [spec for spec in specs if marks[spec.graph] not in verified]
    if changed:
        with report(f"Comparing {_count(changed)} with onnxruntime"):
            for result in verify_models(changed, component):
                result.require()
    seen.write_text(json.dumps(sorted(marks.values()), indent=1) + "\n")


def verify_models(
    specs: Sequence[ModelSpec], component: Path, tolerance: float | None = None
) -> list[Verified]:
    """One report for each model of `component`, against onnxruntime."""
    from nnlet.provider import Provider
    from nnlet.verify import verify

    provider = Provider(component.read_bytes())
    return [verify(spec, provider, tolerance) for spec in specs]


def composed(
    project: Project,
    function: Component,
    models: Component,
    report: Report,
    name: str = "function.wasm",
) -> Component:
    """build/NAME: the function with the models inside."""
    from nnlet.compose import compose

    product = project.build / name
    code = [PACKAGE / name for name in ("compose.py", "interfaces.py", "wasm.py")]
    key = fingerprint(PACKAGE, code, function.key, models.key)
    if not is_fresh(product, key):
        with report("Composing function and models"), replacing(product) as output:
            forget(product)
            output.write_bytes(compose(function.path.read_bytes(), models.path.read_bytes()))
        mark_fresh(product, key)
    return Component(product, key)
