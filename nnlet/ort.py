"""The inference seam on onnxruntime: for `nnlet dev`, and wherever no wasmtime is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime

from nnlet.errors import InferenceError
from nnlet.guest.backend import Backend
from nnlet.guest.tensors import Tensor
from nnlet.tensor import DATATYPES, DataType

Array = np.ndarray[Any, np.dtype[Any]]

# By onnxruntime's name of a tensor's type.
_BY_TYPE = {f"tensor({row.onnx_name})": row for row in DATATYPES.values()}


class OnnxRuntime(Backend):
    """Computes the graphs of the model repository at `models`.

    Sessions are kept until their file changes, whatever else is loaded anew meanwhile.
    """

    __slots__ = ("_models", "_sessions")

    def __init__(self, models: Path) -> None:
        self._models = models
        self._sessions: dict[str, tuple[tuple[int, int], Any]] = {}

    def load(self, graph: str) -> None:
        self._session(graph)

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        session = self._session(graph)
        takes = {info.name: _BY_TYPE[info.type] for info in session.get_inputs()}
        gives = [_BY_TYPE[info.type] for info in session.get_outputs()]
        feeds = {name: _to_array(tensor, takes[name]) for name, tensor in inputs}
        try:
            answers = session.run(None, feeds)
        except Exception as exc:  # onnxruntime has a class for each of its codes
            raise InferenceError("runtime-error", _first_line(exc)) from exc
        return [_to_tensor(answer, own) for answer, own in zip(answers, gives, strict=True)]

    def _session(self, graph: str) -> Any:
        name, _, version = graph.rpartition("@")
        path = self._models / name / version / "model.onnx"
        try:
            state = path.stat()
        except OSError as exc:
            raise InferenceError("not-found", f"no {path}") from exc
        stamp = (state.st_mtime_ns, state.st_size)
        kept = self._sessions.get(graph)
        if kept is None or kept[0] != stamp:
            kept = (stamp, _open(path))
            self._sessions[graph] = kept
        return kept[1]


def _open(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what is refused is raised as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:
        raise InferenceError("runtime-error", _first_line(exc)) from exc


def _to_array(tensor: Tensor, own: DataType) -> Array:
    carried = np.frombuffer(tensor.data, _dtype(DATATYPES[tensor.datatype]))
    return carried.reshape(tensor.shape).astype(_dtype(own), copy=False)


def _to_tensor(array: Array, own: DataType) -> Tensor:
    carried = array.astype(_dtype(DATATYPES[own.carrier]), copy=False)
    return Tensor(own.carrier, array.shape, carried.tobytes())


def _dtype(row: DataType) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if row.name == "BF16" else f"{row.kind}{row.size}")


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]
