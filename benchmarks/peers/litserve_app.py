"""LitServe: an API for each model, at the path that the Open Inference Protocol has.

The JSON is the protocol's, written by hand; one worker process for each model is its way.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import numpy as np
import onnx_models


class Api(litserve.LitAPI):
    def __init__(self, name: str) -> None:
        super().__init__(api_path=f"/v2/models/{name}/infer")
        self.name = name

    def setup(self, device: str) -> None:
        self.model = onnx_models.Model(onnx_models.model_paths()[self.name])

    def predict(self, asked: dict[str, Any]) -> dict[str, Any]:
        return onnx_models.answer(self.name, self.model, asked)

    def encode_response(self, found: dict[str, Any]) -> dict[str, Any]:
        for output in found["outputs"]:
            if isinstance(output["data"], np.ndarray):
                output["data"] = output["data"].tolist()
        return found


if __name__ == "__main__":
    server = litserve.LitServer(
        [Api(name) for name in onnx_models.model_paths()], accelerator="cpu", devices=1
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
