"""The endpoints of the Open Inference Protocol: each a function from request to response.

Specification: specification/protocol/inference_rest.md of kserve/open-inference-protocol.
Model list, configuration and repository index are KServe's and Triton's additions, which
their clients call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nnlet
from nnlet.errors import HTTPError, InferenceError
from nnlet.guest.messages import Request, Response
from nnlet.guest.models import PLATFORM, Model, TensorInfo
from nnlet.guest.protocol import read_request, write_response
from nnlet.guest.routes import Route

if TYPE_CHECKING:
    from nnlet.guest.app import App

INDEX_REQUEST = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository"]


def live(request: Request, app: App) -> Response:
    """Whether requests are answered."""
    return Response.json({"live": True})


def ready(request: Request, app: App) -> Response:
    """Whether every model is ready."""
    for model in app.models.all:
        _load(app, model)
    return Response.json({"ready": True, "live": True})


def server_metadata(request: Request, app: App) -> Response:
    """Name, version and protocol extensions."""
    return Response.json({"name": app.name, "version": nnlet.__version__, "extensions": EXTENSIONS})


def model_list(request: Request, app: App) -> Response:
    """The names of all models."""
    return Response.json({"models": app.models.names()})


def model_metadata(request: Request, app: App) -> Response:
    """What a model takes and gives."""
    model = _find(request, app)
    return Response.json(
        {
            "name": model.name,
            "versions": app.models.versions(model.name),
            "platform": PLATFORM,
            "inputs": [info.metadata() for info in model.inputs.values()],
            "outputs": [info.metadata() for info in model.outputs.values()],
            "properties": {"description": model.description, "sha256": model.digest},
        }
    )


def model_ready(request: Request, app: App) -> Response:
    """Whether a model is ready: it is loaded now, if it was not."""
    model = _find(request, app)
    _load(app, model)
    return Response.json({"name": model.name, "ready": True})


def model_config(request: Request, app: App) -> Response:
    """A model's configuration in Triton's words. Shapes are whole, so there is no batching."""
    model = _find(request, app)
    return Response.json(
        {
            "name": model.name,
            "platform": PLATFORM,
            "backend": "wasi-nn",
            "max_batch_size": 0,
            "input": [_config(info) for info in model.inputs.values()],
            "output": [_config(info) for info in model.outputs.values()],
        }
    )


def infer(request: Request, app: App) -> Response:
    """Compute a model's outputs from its inputs."""
    checked = read_request(_find(request, app), request.headers, request.body)
    return write_response(checked, app.compute(checked.model, checked.inputs))


def repository_index(request: Request, app: App) -> Response:
    """Every version of every model. All are ready: the function holds no others."""
    _check_index_request(request)
    return Response.json(
        [
            {"name": model.name, "version": model.version, "state": "READY", "reason": ""}
            for model in app.models.all
        ]
    )


def load_or_unload(request: Request, app: App) -> Response:
    """Refused: the models are part of the function."""
    raise HTTPError(
        501, "models are fixed when the function is built: change models/ and build it again"
    )


def openapi(request: Request, app: App) -> Response:
    """A description of all this, for tools."""
    return Response(app.openapi)


def _find(request: Request, app: App) -> Model:
    params = request.params
    model = app.models.find(params["model"], params.get("version", ""))
    request.model = model.graph
    return model


def _load(app: App, model: Model) -> None:
    try:
        app.backend.load(model.graph)
    except InferenceError as exc:
        raise HTTPError(
            503, f"model {model.graph} is not ready: {exc.message} ({exc.code})"
        ) from exc


def _config(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "data_type": f"TYPE_{info.datatype.name}",
        "dims": list(info.shape),
    }


def _check_index_request(request: Request) -> None:
    """The body may be absent, or `{"ready": true}` for models that are ready: all are."""
    body = request.json() if request.body.strip() else {}
    if type(body) is not dict:
        raise HTTPError(400, "the request is no JSON object: expected one, or no body")
    if type(body.get("ready", False)) is not bool:
        raise HTTPError(400, "ready is neither true nor false")


OPEN_INFERENCE_PROTOCOL = [
    Route("GET", "/v2/health/live", live),
    Route("GET", "/v2/health/ready", ready),
    Route("GET", "/v2", server_metadata),
    Route("GET", "/v2/", server_metadata),
    Route("GET", "/v2/models", model_list),
    Route("GET", "/v2/models/{model}", model_metadata),
    Route("GET", "/v2/models/{model}/ready", model_ready),
    Route("GET", "/v2/models/{model}/config", model_config),
    Route("POST", "/v2/models/{model}/infer", infer),
    Route("GET", "/v2/models/{model}/versions/{version}", model_metadata),
    Route("GET", "/v2/models/{model}/versions/{version}/ready", model_ready),
    Route("GET", "/v2/models/{model}/versions/{version}/config", model_config),
    Route("POST", "/v2/models/{model}/versions/{version}/infer", infer),
    Route("POST", "/v2/repository/index", repository_index, INDEX_REQUEST),
    Route("POST", "/v2/repository/models/{model}/load", load_or_unload),
    Route("POST", "/v2/repository/models/{model}/unload", load_or_unload),
    Route("GET", "/openapi.json", openapi),
]
