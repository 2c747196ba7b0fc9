"""Imports run one way, and the guest imports next to nothing: both by reading the source."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nnlet"
GUEST = PACKAGE / "guest"

# What the guest may take from the standard library. All of it is shipped in every component,
# and componentize-py's own modules bring most of it along: measure before adding to this.
STANDARD = {
    "__future__",
    "collections.abc",
    "csv",
    "gc",
    "io",
    "itertools",
    "json",
    "json.encoder",
    "math",
    "operator",
    "re",
    "struct",
    "sys",
    "time",
    "typing",
    "zlib",
}

# The two ends of the guest (and the entry for profiling), and what only they may import.
ENDS = {
    "http": {
        "app",
        "componentize_py_types",
        "nnlet_catalogue",
        "nnlet_http",
        "wit_world.imports.streams",
        "wit_world.imports.types",
    },
    "http_p3": {
        "app",
        "componentize_py_async_support",
        "componentize_py_async_support.futures",
        "componentize_py_async_support.streams",
        "componentize_py_types",
        "nnlet_catalogue",
        "wit_world",
        "wit_world.imports.wasi_http_types",
    },
    "profile": {"wit_world.imports.inference", "wit_world.imports.types"},
    "jsontext": {"nnlet_json"},
    "inference": {
        "componentize_py_types",
        "nnlet_nn",
        "wit_world.imports.graph",
        "wit_world.imports.tensor",
    },
}

# A request passes through the guest in this order; a module imports only from further down.
ORDER = [
    *(
        "profile",
        "snapshot",
        "rehearsal",
        "http",
        "http_p3",
        "inference",
        "__init__",
        "app",
        "openapi",
        "tableschema",
        "endpoints",
        "page",
        "predict",
        "hooks",
        "protocol",
    ),
    *("records", "answers", "columns", "nearest", "csvtext"),
    *("classification", "models", "backend", "tensors", "routes", "compression", "messages"),
    *("jsontext",),
]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs."""
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")))


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0 and node.module, "imports in nnlet are absolute"
        children = [f"{node.module}.{alias.name}" for alias in node.names]
        found = [name for name in children if is_module(name)]
        # `from package import module` imports the module, and all else is the package's own.
        yield from found
        if len(found) < len(children):
            yield node.module
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def imports_at_once(path: Path) -> Iterator[str]:
    """The modules that a file imports as soon as it is imported, not when a function runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            yield from _imports(node)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module that componentize-py generates, or one of ours."""
    path = ROOT / name.replace(".", "/")
    generated = name.startswith("wit_world.imports.") and name.count(".") == 2
    return generated or path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def guest_name(module: str) -> str:
    return module.removeprefix("nnlet.guest").lstrip(".") or "__init__"


GUEST_FILES = sorted(GUEST.glob("*.py"))


@pytest.mark.parametrize("path", GUEST_FILES, ids=lambda path: path.stem)
def test_the_guest_imports_only_what_is_allowed(path: Path) -> None:
    ours = {"nnlet", "nnlet.errors", "nnlet.tensor", *map(name_of, GUEST_FILES)}
    allowed = STANDARD | ours | ENDS.get(path.stem, set())
    assert set(imports(path)) <= allowed


@pytest.mark.parametrize("path", GUEST_FILES, ids=lambda path: path.stem)
def test_the_guest_imports_down_its_order(path: Path) -> None:
    below = ORDER[ORDER.index(path.stem) + 1 :]
    found = {guest_name(name) for name in imports(path) if name.startswith("nnlet.guest")}
    assert found <= set(below)


def test_the_template_imports_the_guest_and_nothing_else() -> None:
    assert set(imports(ROOT / "app.py")) == {"nnlet.guest"}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("__init__", set()),
        ("errors", set()),
        ("tensor", set()),
        ("signature", {"nnlet.tensor"}),
        ("fields", {"nnlet.errors"}),
        ("columns", {"nnlet.errors", "nnlet.fields", "nnlet.signature", "nnlet.tensor"}),
        ("answers", {"nnlet.errors", "nnlet.fields", "nnlet.signature"}),
        (
            "model",
            {
                *("nnlet.answers", "nnlet.columns", "nnlet.errors"),
                *("nnlet.signature", "nnlet.tensor"),
            },
        ),
        ("catalogue", {"nnlet.errors", "nnlet.model"}),
        ("new", {"nnlet", "nnlet.errors", "nnlet.project"}),
        ("tool", {"nnlet.errors"}),
        ("compiler/attributes", set()),
        ("plain/builder", {"nnlet.compiler.graph", "nnlet.errors"}),
        ("export/metadata", {"nnlet.catalogue", "nnlet.model"}),
        ("export/npm", {"nnlet.build", "nnlet.errors", "nnlet.tool", "nnlet.zig"}),
        ("wasm", set()),
        ("coremodule", {"nnlet.wasm"}),
        ("instructions", {"nnlet.wasm"}),
        ("merge", {"nnlet.coremodule", "nnlet.instructions", "nnlet.wasm"}),
        ("link", {"nnlet.coremodule", "nnlet.errors", "nnlet.merge", "nnlet.wasm"}),
    ],
)
def test_the_base_imports_only_itself(name: str, allowed: set[str]) -> None:
    # nnlet.add is imported when it is asked for, which the guest never does.
    of = imports_at_once if name == "__init__" else imports
    found = {name for name in of(PACKAGE / f"{name}.py") if name.startswith("nnlet")}
    assert found <= allowed


@pytest.mark.parametrize("name", ["__init__", "errors", "tensor"])
def test_what_the_guest_shares_with_the_host_weighs_nothing(name: str) -> None:
    of = imports_at_once if name == "__init__" else imports
    assert set(of(PACKAGE / f"{name}.py")) == set()


def test_what_makes_imports_lean_imports_next_to_nothing() -> None:
    assert set(imports(PACKAGE / "lean.py")) == {"__future__", "os", "sys", "types"}


def test_no_import_of_nnlet_leads_back() -> None:
    graph = {name_of(path): {n for n in imports(path) if n.startswith("nnlet.")} for path in FILES}
    graphlib.TopologicalSorter(graph).prepare()


FILES = sorted(PACKAGE.rglob("*.py"))

# A model goes through these in order; a converter of one library imports no other's.
CONVERT = [
    *("add", "repository", "modeltoml", "precision", "sklearn", "onnxfile", "pickles", "mends"),
    *("xgboost", "lightgbm", "catboost", "jsonfile", "inside", "codes", "ensemble"),
    *("stochtree", "draws", "jsonfile"),
    *("statsmodels", "links", "formulas", "expressions", "piecewise", "writer"),
    *("torch", "keras", "labels"),
    *("converters", "check", "answers", "columns", "strings", "graphs", "converted", "sample"),
]


def test_conversion_imports_down_its_order() -> None:
    for path in (PACKAGE / "convert").glob("[!_]*.py"):
        if path.stem in CONVERT:
            below = CONVERT[CONVERT.index(path.stem) + 1 :]
            found = {
                n.removeprefix("nnlet.convert.") for n in imports(path) if "nnlet.convert." in n
            }
            assert found <= set(below), path
