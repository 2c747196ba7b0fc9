"""BentoML: a service with a route for each model, at the path of the Open Inference Protocol.

The JSON is the protocol's, written by hand: BentoML reads the request's fields by name.
One worker, no traces, no metrics, no access log.
"""

from __future__ import annotations

from typing import Any

import bentoml
import onnx_models


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Models:
    def __init__(self) -> None:
        self.models = onnx_models.load_models()

    @bentoml.api(route="/v2/models/digits/infer")
    async def digits(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return self.infer("digits", inputs)

    @bentoml.api(route="/v2/models/mlp/infer")
    async def mlp(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return self.infer("mlp", inputs)

    def infer(self, name: str, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        found = onnx_models.answer(name, self.models[name], {"inputs": inputs})
        for output in found["outputs"]:
            output["data"] = output["data"].tolist()
        return found
