"""The workloads of benchmarks.kernels: real models, with inputs that fit, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.workloads import WORKLOADS, Workload, read_inputs

# forest_1000 is the model of forest_1, which takes seconds to make.
CHOSEN = [workload for name, workload in WORKLOADS.items() if name != "forest_1000"]


@pytest.fixture(scope="module", params=CHOSEN, ids=lambda w: w.name)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workload, Path]:
    workload: Workload = request.param
    return workload, workload.write(tmp_path_factory.mktemp("workloads"))


def test_it_answers_with_numbers(written: tuple[Workload, Path]) -> None:
    _, folder = written
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for output in session.run(None, read_inputs(folder)):
        assert np.isfinite(output).all()
        assert np.ptp(output) > 0 or output.size == 1


def test_it_is_the_same_every_time(written: tuple[Workload, Path]) -> None:
    workload, folder = written
    again = workload.model().SerializeToString(deterministic=True)
    first = onnx.load(folder / "model.onnx").SerializeToString(deterministic=True)
    assert again == first
    for name, array in workload.inputs().items():
        np.testing.assert_array_equal(array, read_inputs(folder)[name])


def test_what_was_written_is_kept(tmp_path: Path) -> None:
    workload = WORKLOADS["empty"]
    model = workload.write(tmp_path) / "model.onnx"
    model.write_bytes(b"kept")
    workload.write(tmp_path)
    assert model.read_bytes() == b"kept"
