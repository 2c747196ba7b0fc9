"""The models as an npm package, for Node, browsers and workerd: no server, no Python.

    models/ --zig--> a component each flavour --jco--> glue.js --+--> build/js
                          js/ (the runtime, the examples) -------+

What is the same for all models lies in `js/` as it is shipped. What depends on them is written
here: the core modules, models.js, index.d.ts, package.json.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnlet.build import Report, silent
from nnlet.compiled import verify_models
from nnlet.compiler import CModule, compile_models
from nnlet.component import Flavour, build_component, core_module
from nnlet.errors import BuildError, ModelError
from nnlet.export.jco import transpile
from nnlet.export.metadata import declarations, model_table
from nnlet.export.npm import NODE
from nnlet.model import ModelSpec, read_repository

RUNTIME = Path(__file__).with_name("js")

# In the order in which a host prefers them. workerd, which cannot choose, has the first.
FLAVOURS: tuple[Flavour, ...] = ("relaxed", "simd128")

NPM_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
NPM_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
MARK = "exportedBy"  # in package.json: a folder with it may be written anew


@dataclass(frozen=True)
class Package:
    """What an npm package is published as."""

    name: str = "nnlet-models"
    version: str = "0.1.0"

    def __post_init__(self) -> None:
        if not NPM_NAME.fullmatch(self.name):
            raise BuildError(
                f"{self.name!r} is no npm package name: expected lower case letters, digits, "
                "'-', '.' and '_', after an optional @scope/"
            )
        if not NPM_VERSION.fullmatch(self.version):
            raise BuildError(f"{self.version!r} is no npm version: expected one such as 1.0.0")


@dataclass(frozen=True)
class Size:
    """Bytes as they are, and as a server sends them compressed (gzip, level 9)."""

    raw: int
    gzip: int

    @classmethod
    def of(cls, files: Sequence[bytes]) -> Size:
        """The files together; each is compressed for itself."""
        return cls(sum(map(len, files)), sum(len(gzip.compress(f, 9)) for f in files))


@dataclass(frozen=True)
class Export:
    """A package that was written. `wasm` is by flavour; a browser downloads one of them."""

    folder: Path
    package: Package
    models: tuple[str, ...]
    javascript: Size
    wasm: Mapping[str, Size]
    weights: int

    def as_json(self) -> dict[str, Any]:
        """For scripts: sizes in bytes."""
        return {
            "folder": str(self.folder),
            "name": self.package.name,
            "version": self.package.version,
            "models": list(self.models),
            "javascript": asdict(self.javascript),
            "wasm": {flavour: asdict(size) for flavour, size in self.wasm.items()},
            "weights": self.weights,
        }


def export_js(
    models: Path,
    folder: Path,
    only: Sequence[str] = (),
    flavours: Sequence[Flavour] = FLAVOURS,
    package: Package | None = None,
    report: Report = silent,
) -> Export:
    """Write the package of the models under `models` into `folder`.

    Raises BuildError where `folder` holds something else, ModelError for a name in `only` that
    does not exist, ToolMissing without Node, VerifyError where onnxruntime disagrees.
    """
    _check_folder(folder)
    package = package or Package()
    specs = _chosen(read_repository(models), only, models)
    with report("Compiling the models to C"):
        module = compile_models(specs)
    components = {flavour: _component(module, flavour, specs, report) for flavour in flavours}
    glue = transpile(components[flavours[0]], report)
    cores = {f"models.{name}.wasm": core_module(made) for name, made in components.items()}
    generated = {
        "models.js": model_table(specs),
        "index.d.ts": declarations(specs),
        "package.json": _package_json(package, specs),
        "wasm.js": _locations(flavours),
        **{name: _first(name, flavours) for name in ("workerd.js", "examples/worker/config.capnp")},
    }
    files = {**glue, **cores, **{name: text.encode() for name, text in generated.items()}}
    _write(folder, files)
    return _measured(folder, package, specs, flavours, len(module.weights))


def _chosen(specs: Sequence[ModelSpec], only: Sequence[str], models: Path) -> list[ModelSpec]:
    names = list(dict.fromkeys(spec.name for spec in specs))
    for name in only:
        if name not in names:
            raise ModelError(f"no model {name!r} in {models}: there is {', '.join(names)}")
    return [spec for spec in specs if not only or spec.name in only]


def _component(
    module: CModule, flavour: Flavour, specs: Sequence[ModelSpec], report: Report
) -> bytes:
    """The component of one flavour, compared with onnxruntime."""
    with report(f"Compiling C to WebAssembly ({flavour})"):
        made = build_component(module.source, module.weights, flavour)
    with report("Comparing with onnxruntime"), tempfile.TemporaryDirectory() as name:
        path = Path(name, "models.wasm")
        path.write_bytes(made)
        for result in verify_models(specs, path):
            result.require()
    return made


def _package_json(package: Package, specs: Sequence[ModelSpec]) -> str:
    names = ", ".join(dict.fromkeys(spec.name for spec in specs))
    content = {
        "name": package.name,
        "version": package.version,
        "description": f"Machine-learning models as WebAssembly, without a server: {names}",
        "type": "module",
        "exports": {
            ".": {
                "types": "./index.d.ts",
                "workerd": "./workerd.js",
                "node": "./node.js",
                "default": "./browser.js",
            },
            "./oip": {"types": "./oip.d.ts", "default": "./oip.js"},
            "./package.json": "./package.json",
        },
        "engines": {"node": f">={NODE.minimum[0]}"},
        "sideEffects": False,
        MARK: "nnlet",
    }
    return json.dumps(content, indent=2) + "\n"


def _locations(flavours: Sequence[Flavour]) -> str:
    """wasm.js without the flavours that were left out."""
    lines = _text("wasm.js").splitlines(keepends=True)
    absent = [f"models.{flavour}.wasm" for flavour in FLAVOURS if flavour not in flavours]
    return "".join(line for line in lines if not any(name in line for name in absent))


def _first(name: str, flavours: Sequence[Flavour]) -> str:
    """A file that is written for the first flavour of all, for the first of `flavours`."""
    return _text(name).replace(f"models.{FLAVOURS[0]}.", f"models.{flavours[0]}.")


def _text(name: str) -> str:
    return (RUNTIME / name).read_text(encoding="utf-8")


# The folder


def _check_folder(folder: Path) -> None:
    """Refuse to replace what is not an earlier export."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    about = folder / "package.json"
    if about.is_file() and f'"{MARK}"' in about.read_text(encoding="utf-8", errors="replace"):
        return
    raise BuildError(f"{folder} holds something else than an export: name a new folder with -o")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """The runtime and `files` in the place of `folder`, when all is written."""
    place = folder.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as name:
            made = Path(name, "made")
            shutil.copytree(RUNTIME, made)
            for file, content in files.items():
                (made / file).write_bytes(content)
            if place.exists():
                shutil.rmtree(place)
            made.rename(place)
    except OSError as exc:
        raise BuildError(f"cannot write {folder}: {exc.strerror}: name another with -o") from exc


# What a browser downloads


def _measured(
    folder: Path,
    package: Package,
    specs: Sequence[ModelSpec],
    flavours: Sequence[Flavour],
    weights: int,
) -> Export:
    glue = [path.read_bytes() for path in sorted(folder.glob("glue.*.wasm"))]
    return Export(
        folder,
        package,
        tuple(dict.fromkeys(spec.name for spec in specs)),
        Size.of([path.read_bytes() for path in imported(folder / "browser.js")]),
        {f: Size.of([*glue, (folder / f"models.{f}.wasm").read_bytes()]) for f in flavours},
        weights,
    )


def imported(entry: Path) -> list[Path]:
    """A module and all that it imports, in the order in which they are found."""
    found = [entry]
    for path in found:
        found += [other for other in _imports(path) if other not in found]
    return found


def _imports(path: Path) -> Iterator[Path]:
    for name in re.findall(r'from\s*"(\./[\w.-]+\.js)"', path.read_text(encoding="utf-8")):
        yield path.parent / name
