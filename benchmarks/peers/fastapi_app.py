"""FastAPI: what a careful author writes by hand, without a framework for models.

orjson in and out, no response models, inference in the event loop (a thread pool costs more
than these models take).
"""

from __future__ import annotations

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from onnx_models import Model, answer, load_models

MODELS = load_models()

app = FastAPI()


def find(name: str) -> Model:
    if name not in MODELS:
        raise HTTPException(404, f"no model {name!r}")
    return MODELS[name]


@app.post("/raw/{name}")
async def raw(name: str, request: Request) -> Response:
    """One row's bytes in, the first output's bytes out."""
    output = find(name).run_raw(await request.body())
    return Response(output, media_type="application/octet-stream")


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: Request) -> Response:
    """The Open Inference Protocol, JSON only."""
    found = answer(name, find(name), orjson.loads(await request.body()))
    return Response(
        orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )
