"""What every server is given to serve, and the answer that it must give.

Two models: digits as it ships (a convolutional network), and a multilayer perceptron
64-128-10 made on the fly, in which the tensor math is next to nothing and the server all.
benchmarks.function adds a third, in which it is nothing at all and the tensor large.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nnlet.model import read_model, read_toml

ROOT = Path(__file__).parent.parent
SIZES = (64, 128, 10)
IMAGE_SHAPE = (3, 224, 224)
TOLERANCE = 1e-2  # loose: a provider may compute in bfloat16, and this only rules out nonsense


@dataclass(frozen=True)
class Served:
    """A model, one row for it as two request bodies, and onnxruntime's answer."""

    name: str
    raw: bytes
    json: bytes
    expected: NDArray[np.float32]

    def check_raw(self, body: bytes) -> None:
        """The answer's own bytes come last, whatever header stands before them."""
        self._check(np.frombuffer(body[-self.expected.nbytes :], np.float32))

    def check_json(self, body: bytes) -> None:
        """An answer of the Open Inference Protocol, its data flat or nested."""
        (output,) = json.loads(body)["outputs"]
        self._check(np.array(output["data"], np.float32).ravel())

    def _check(self, found: NDArray[np.float32]) -> None:
        if not np.allclose(found, self.expected, atol=TOLERANCE):
            raise ValueError(f"{self.name}: answered {found}, expected {self.expected}")


def repository(folder: Path) -> list[Served]:
    """Make `folder` a model repository of the two models."""
    shutil.copytree(ROOT / "models" / "digits", folder / "digits", dirs_exist_ok=True)
    path = folder / "mlp" / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(perceptron(), path)
    row = read_toml(folder / "digits" / "model.toml")["example"]["image"]
    image = np.array(row, np.float32)
    return [_served(folder, "digits", image), _served(folder, "mlp", image.reshape(1, -1))]


def image(folder: Path) -> Served:
    """Add a model that takes a picture, 600 KB, and gives its first pixel.

    To compute that takes no time: what is measured is the way there and back.
    """
    path = folder / "image" / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(first_pixel(), path)
    return _served(
        folder, "image", np.random.default_rng(0).random((1, *IMAGE_SHAPE)).astype(np.float32)
    )


def _served(folder: Path, name: str, row: NDArray[np.float32]) -> Served:
    spec = read_model(name, "1", folder / name / "1" / "model.onnx", {})
    session = onnxruntime.InferenceSession(spec.path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {spec.inputs[0].name: row})
    tensor: dict[str, Any] = {
        "name": spec.inputs[0].name,
        "shape": list(row.shape),
        "datatype": "FP32",
        "data": row.ravel().tolist(),
    }
    return Served(
        name=name,
        raw=row.tobytes(),
        json=json.dumps({"inputs": [tensor]}).encode(),
        expected=np.asarray(answer, np.float32).ravel(),
    )


def first_pixel() -> onnx.ModelProto:
    """Slice: [1, 3, 224, 224] to [1, 3, 1, 1]."""
    bounds = {"starts": [0, 0], "ends": [1, 1], "axes": [2, 3]}
    graph = helper.make_graph(
        [helper.make_node("Slice", ["image", *bounds], ["pixel"])],
        "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *IMAGE_SHAPE])],
        [helper.make_tensor_value_info("pixel", TensorProto.FLOAT, [1, IMAGE_SHAPE[0], 1, 1])],
        [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in bounds.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def perceptron() -> onnx.ModelProto:
    """Gemm, Relu, Gemm, Softmax with random weights: the same ones every time."""
    random = np.random.default_rng(0)
    rows, hidden, classes = SIZES
    weights = {
        "w1": random.standard_normal((rows, hidden)) / rows**0.5,
        "b1": random.standard_normal(hidden),
        "w2": random.standard_normal((hidden, classes)) / hidden**0.5,
        "b2": random.standard_normal(classes),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "w1", "b1"], ["gemm_1"]),
            helper.make_node("Relu", ["gemm_1"], ["relu_1"]),
            helper.make_node("Gemm", ["relu_1", "w2", "b2"], ["gemm_2"]),
            helper.make_node("Softmax", ["gemm_2"], ["probabilities"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", rows])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
