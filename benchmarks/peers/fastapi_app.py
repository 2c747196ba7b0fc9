"""The FastAPI peer: what a careful author writes by hand, without a framework for models.

orjson in and out, no response models, one thread per session (the networks are small, and a
pool of threads only makes two workers fight over two cores), inference in the event loop
(a thread pool costs more than these models take). uvicorn imports this file by itself, so it
imports nothing of ours.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, HTTPException, Request, Response

NUMPY = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32}
OIP = {np.dtype(dtype): name for name, dtype in NUMPY.items()}

app = FastAPI()


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
        return list(self.session.run(self.outputs, inputs))


MODELS = {
    path.parent.parent.name: Model(path)
    for path in Path(os.environ["MODELS"]).glob("*/1/model.onnx")
}


def find(name: str) -> Model:
    if name not in MODELS:
        raise HTTPException(404, f"no model {name!r}")
    return MODELS[name]


@app.post("/raw/{name}")
async def raw(name: str, request: Request) -> Response:
    """One row's bytes in, the first output's bytes out."""
    model = find(name)
    row = np.frombuffer(await request.body(), np.float32).reshape(model.row)
    output = model.run({model.inputs[0].name: row})[0]
    return Response(output.tobytes(), media_type="application/octet-stream")


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: Request) -> Response:
    """The Open Inference Protocol, JSON only."""
    model = find(name)
    asked = orjson.loads(await request.body())
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
    answer = {"model_name": name, "model_version": "1", "outputs": outputs}
    if "id" in asked:
        answer["id"] = asked["id"]
    return Response(
        orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )
