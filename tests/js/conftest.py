"""The exports that the tests share: all models of this repository, and one of every datatype."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from browser import Browser, chromium
from onnx import helper

from js import hosts
from nnlet.errors import ToolMissing
from nnlet.export.js import Export, export_js
from nnlet.tensor import DATATYPES

ROOT = Path(__file__).parents[2]


def exported(models: Path, folder: Path) -> Export:
    """An export. The test is skipped where Node or jco is not to be had."""
    try:
        return export_js(models, folder)
    except ToolMissing as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of this repository's models, in both flavours."""
    return exported(ROOT / "models", tmp_path_factory.mktemp("export") / "js").folder


@pytest.fixture(scope="session")
def node(package: Path) -> Iterator[hosts.Node]:
    with hosts.node(package) as host:
        yield host


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def site(package: Path) -> Iterator[str]:
    """Where a file server gives the export."""
    with hosts.files_served(package) as url:
        yield url


@pytest.fixture(scope="session")
def every_type(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Node]:
    """A Node with a model `same`, which gives back an input of each datatype."""
    folder = tmp_path_factory.mktemp("types")
    values = {side: _values(side) for side in ("in", "out")}
    nodes = [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in DATATYPES]
    graph = helper.make_graph(nodes, "same", values["in"], values["out"])
    path = folder / "models" / "same" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    exported(folder / "models", folder / "js")
    with hosts.node(folder / "js") as host:
        yield host


def _values(side: str) -> list[onnx.ValueInfoProto]:
    rows = DATATYPES.items()
    return [helper.make_tensor_value_info(f"{side}_{t}", row.onnx, [f"N_{t}"]) for t, row in rows]
