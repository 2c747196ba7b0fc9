"""The models that ship: held-out rows to ask them, and onnxruntime's answers to compare with."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from e2e.servers import ROOT
from e2e.wire import HEADER_LENGTH, Answer

Array = NDArray[Any]


@dataclass(frozen=True)
class Model:
    """A model with one input and one output, both FP32. `row` is the shape of one of a batch."""

    name: str
    input: str
    output: str
    row: tuple[int, ...]
    answer: int

    def __str__(self) -> str:
        return self.name

    @property
    def infer(self) -> str:
        """Where it is asked."""
        return f"/v2/models/{self.name}/infer"

    def rows(self, count: int) -> Array:
        """The first rows that its training never saw."""
        with np.load(ROOT / "tests" / "data" / f"{self.name}.npz") as held_out:
            return np.asarray(held_out[self.input][:count], np.float32)

    def expected(self, rows: Array) -> Array:
        """What onnxruntime answers."""
        (answer,) = _session(self.name).run(None, {self.input: rows})
        return np.asarray(answer)


IRIS = Model("iris", "features", "probabilities", (4,), 3)
DIGITS = Model("digits", "image", "probabilities", (1, 8, 8), 10)
DIABETES = Model("diabetes", "features", "progression", (10,), 1)
MODELS = (IRIS, DIGITS, DIABETES)


@functools.cache
def _session(name: str) -> onnxruntime.InferenceSession:
    path = ROOT / "models" / name / "1" / "model.onnx"
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


# The same request in the three forms of the protocol


def as_json(model: Model, rows: Array, **more: Any) -> dict[str, Any]:
    """`more` are further keys of the request: id, outputs, parameters."""
    tensor = {
        "name": model.input,
        "shape": list(rows.shape),
        "datatype": "FP32",
        "data": rows.tolist(),
    }
    return {"inputs": [tensor], **more}


def as_binary(model: Model, rows: Array, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request whose data follows its JSON."""
    document = as_json(model, rows, **more)
    tensor = document["inputs"][0]
    del tensor["data"]
    tensor["parameters"] = {"binary_data_size": rows.nbytes}
    head = json.dumps(document).encode()
    return head + rows.tobytes(), {HEADER_LENGTH: str(len(head))}


def as_raw(rows: Array) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request that is nothing but data."""
    return rows.tobytes(), {HEADER_LENGTH: "0"}


def read(answer: Answer) -> Array:
    """The one output of an answer, from JSON or binary data."""
    assert answer.status == 200, answer.body
    (output,) = answer.json()["outputs"]
    assert output["datatype"] == "FP32"
    if "data" in output:
        data = np.array(output["data"], np.float32)
    else:
        data = np.frombuffer(answer.binary(), np.float32)
        assert output["parameters"]["binary_data_size"] == data.nbytes
    return data.reshape(output["shape"])


def assert_close(found: Array, expected: Array) -> None:
    """Equal but for the order in which float32 numbers were added up."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
