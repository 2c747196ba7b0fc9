"""A child's log, and its end."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from nnlet import process
from nnlet.process import Child


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_errors_go_to_the_log(tmp_path: Path) -> None:
    code = "import sys; print('one', flush=True); sys.exit('two')"
    with Child(python(code), tmp_path / "logs" / "child.log") as child:
        assert child.follow(io.StringIO()) == 1
    assert child.output() == "one\ntwo\n"


def test_follow_copies_what_is_logged_from_then_on(tmp_path: Path) -> None:
    code = "import time; time.sleep(0.5); print('late')"
    with Child(python(code), tmp_path / "child.log") as child:
        copied = io.StringIO()
        assert child.follow(copied) == 0
    assert copied.getvalue() == "late\n"


def test_a_followed_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 1000)
    code = "import time\nfor i in range(40):\n print(i, 'x' * 100, flush=True); time.sleep(0.02)"
    with Child(python(code), tmp_path / "child.log") as child:
        copied = io.StringIO()
        child.follow(copied)
    numbers = [int(line.split()[0]) for line in copied.getvalue().splitlines()]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 39
    assert len(child.output()) < 40 * 100


def test_a_child_that_ignores_the_request_to_stop_is_ended(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(600)"
    )
    with Child(python(code), tmp_path / "child.log") as child:
        while "deaf" not in child.output():
            assert child.exit_code is None
    assert child.exit_code == -9
