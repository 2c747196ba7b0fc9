"""What the peers that are Python servers share: the models on onnxruntime, and the protocol.

Servers import this file by itself in environments of their own, so it imports nothing of ours.
One thread for each session: the networks are small, and a pool of threads only makes the
processes of a server fight over the cores.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NUMPY = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32}
OIP = {np.dtype(dtype): name for name, dtype in NUMPY.items()}


class Model:
    """One onnxruntime session and the names it takes and gives."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = self.session.get_inputs()
        self.outputs = [output.name for output in self.session.get_outputs()]
        # A raw request holds one row: every free dimension is 1.
        self.row = [size if isinstance(size, int) else 1 for size in self.inputs[0].shape]

    def run(self, inputs: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Every output, in order."""
        return list(self.session.run(self.outputs, inputs))

    def run_raw(self, row: bytes) -> bytes:
        """One row's bytes in, the first output's bytes out."""
        values = np.frombuffer(row, np.float32).reshape(self.row)
        return self.run({self.inputs[0].name: values})[0].tobytes()


def model_paths() -> dict[str, Path]:
    """The ONNX file of each model in the repository that $MODELS names."""
    found = Path(os.environ["MODELS"]).glob("*/1/model.onnx")
    return {path.parent.parent.name: path for path in found}


def load_models() -> dict[str, Model]:
    """All of them, by name."""
    return {name: Model(path) for name, path in model_paths().items()}


def answer(name: str, model: Model, asked: dict[str, Any]) -> dict[str, Any]:
    """An inference request of the Open Inference Protocol; data stays an array of NumPy."""
    inputs = {
        tensor["name"]: np.array(tensor["data"], NUMPY[tensor["datatype"]]).reshape(tensor["shape"])
        for tensor in asked["inputs"]
    }
    outputs = [
        {
            "name": output,
            "datatype": OIP[values.dtype],
            "shape": list(values.shape),
            "data": values.ravel(),
        }
        for output, values in zip(model.outputs, model.run(inputs), strict=True)
    ]
    found = {"model_name": name, "model_version": "1", "outputs": outputs}
    return found | ({"id": asked["id"]} if "id" in asked else {})
