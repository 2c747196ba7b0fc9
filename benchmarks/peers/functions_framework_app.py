"""functions-framework, which runs Google Cloud's functions: one function, from request to answer.

It gets every path, so it routes by itself. orjson instead of Flask's own JSON.
"""

from __future__ import annotations

import flask
import functions_framework
import orjson
from onnx_models import answer, load_models

MODELS = load_models()


@functions_framework.http
def infer(request: flask.Request) -> flask.Response:
    """`/v2/models/NAME/infer` is the Open Inference Protocol in JSON, `/raw/NAME` bytes."""
    _, kind, *rest = request.path.split("/")
    name = rest[0] if kind == "raw" else rest[1]
    if name not in MODELS:
        flask.abort(404, f"no model {name!r}")
    if kind == "raw":
        output = MODELS[name].run_raw(request.get_data(cache=False))
        return flask.Response(output, mimetype="application/octet-stream")
    found = answer(name, MODELS[name], orjson.loads(request.get_data(cache=False)))
    text = orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)
    return flask.Response(text, mimetype="application/json")
