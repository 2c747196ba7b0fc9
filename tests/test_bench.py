"""The measurements are taken; what they say is nobody's test."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from nnlet import bench as module
from nnlet import breakdown, chart
from nnlet.bench import Bench, Seen, bench
from nnlet.breakdown import Breakdown, Clocks, arrays, provider_ms, read_clocks
from nnlet.build import Report, build_function, precompiled
from nnlet.client import ModelInfo, Tensor, TensorInfo
from nnlet.display import bench_panels, bench_table, breakdown_table
from nnlet.errors import HostError, RequestError, ToolMissing
from nnlet.host import Provider, Wasmtime, find_wasmtime
from nnlet.load import Load, Request, load
from nnlet.project import Project

DOUBLE = ModelInfo(
    "double", ("1",), (TensorInfo("x", "FP32", (-1, 4)),), (TensorInfo("y", "FP32", (-1, 4)),)
)


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
    monkeypatch.setitem(module.PROVIDERS, "host", served)
    monkeypatch.setattr(module, "provider_ms", lambda *_: 0.001)
    monkeypatch.setattr(module, "STARTS", 1)
    monkeypatch.setattr("nnlet.load.TOGETHER", 0.05)


@pytest.mark.usefixtures("without_componentize")
def test_every_measure_is_there(project: Project, fake_wasmtime: Callable[..., Path]) -> None:
    (result,) = bench(project, provider="host", wasmtime=fake_wasmtime(), seconds=1)
    measured = json.loads(json.dumps(result.as_json()))
    assert (measured["model"], measured["provider"]) == ("double", "host")
    assert measured["failed"] == 0
    assert measured["component_bytes"] == 1000
    assert 0 < measured["component_gzip_bytes"] < 1000
    for name in ("cold_start_ms", "fresh_p50_ms", "p50_ms", "per_second", "resident_mib"):
        assert measured[name] > 0
    assert isinstance(measured["further_instance_mib"], float)
    request = measured["request_ms"]
    assert request.pop("total") == pytest.approx(sum(request.values()))
    assert request["inference"] == 0.001
    assert request["tensor_crossing"] == pytest.approx(0.0015)
    assert request["guest_python"] == pytest.approx(0.0045)


@pytest.mark.usefixtures("without_componentize")
def test_a_model_without_an_example_cannot_be_measured(
    project: Project, fake_wasmtime: Callable[..., Path]
) -> None:
    with pytest.raises(RequestError, match="no model 'none' here: there is double"):
        bench(project, ["none"], "host", fake_wasmtime())
    (project.models / "double" / "model.toml").unlink()
    with pytest.raises(RequestError, match=r"no \[example\] in the model\.toml of double"):
        bench(project, ["double"], "host", fake_wasmtime())
    with pytest.raises(RequestError, match=r"no \[example\] in the model\.toml of any model"):
        bench(project, [], "host", fake_wasmtime())


# Where the time goes


def test_parts_are_what_lies_between_the_clocks_and_add_up() -> None:
    found = Breakdown(Clocks(client=1.0, handler=0.75, inference=0.25), provider=0.125)
    assert found.parts == {
        "inference": 0.125,
        "tensor crossing": 0.125,
        "guest Python": 0.5,
        "host and wire": 0.25,
    }
    assert found.as_json() == {
        "inference": 0.125,
        "tensor_crossing": 0.125,
        "guest_python": 0.5,
        "host_and_wire": 0.25,
        "total": 1.0,
    }


def test_a_function_without_clocks_is_named(
    fake_wasmtime: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = find_wasmtime(fake_wasmtime())
    monkeypatch.setattr(breakdown, "HANDLER", "Other.handle")
    with pytest.raises(HostError, match="no Other.handle and WasiNN.infer at /profile: found Wasi"):
        read_clocks(tool, tmp_path, NoProvider(), Request("/", b""), tmp_path, 1)


def test_a_requests_tensors_are_arrays_too() -> None:
    found = arrays(
        [
            Tensor("a", "FP32", (1, 2), [[1.5, 2]]),
            Tensor("b", "INT64", (2,), np.array([3, 4]).tobytes()),
        ]
    )
    assert (found["a"].dtype, found["a"].tolist()) == (np.float32, [[1.5, 2]])
    assert (found["b"].dtype, found["b"].tolist()) == (np.int64, [3, 4])


@pytest.mark.parametrize("provider", ["compiled", "host"])
def test_a_provider_is_called_alone(
    project: Project, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if provider == "host":
        pytest.importorskip("openvino", reason="pip install -r requirements/host.txt")
    monkeypatch.setattr(breakdown, "SECONDS", 0)
    inputs = {"x": np.ones((1, 4), np.float32)}
    assert isinstance(provider_ms(project, provider, DOUBLE, inputs), float)
    if provider == "host":
        with pytest.raises(ToolMissing, match="OpenVINO could not be timed alone: .*z"):
            provider_ms(project, provider, DOUBLE, {"z": inputs["x"]})


# How it is shown

LOAD = Load(per_second=4567.8, p50_ms=0.4321, p99_ms=1.5, failed=0)
SEEN = Seen((31.0, 29.0, 30.0), Load(400, 2.25, 3, 0), LOAD, LOAD, 115.6, 2.75)
CLOCKS = Clocks(client=0.5, handler=0.375, inference=0.125)
DIGITS = Bench("digits", "compiled", "wrk", SEEN, Breakdown(CLOCKS, 0.0625), 19_100_000, 6_440_000)
IRIS = Bench("iris", "compiled", "wrk", SEEN, Breakdown(CLOCKS, 0.002), 19_100_000, 6_440_000)


def shown(table: Table) -> list[str]:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_table_has_a_row_for_each_measure_and_a_column_for_each_model() -> None:
    assert shown(bench_table([DIGITS, IRIS])) == [
        "measure digits iris",
        "process spawned to first answer 30 ms 30 ms",
        "a fresh instance for every request, p50 2.25 ms 2.25 ms",
        "one connection, p50 0.432 ms 0.432 ms",
        "one connection, p99 1.5 ms 1.5 ms",
        "16 connections 4,568/s 4,568/s",
        "resident memory 116 MiB 116 MiB",
        "each further warm instance 2.75 MiB 2.75 MiB",
        "component 19.1 MB 19.1 MB",
        "component, gzip 6.44 MB 6.44 MB",
        "failed requests 0 0",
        "provider compiled, measured with wrk",
    ]


def test_where_the_time_goes_is_a_bar_for_each_part() -> None:
    title, *parts, whole = shown(breakdown_table(DIGITS))
    assert title == "where one warm request for digits goes"
    assert whole == "all, with clocks in it 0.5 ms"
    assert [part.rstrip("█ ") for part in parts] == [
        "inference 0.0625 ms 12%",
        "tensor crossing 0.0625 ms 12%",
        "guest Python 0.25 ms 50%",
        "host and wire 0.125 ms 25%",
    ]
    assert [part.count("█") for part in parts] == [5, 5, 20, 10]


def test_the_chart_has_three_panels_for_each_model_and_the_same_bytes_twice(tmp_path: Path) -> None:
    panels = bench_panels([DIGITS, IRIS])
    assert [panel.title for panel in panels[:3]] == [
        "digits: an answer from",
        "digits: where a warm request goes",
        "digits: memory",
    ]
    assert [bar.text for bar in panels[0].bars] == ["30 ms", "2.25 ms", "0.432 ms"]
    one, two, png = (tmp_path / name for name in ("one.svg", "two.svg", "three.png"))
    for path in (one, two, png):
        chart.draw(panels, path, "footer")
    text = one.read_text()
    assert text == two.read_text()
    for word in ("guest Python", "each further instance", "iris: memory", "footer"):
        assert word in text
    assert png.read_bytes()[:4] == b"\x89PNG"


def test_a_value_that_was_not_measured_has_no_bar(tmp_path: Path) -> None:
    bars = [chart.Bar("a", 1.0, "1 ms", low=0.5, high=2.0), chart.Bar("b", None, "-")]
    chart.draw([chart.Panel("title", bars)], tmp_path / "a.svg")
    without = [chart.Bar("a", 1.0, "1 ms", low=0.5, high=2.0), chart.Bar("b", 1.0, "-")]
    chart.draw([chart.Panel("title", without)], tmp_path / "b.svg")
    drawn = [(tmp_path / name).read_text().count(chart.PLAIN) for name in ("a.svg", "b.svg")]
    assert drawn == [1, 2]


@pytest.mark.parametrize("client", ["wrk", "python"])
def test_a_server_that_does_not_answer_has_no_numbers(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if client == "python":
        monkeypatch.setattr("nnlet.load._wrk_version", lambda: "")
    elif not shutil.which("wrk"):
        pytest.skip("wrk is not on PATH: apt-get install wrk")
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(HostError, match="no answer to /x in 1 s: the server is stuck, or slower"),
    ):
        load(mute.getsockname()[1], Request("/x", b""), connections=1, seconds=1)
