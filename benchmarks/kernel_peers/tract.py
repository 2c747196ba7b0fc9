"""tract, native; it has one thread unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tract  # type: ignore[import-untyped]

from benchmarks.workloads import Array


class Tract:
    """An optimized plan. Dims that vary are set to the inputs', as tract wants to know them."""

    def load(self, folder: Path, inputs: dict[str, Array]) -> None:
        self._plan: Any = None  # the one before goes first
        model = tract.onnx().load(folder / "model.onnx")
        for number, array in enumerate(inputs.values()):
            dims = ",".join(map(str, array.shape))
            model.set_input_fact(number, f"{dims},f32")
        for number in range(model.output_count()):
            model.set_output_fact(number, None)  # what it finds itself
        self._inputs = list(inputs.values())
        self._plan = model.into_model().into_runnable()

    def call(self, times: int) -> None:
        for _ in range(times):
            self.answer()

    def answer(self) -> Sequence[Array]:
        return [output.to_numpy() for output in self._plan.run(self._inputs)]

    def versions(self) -> dict[str, str]:
        return {"tract": version("tract")}
