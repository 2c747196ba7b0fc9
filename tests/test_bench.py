"""The measurements are taken; what they say is nobody's test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nnlet import bench as module
from nnlet.bench import bench
from nnlet.build import Report, build_function, precompiled
from nnlet.display import bench_table
from nnlet.errors import RequestError
from nnlet.host import Provider, Wasmtime
from nnlet.project import Project


class NoProvider:
    """Computes nothing."""

    def flags(self) -> list[str]:
        return []

    def environment(self) -> dict[str, str]:
        return {}

    def complaint(self) -> str | None:
        return None


@pytest.fixture
def without_componentize(monkeypatch: pytest.MonkeyPatch) -> None:
    def served(project: Project, tool: Wasmtime, report: Report) -> tuple[object, Provider]:
        return precompiled(project, build_function(project, report), tool, report), NoProvider()

    monkeypatch.setattr(
        "nnlet.build._componentize", lambda project, path: path.write_text("a" * 1000)
    )
    monkeypatch.setitem(module.PROVIDERS, "compiled", served)
    monkeypatch.setattr(module, "STARTS", 1)


@pytest.mark.usefixtures("without_componentize")
def test_every_measure_is_there(project: Project, fake_wasmtime: Callable[..., Path]) -> None:
    result = bench(project, wasmtime=fake_wasmtime(), seconds=1)
    measured = json.loads(json.dumps(result.as_json()))
    assert measured["model"] == "double"
    assert measured["failed"] == 0
    assert measured["component_bytes"] == 1000
    assert 0 < measured["component_gzip_bytes"] < 1000
    for name in ("cold_start_ms", "p50_ms", "per_second", "resident_mib"):
        assert measured[name] > 0
    assert bench_table(result).row_count == 8


@pytest.mark.usefixtures("without_componentize")
def test_a_model_without_an_example_cannot_be_measured(
    project: Project, fake_wasmtime: Callable[..., Path]
) -> None:
    with pytest.raises(RequestError, match="no model 'none' here: there is double"):
        bench(project, "none", wasmtime=fake_wasmtime())
    (project.models / "double" / "model.toml").unlink()
    with pytest.raises(RequestError, match=r"no \[example\] in the model\.toml of double"):
        bench(project, "double", wasmtime=fake_wasmtime())
