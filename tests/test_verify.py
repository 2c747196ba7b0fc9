"""verify: what counts as equal, and how a difference is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnlet.carrier import Array
from nnlet.errors import InferenceError, ModelError, VerifyError
from nnlet.model import ModelSpec, read_model
from nnlet.tensor import DataType
from nnlet.verify import FLOOR, TOLERANCE, compare, verify
from tests.compiler.onnxtext import model

DOUBLE = "f (float[n, 3] x) => (float[n, 3] y) { y = Add (x, x) }"


class Fake:
    """A runtime that answers twice the input, and `error` more in one element."""

    def __init__(self, error: float = 0.0, refuse: str = "") -> None:
        self.error = error
        self.refuse = refuse
        self.batches: list[int] = []

    def run(
        self, name: str, version: str, inputs: Mapping[str, Array], outputs: Sequence[DataType]
    ) -> list[Array]:
        if self.refuse:
            raise InferenceError("runtime-error", self.refuse)
        x = inputs["x"]
        self.batches.append(x.shape[0])
        y = x + x
        if y.size:
            y[0, 1] *= 1 + self.error
        return [y]


def spec(folder: Path, graph: str, example: dict[str, object] | None = None) -> ModelSpec:
    path = folder / "m" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model(graph), path)
    return read_model("m", "1", path, {"example": example} if example else {})


def test_every_batch_size_and_the_example_are_compared(tmp_path: Path) -> None:
    runtime = Fake()
    report = verify(spec(tmp_path, DOUBLE, {"x": [[1.0, 2.0, 3.0]]}), runtime)
    assert runtime.batches == [1, 1, 2, 3, 17]
    assert report.passed and report.compared == 5 and report.worst is None
    report.require()


def test_the_worst_element_is_named(tmp_path: Path) -> None:
    report = verify(spec(tmp_path, DOUBLE), Fake(error=0.01))
    assert not report.passed
    assert report.worst is not None and report.worst.index == (0, 1)
    with pytest.raises(VerifyError, match=r"m@1: .*output 'y'\[0, 1\]: compiled .*0\.0001"):
        report.require()


def test_a_tolerance_can_be_given(tmp_path: Path) -> None:
    assert verify(spec(tmp_path, DOUBLE), Fake(error=0.01), tolerance=0.02).passed


def test_a_model_that_only_the_compiled_form_refuses_fails(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="onnxruntime answers, the compiled model refuses: .*no"):
        verify(spec(tmp_path, DOUBLE), Fake(refuse="no"))


def test_sizes_that_onnxruntime_refuses_too_are_skipped(tmp_path: Path) -> None:
    graph = "f (float[n, 3] x) => (float[n, 3] y) { y = Reshape (x, s) }"
    proto = model(graph, constants={"s": np.array([2, 3], np.int64)})
    path = tmp_path / "m" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(proto, path)

    class Same(Fake):
        def run(
            self, name: str, version: str, inputs: Mapping[str, Array], outputs: Sequence[DataType]
        ) -> list[Array]:
            return [inputs["x"]]

    report = verify(read_model("m", "1", path, {}), Same())
    assert report.compared == 1  # batch 2
    assert all(c.skipped for c in report.checks if c.inputs != "n=2")


def test_a_model_that_onnxruntime_cannot_load_is_named(tmp_path: Path) -> None:
    found = spec(tmp_path, DOUBLE)
    found.path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime"):
        verify(found, Fake())


def array(*values: float, dtype: type = np.float32) -> Array:
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        (array(1.0, 2.0), array(1.0, 2.0), None),
        (array(np.nan), array(np.nan), None),
        (array(np.inf), array(np.inf), None),
        (array(np.inf), array(1.0), np.inf),
        (array(np.nan), array(1.0), np.inf),
        (array(1.01), array(1.0), 0.01),
        (array(1, 2, dtype=np.int64), array(1, 3, dtype=np.int64), np.inf),
        # Near zero the error is relative to the tensor's size, ...
        (array(1e-7, 10.0), array(0.0, 10.0), 1e-7 / np.sqrt(50)),
        # ... and never to less than FLOOR.
        (array(1e-7), array(0.0), 1e-7 / FLOOR),
    ],
)
def test_errors_are_relative(found: Array, expected: Array, error: float | None) -> None:
    worst = compare("y", found, expected)
    if error is None:
        assert worst is None
    else:
        assert worst is not None and worst.error == pytest.approx(error, rel=1e-4)


def test_other_shapes_and_types_are_no_answer() -> None:
    with pytest.raises(VerifyError, match=r"output 'y': compiled float32\[2\].*float32\[1\]"):
        compare("y", array(1, 2), array(1))
    with pytest.raises(VerifyError, match="float64"):
        compare("y", array(1), array(1, dtype=np.float64))


def test_float32_is_compared_to_four_digits() -> None:
    assert TOLERANCE["FP32"] == 1e-4
