"""`nnlet bench` on the function itself: the one run whose clocks are real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from e2e.servers import ROOT


def test_a_request_is_told_in_parts(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    words = ["bench", "digits", "--seconds", "1", "--json", "--chart", str(chart)]
    done = subprocess.run(
        [sys.executable, "-m", "nnlet", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model"], found["provider"], found["failed"]) == ("digits", "compiled", 0)
    parts = found["request_ms"]
    assert parts.pop("total") > parts["guest_python"] > 0
    assert set(parts) == {"inference", "tensor_crossing", "guest_python", "host_and_wire"}
    assert parts["inference"] > 0
    assert found["fresh_p50_ms"] > 0
    assert "digits: where a warm request goes" in chart.read_text()
