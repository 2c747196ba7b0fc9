"""onnxruntime, native, on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.workloads import Array


class OnnxRuntime:
    """A session with onnxruntime's default optimizations, called as its documentation does."""

    def load(self, folder: Path, inputs: dict[str, Array]) -> None:
        self._session: Any = None  # the one before goes first
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._inputs = inputs
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def call(self, times: int) -> None:
        for _ in range(times):
            self._session.run(None, self._inputs)

    def answer(self) -> Sequence[Array]:
        return [np.asarray(output) for output in self._session.run(None, self._inputs)]

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": version("onnxruntime")}
