"""spin.toml and the components that it names, against the rules of Spin 3.5 and newer.

Rules that can be read are checked here, wherever there is no Spin. What they say, and where:
docs/hosts/spin.md. tests/e2e runs on Spin itself where it is on PATH.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from e2e.models import DIGITS, as_binary, assert_close, read
from e2e.servers import PROJECT, ROOT
from e2e.wire import Wire
from witfiles import offered

from nnlet.build import precompiled
from nnlet.compiled import CompiledProvider
from nnlet.errors import HostError
from nnlet.host import Address, Limits, find_wasmtime, free_port, serve
from nnlet.interfaces import CORE_MODULE, INNER, Interfaces
from nnlet.new import new_project
from nnlet.serving import build_composed, build_for_spin
from nnlet.targets import TARGETS
from nnlet.wasm import COMPONENT, memory_pages, sections

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIB = 1 << 20
SNIPPET = ROOT / "templates" / "nnlet" / "metadata" / "snippets" / "component.txt"

# A world that each Spin offers at least, as its own repository says: wit/world.wit and wit/deps.
# What 3.5 and 3.6 add to theirs is for WASI 0.3 and databases.
WORLDS = {
    "3.5 and 3.6": "fermyon:spin/platform@2.0.0",
    "4.0": "spin:up/platform@4.0.0",
    "4.1 and newer": "spin:up/platform@4.1.0",
}

# What Spin's HTTP trigger looks for; a component must export one of them (crates/http/src/
# trigger.rs). The last two are for components of WASI 0.3.
HANDLERS = re.compile(
    r"fermyon:spin/inbound-http|wasi:http/incoming-handler@0\.2\.\d+(-rc-2023-\d\d-\d\d)?"
    r"|wasi:http/(handler|service)@0\.3\..*"
)


def manifest(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def generated(tmp_path: Path) -> Path:
    """The manifest of a project that `nnlet new` makes."""
    new_project("my-function", tmp_path / "my-function")
    return tmp_path / "my-function" / "spin.toml"


def added(tmp_path: Path) -> Path:
    """What `spin add` appends to the manifest of an application with another component."""
    values = {"project-name | kebab_case": "my-function", "output-path": "my-function"}
    snippet = SNIPPET.read_text(encoding="utf-8")
    for name, value in values.items():
        snippet = snippet.replace(f"{{{{{name}}}}}", value)
    path = tmp_path / "spin.toml"
    path.write_text(
        'spin_manifest_version = 2\n[application]\nname = "other"\n'
        '[component.other]\nsource = "other.wasm"\n' + snippet
    )
    return path


MANIFESTS = pytest.mark.parametrize(
    "find", [lambda tmp_path: ROOT / "spin.toml", generated, added], ids=["ours", "new", "add"]
)


def function_of(document: dict[str, Any]) -> dict[str, Any]:
    """The component that the HTTP trigger names."""
    (trigger,) = document["trigger"]["http"]
    component: dict[str, Any] = document["component"][trigger["component"]]
    return component


@MANIFESTS
def test_the_manifest_is_in_spins_format(find: Callable[[Path], Path], tmp_path: Path) -> None:
    schema = json.loads((ROOT / "tests" / "data" / "spin-manifest.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(manifest(find(tmp_path)))


@MANIFESTS
def test_one_dependency_is_named_for_the_whole_package(
    find: Callable[[Path], Path], tmp_path: Path
) -> None:
    component = function_of(manifest(find(tmp_path)))
    ((name, dependency),) = component["dependencies"].items()
    # A key for each interface would instantiate the models once for each of them.
    assert "/" not in name
    imported = re.findall(r"import (wasi:nn/[^;]+);", (ROOT / "wit" / "world.wit").read_text())
    assert {package_and_version(interface) for interface in imported} == {name}
    assert Path(component["source"]).parts[-2:] == ("build", "app.wasm")
    assert Path(dependency["path"]).parts[-2:] == ("build", "models.wasm")


# What the components that it names import and export


@dataclass(frozen=True)
class Built:
    """The project's components."""

    size: int
    app: Interfaces
    models: Interfaces
    function: Interfaces
    inside: bytes = field(repr=False)


@pytest.fixture(scope="module")
def built() -> Built:
    component = build_composed(PROJECT)
    parts = [PROJECT.build / name for name in ("app.wasm", "models.wasm")]
    app, models = (Interfaces(path.read_bytes()) for path in parts)
    inside = component.path.read_bytes()
    size = sum(path.stat().st_size for path in parts)
    return Built(size, app, models, Interfaces(inside), inside)


def package_and_version(name: str) -> str:
    """As a dependency's key has it: `wasi:nn/graph@0.2.0` is of `wasi:nn@0.2.0`."""
    return re.sub(r"/[\w-]+", "", name, count=1)


def test_the_dependency_gives_every_import_of_its_package(built: Built) -> None:
    (key,) = function_of(manifest(ROOT / "spin.toml"))["dependencies"]
    plugged = [name for name in built.app.imports if package_and_version(name) == key]
    assert len(plugged) == 4
    for name in plugged:
        wanted, given = built.app.imports[name], built.models.exports[name]
        assert isinstance(wanted, dict) and isinstance(given, dict)
        assert wanted.items() <= given.items()
    left = [name for name in built.app.imports if name.startswith("wasi:nn")]
    assert left == plugged


def test_the_dependency_imports_nothing_that_spin_would_deny_it(built: Built) -> None:
    assert built.models.imports == {}


