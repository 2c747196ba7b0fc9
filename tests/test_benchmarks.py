"""benchmarks/: what it writes, what it installs, and that its pages say what there is."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import function, function_docs
from benchmarks.chart import panels
from benchmarks.markdown import replace_section, table
from benchmarks.peers import Unavailable, environment, oip_binary
from benchmarks.peers.environment import Environment
from benchmarks.peers.framework import FOLDER, Framework
from benchmarks.peers.table import PEERS
from benchmarks.report import Report
from benchmarks.served import Served
from nnlet import chart
from nnlet.measure import FIRST, RESIDENT

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"

FRAMEWORKS = [
    peer for name, make in PEERS.items() if name not in function.OURS and (peer := make())
]


def results(**settings: Any) -> dict[str, Any]:
    """What Report.save writes of two peers, of which one was not measured for memory."""
    report = Report((FIRST, RESIDENT), {"python": "3.11"}, settings)
    for value in (30, 31, 36):
        report.add("nnlet-compiled", "mlp", "first", value)
    report.add("kserve", "mlp", "first", 1500)
    report.add("nnlet-compiled", "mlp", "rss", 116.4)
    return {
        "command": "python -m benchmarks.function",
        "when": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": 2, "cpu": "a CPU", "memory_gib": 24, "system": "Linux 6"},
        "busy_before_each_round": [0.01, 0.034],
        "versions": report.versions,
        "settings": report.settings,
        "measures": [vars(measure) for measure in report.measures],
        "results": [vars(result) for result in report.results()],
    }


def test_the_section_has_a_row_for_each_measure_and_a_column_for_each_peer() -> None:
    found = function_docs.section(
        results(
            peers=["nnlet-compiled", "kserve", "bentoml"],
            rounds=3,
            client="wrk",
            json={"kserve": "its own protocol"},
            left_out={"bentoml": "no answer:\nits log ends"},
        )
    )
    assert found.splitlines() == [
        "`python -m benchmarks.function`, 2026-01-02: medians of 3 rounds, client wrk, 2 cores, "
        "a CPU, 24 GiB, Linux 6; 3% of the machine busy with other work at most. python 3.11.",
        "",
        "**mlp**",
        "",
        "|  | nnlet-compiled | kserve |",
        "| --- | ---: | ---: |",
        "| process spawned to first answer, ms | 31 | 1,500 |",
        "| resident memory, MiB | 116 | - |",
        "| the JSON route is | - | its own protocol |",
        "",
        "Not measured:",
        "",
        "- bentoml: `no answer: its log ends`",
    ]


def test_ours_stand_out_in_the_chart_and_what_is_missing_has_its_place() -> None:
    content = results()
    (panel,) = panels(content, "mlp")  # memory was measured of one peer only
    assert panel.title == "process spawned to first answer (less is better)"
    assert [(bar.label, bar.text, bar.colour) for bar in panel.bars] == [
        ("nnlet-compiled", "31 ms", chart.STRONG),
        ("kserve", "1,500 ms", chart.PLAIN),
    ]
    assert (panel.bars[0].low, panel.bars[0].high) == (30, 36)


def test_a_section_is_replaced_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: -->\nold\n<!-- :a -->\nafter\n")
    replace_section(page, "a", table(("x", "y"), [("1", "2")]))
    replace_section(page, "a", table(("x", "y"), [("3", "4")]))
    assert page.read_text() == (
        "before\n<!-- a: -->\n\n| x | y |\n| --- | ---: |\n| 3 | 4 |\n\n<!-- :a -->\nafter\n"
    )
    with pytest.raises(SystemExit, match="page.md has no <!-- b: -->"):
        replace_section(page, "b", "")


def test_the_performance_page_has_what_was_recorded() -> None:
    content = json.loads(function.RESULT.read_text())
    assert function_docs.section(content) in function.DOCS.read_text()


def test_every_command_is_on_the_page() -> None:
    page = (BENCHMARKS / "README.md").read_text()
    named = set(re.findall(r"`python -m (benchmarks\.\w+)", page))
    there = {
        f"benchmarks.{path.stem}"
        for path in BENCHMARKS.glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    assert named == there


# The peers


@pytest.mark.parametrize("name", PEERS)
def test_what_a_peer_serves_and_its_lock_are_there(name: str) -> None:
    peer = PEERS[name]()
    assert peer.json_route in ("its own protocol", "written by hand")
    if isinstance(peer, Framework):
        assert (FOLDER / peer.app).is_file()
        lock = (environment.LOCKS / f"{peer.lock}.txt").read_text()
        assert all(re.search(rf"^{name}==", lock, re.MULTILINE) for name in peer.told)


def test_peers_are_named_with_commas() -> None:
    assert function._peers("kserve, fastapi") == ("kserve", "fastapi")
    with pytest.raises(argparse.ArgumentTypeError, match="no peer triton: there is nnlet-compiled"):
        function._peers("triton")


def test_a_peer_that_fails_is_left_out_with_the_reason_and_ours_never(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report((FIRST,), {}, {"left_out": {}})
    report.add("kserve", "mlp", "first", 1)
    report.add("fastapi", "mlp", "first", 1)
    function._leave_out(report, "kserve", function.Failed("no answer"))
    assert report.settings["left_out"] == {"kserve": "no answer"}
    assert [name for name, _, _ in report.samples] == ["fastapi"]
    assert "kserve is left out: no answer" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="nnlet-host: no answer"):
        function._leave_out(report, "nnlet-host", function.Failed("no answer"))


def test_a_wrong_answer_is_not_timed() -> None:
    model = Served("mlp", b"", b"{}", np.array([1, 2], np.float32))
    wrong = b'{"outputs": [{"data": [1, 3]}]}'
    with pytest.raises(function.Failed, match="a wrong answer for mlp: mlp: answered"):
        function._check(0, FRAMEWORKS[-1], model, wrong)
    function._check(0, FRAMEWORKS[-1], model, wrong.replace(b"3", b"2"))


def test_binary_tensors_are_a_header_and_the_rows_bytes() -> None:
    asked = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    row = np.array([1, 2], np.float32).tobytes()
    request = oip_binary(Served("mlp", row, json.dumps(asked).encode(), np.empty(0, np.float32)))
    size = int(dict(request.headers)["Inference-Header-Content-Length"])
    assert request.body[size:] == row
    assert json.loads(request.body[:size]) == {
        "inputs": [
            {
                "name": "x",
                "shape": [1, 2],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 8},
            }
        ],
        "parameters": {"binary_data_output": True},
    }


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environment, "LOCKS", tmp_path)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    return tmp_path


def test_an_environment_is_made_once_for_a_lock(locks: Path) -> None:
    (locks / "none.txt").write_text("# nothing\n")
    made = Environment("none", locks / "venv")
    made.make()
    python = made.python.lstat().st_ino
    made.make()
    assert made.python.lstat().st_ino == python
    assert made.python != Path(sys.executable)
    assert made.versions() == {}


def test_what_cannot_be_installed_is_said(locks: Path) -> None:
    (locks / "broken.txt").write_text("./missing-1.0-py3-none-any.whl\n")
    with pytest.raises(Unavailable, match="missing|hash"):
        Environment("broken", locks / "venv").make()
    assert not (locks / "venv" / "installed.txt").exists()
