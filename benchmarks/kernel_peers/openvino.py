"""OpenVINO, native, in float32 on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from benchmarks.workloads import Array

# Without the hint it may compute in bfloat16, where the processor can.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "PERFORMANCE_HINT": "LATENCY",
}


class OpenVino:
    """A compiled model, called as its documentation does."""

    def __init__(self) -> None:
        self._core = openvino.Core()

    def load(self, folder: Path, inputs: dict[str, Array]) -> None:
        self._model: Any = None  # the one before goes first
        self._inputs = inputs
        self._model = self._core.compile_model(folder / "model.onnx", "CPU", SETTINGS)

    def call(self, times: int) -> None:
        for _ in range(times):
            self._model(self._inputs)

    def answer(self) -> Sequence[Array]:
        found = self._model(self._inputs)
        return [np.asarray(found[output]) for output in self._model.outputs]

    def versions(self) -> dict[str, str]:
        return {"openvino": version("openvino")}
