"""KServe's Python server: a Model for each file; the protocol is its own.

No gRPC, no log line for each request. `predict` runs in the event loop.
"""

from __future__ import annotations

import logging
from typing import Any

import onnx_models
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid


class OnnxModel(Model):
    def load(self) -> bool:
        self.model = onnx_models.Model(onnx_models.model_paths()[self.name])
        self.ready = True
        return True

    def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, *rest: Any
    ) -> InferResponse:
        inputs = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        outputs = []
        for name, values in zip(self.model.outputs, self.model.run(inputs), strict=True):
            datatype = onnx_models.OIP[values.dtype]
            output = InferOutput(name=name, datatype=datatype, shape=list(values.shape))
            output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or generate_uuid(),
            model_name=self.name,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
        )


if __name__ == "__main__":
    models = [OnnxModel(name) for name in onnx_models.model_paths()]
    for model in models:
        model.load()
    # --http_port, --enable_grpc and so on are read from the command line by kserve itself.
    server = ModelServer()
    for logger in ("kserve.trace", "uvicorn.access"):  # three lines for each request
        logging.getLogger(logger).setLevel("WARNING")
    server.start(models)
