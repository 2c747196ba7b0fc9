"""A seeded sample of the fuzz runs in benchmarks/; the long ones are recorded there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.servers import serving

from benchmarks import fuzz_compiler, fuzz_function

SEED = 5


def test_mutated_models_neither_hang_nor_escape_their_memory() -> None:
    counts, findings = fuzz_compiler.fuzz(250, SEED)
    assert findings == []
    assert counts["ran"] > 10 and counts["refused"] > 100


def test_mutated_requests_are_answered_in_words_and_the_next_one_too() -> None:
    with serving("compiled") as server:
        statuses, findings = fuzz_function.fuzz(server.url, 1000, SEED)
    assert findings == []
    assert statuses[200] > 100 and statuses[400] > 100


@pytest.mark.parametrize("path", [fuzz_compiler.RESULTS, fuzz_function.RESULTS])
def test_the_recorded_run_was_long_and_found_nothing(path: Path) -> None:
    record = json.loads(path.read_text())
    runs = record.get("counts") or record["statuses"]
    assert sum(runs.values()) >= 10_000
    assert record["findings"] == []
