"""A sample of the ONNX conformance suite, natively and through the component.

The whole suite is `python -m benchmarks.conformance`; its last recorded run says which cases
must pass here.
"""

from __future__ import annotations

import json
import random

import pytest
from onnx.backend.test.case.test_case import TestCase

from benchmarks import conformance

SEED = 7
NATIVE_CASES = 400
WASM_CASES = 120


@pytest.fixture(scope="module")
def passing() -> list[TestCase]:
    """The cases that passed in the recorded run, in a seeded order."""
    record = json.loads(conformance.RESULTS.read_text())
    passed = {c["name"] for c in record["cases"] if c["outcome"] == "passed"}
    found = [case for case in conformance.cases() if case.name in passed]
    random.Random(SEED).shuffle(found)
    return found


@pytest.mark.parametrize(
    ("runtime", "start", "count"),
    [("native", 0, NATIVE_CASES), ("wasm", NATIVE_CASES, WASM_CASES)],
)
def test_a_sample_passes(passing: list[TestCase], runtime: str, start: int, count: int) -> None:
    results = conformance.run_cases(passing[start : start + count], runtime)
    assert len(results) == count
    assert [f"{r.name}: {r.reason}" for r in results if r.outcome != "passed"] == []


def test_nine_in_ten_applicable_cases_passed_in_the_recorded_run() -> None:
    counts = json.loads(conformance.RESULTS.read_text())["counts"]
    assert counts["passed"] >= 0.9 * (counts["passed"] + counts.get("failed", 0))


def test_operators_page_is_made_from_the_recorded_run() -> None:
    record = json.loads(conformance.RESULTS.read_text())
    assert conformance.DOCS.read_text() == conformance.document(record)
