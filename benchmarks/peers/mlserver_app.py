"""MLServer with its models in the serving process: a runtime of our own; the protocol is its own.

What `mlserver start` does, without a folder of settings. No workers beside it, no metrics
server, no compression, no debug log.
"""

from __future__ import annotations

import asyncio
import sys

import onnx_models
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import install_uvloop_event_loop


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self.model = onnx_models.Model(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        outputs = [
            NumpyCodec.encode_output(name, values)
            for name, values in zip(self.model.outputs, self.model.run(inputs), strict=True)
        ]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)


async def main(http_port: int, grpc_port: int) -> None:
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=http_port,
        grpc_port=grpc_port,
        parallel_workers=0,
        metrics_endpoint=None,
        gzip_enabled=False,
    )
    models = [
        ModelSettings(
            name=name,
            implementation=OnnxModel,
            parameters=ModelParameters(uri=str(path)),
        )
        for name, path in onnx_models.model_paths().items()
    ]
    await MLServer(settings).start(models)


if __name__ == "__main__":
    install_uvloop_event_loop()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