def missing(imports: dict[str, Any], world: str) -> list[str]:
    """What a component imports and a host of `world` lacks: interfaces, and their functions."""
    given: dict[str, set[str]] = {}
    for name, functions in offered(world).items():
        given.setdefault(track(name), set()).update(functions)
    lacks = []
    for name, interface in imports.items():
        if track(name) not in given:
            lacks.append(name)
            continue
        lacks += [
            f"{name}#{item}"
            for item, text in interface.items()
            if "func(" in text and function_name(item) not in given[track(name)]
        ]
    return lacks


def function_name(item: str) -> str:
    """`[method]pollable.ready` is `ready` where it is defined."""
    if item.startswith("[constructor]"):
        return "constructor"
    return item.rpartition("]")[2].rpartition(".")[2]


def track(name: str) -> str:
    """The name with as much of its version as must be equal: 0.2.9 fits 0.2.0 (wasmtime's rule)."""
    found = re.fullmatch(r"(.+@)(\d+)\.(\d+)\.\d+", name)
    if found is None:
        return name  # no version, or a pre-release: equal or not at all
    base, major, minor = found.groups()
    return f"{base}{major}" if major != "0" else f"{base}0.{minor}"


@pytest.mark.parametrize("spin", WORLDS)
def test_spin_offers_all_that_the_composed_function_imports(built: Built, spin: str) -> None:
    assert built.function.imports
    assert missing(built.function.imports, WORLDS[spin]) == []


def test_what_no_spin_offers_is_found() -> None:
    imports = {
        "wasi:nn/graph@0.2.0-rc-2024-10-28": {},
        "wasi:io/poll@0.3.0": {},
        "wasi:cli/exit@0.2.9": {"exit": "func()", "exit-with-code": "func()", "code": "u8"},
    }
    assert missing(imports, WORLDS["3.5 and 3.6"]) == [
        "wasi:nn/graph@0.2.0-rc-2024-10-28",
        "wasi:io/poll@0.3.0",
        "wasi:cli/exit@0.2.9#exit-with-code",
    ]


@pytest.mark.parametrize("component", ["app", "function"])
def test_it_exports_the_one_handler_that_spin_looks_for(built: Built, component: str) -> None:
    exports = getattr(built, component).exports
    assert [name for name in exports if HANDLERS.fullmatch(name)] == [
        "wasi:http/incoming-handler@0.2.6"
    ]


def test_the_world_for_spin_has_its_key_value_store_besides(built: Built) -> None:
    component = build_for_spin(PROJECT)
    imports = Interfaces(component.path.read_bytes()).imports
    assert imports.keys() - built.app.imports.keys() == {"spin:key-value/key-value@3.0.0"}
    rest = {name: what for name, what in imports.items() if not name.startswith("wasi:nn/")}
    lacking = {spin: missing(rest, world) for spin, world in WORLDS.items()}
    assert lacking == {
        "3.5 and 3.6": ["spin:key-value/key-value@3.0.0"],
        "4.0": [],
        "4.1 and newer": [],
    }


def test_spin_4_1_offers_all_that_the_function_on_wasi_0_3_imports() -> None:
    component = build_composed(PROJECT, target=TARGETS["p3"])
    function = Interfaces(component.path.read_bytes())
    lacking = {spin: missing(function.imports, world) for spin, world in WORLDS.items()}
    assert lacking == {
        "3.5 and 3.6": ["wasi:clocks/types@0.3.0", "wasi:http/types@0.3.0"],
        "4.0": ["wasi:clocks/types@0.3.0", "wasi:http/types@0.3.0"],
        "4.1 and newer": [],
    }
    assert [name for name in function.exports if HANDLERS.fullmatch(name)] == [
        "wasi:http/handler@0.3.0"
    ]


# Limits


def memories(component: bytes) -> Iterator[int]:
    """The initial size of every linear memory in it, in pages."""
    for section in sections(component, COMPONENT):
        if section.number == CORE_MODULE and memory_pages(section.body):
            yield memory_pages(section.body)
        elif section.number == INNER:
            yield from memories(section.body)


def test_the_components_are_smaller_than_akamai_takes(built: Built) -> None:
    assert built.size < 50_000_000


@dataclass(frozen=True)
class LikeSpin(CompiledProvider):
    """wasmtime with Spin's limits on what is in a component (crates/core/src/lib.rs)."""

    def flags(self) -> list[str]:
        limits = {
            "allocator": "y",
            "max-core-instances-per-component": 200,
            "max-tables-per-component": 20,  # 64 in newer ones
            "max-memories-per-component": 32,
            "max-tables-per-module": 2,
            "max-memories-per-module": 2,
            "table-elements": 100_000,
            "max-core-instance-size": 10 * MIB,
            "max-component-instance-size": 10 * MIB,
            "total-memories": 100,
        }
        return [f"-Opooling-{name}={value}" for name, value in limits.items()]


@contextmanager
def serving(memory: int) -> Iterator[Wire]:
    """A wasmtime with Spin's limits that gives every linear memory at most `memory` bytes."""
    tool, address = find_wasmtime(), Address(port=free_port())
    served = precompiled(PROJECT, build_composed(PROJECT), tool).precompiled
    limits = Limits(memory=memory)
    with (
        serve(tool, served, address, LikeSpin(), PROJECT.build / "log", limits) as server,
        Wire(server.url) as wire,
    ):
        yield wire


def test_an_instance_answers_within_spins_limits_and_in_less_than_128_mib(built: Built) -> None:
    share = 128 * MIB // len(list(memories(built.inside)))
    rows = DIGITS.rows(100)
    with serving(share) as wire:
        body, headers = as_binary(DIGITS, rows)
        answer = wire.ask("POST", DIGITS.infer, body, headers)
        assert_close(read(answer), DIGITS.expected(rows))


def test_the_limit_of_memory_is_one() -> None:
    with pytest.raises(HostError), serving(MIB):
        pass
