"""GET /openapi.json: what this function serves, in OpenAPI 3.1.

Built once, when models are bound, so that it is part of the component's snapshot. Where JSON
Schema cannot say what the code checks (data as long as its shape), the code is stricter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nnlet
from nnlet.guest import endpoints, tableschema
from nnlet.guest.messages import BINARY, JSON, dumps
from nnlet.guest.models import Model, Models, TensorInfo
from nnlet.guest.predict import predict
from nnlet.guest.records import Table
from nnlet.guest.routes import Handler, Route
from nnlet.guest.tensors import EXACT, MAX_DIMENSION

Schema = dict[str, Any]


def describe_app(
    name: str, routes: list[Route], models: Models, tables: Mapping[str, Table]
) -> bytes:
    """The document, as JSON."""
    paths: dict[str, Schema] = {}
    for route in routes:
        for path, operation in _operations(route, models, tables):
            paths.setdefault(path, {})[route.method.lower()] = operation
    return dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": name, "version": nnlet.__version__},
            "paths": paths,
            "components": {"schemas": _SCHEMAS, "responses": {"Error": _json_body("Error")}},
        }
    )


def _operations(
    route: Route, models: Models, tables: Mapping[str, Table]
) -> list[tuple[str, Schema]]:
    if route.handler is endpoints.load_or_unload:
        return []  # always refused
    if route.handler is endpoints.infer:
        return [
            (path, _infer(route, model, path))
            for model in models.all
            for path in _model_paths(route, model, models)
        ]
    if route.handler is predict:
        return [
            (path, _predict(tables[model.graph]))
            for model in models.all
            for path in _model_paths(route, model, models)
            if not tables[model.graph].refusal
        ]
    return [(route.path, _operation(route, models))]


def _model_paths(route: Route, model: Model, models: Models) -> list[str]:
    """`route.path` for one model; without a version it means the newest."""
    if "{version}" not in route.path and models.find(model.name) is not model:
        return []
    return [route.path.replace("{model}", model.name).replace("{version}", model.version)]


def _operation(route: Route, models: Models) -> Schema:
    schema = _ANSWERS.get(route.handler)
    answer = _json_body(schema) if schema else {"description": "The answer."}
    operation: Schema = {
        "summary": _summary(route.handler),
        "responses": _responses(answer),
        "parameters": [_parameter(part[1:-1], models) for part in route.segments if "{" in part],
    }
    if route.body is not None:
        operation["requestBody"] = _request_body(route.body)
    return operation


def _summary(handler: Handler) -> str:
    text = getattr(handler, "__doc__", None) or ""
    return text.strip().partition("\n")[0]


def _parameter(name: str, models: Models) -> Schema:
    schema: Schema = {"type": "string"}
    if name == "model":
        schema["enum"] = models.names()
    elif name == "version":
        schema["enum"] = sorted({model.version for model in models.all}, key=int)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(answer: Schema) -> Schema:
    error = {"$ref": "#/components/responses/Error"}
    return {"200": answer, "4XX": error, "5XX": error}


def _json_body(schema: str) -> Schema:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": schema, "content": content}


def _request_body(schema: Schema) -> Schema:
    return {"content": {JSON: {"schema": schema}}}


# Inference, which differs from model to model

# No `parameters` entry for this header: OpenAPI cannot say that it belongs to one of two
# media types, and with JSON alone it is wrong.
_BODY = (
    "JSON; or JSON, then the binary data of its inputs, with the length of the JSON in the header "
    "Inference-Header-Content-Length; or, with that header 0, the data of the one input alone."
)


def _infer(route: Route, model: Model, path: str) -> Schema:
    body = _request_body(_infer_request(model))
    body["required"] = True
    if example := _example(model):
        body["content"][JSON]["example"] = example
    body["description"] = _BODY
    body["content"][BINARY] = {"schema": {"type": "string", "format": "binary"}}
    answer = {
        "description": "The outputs: all as JSON, or binary data after the JSON.",
        "content": {JSON: {"schema": _infer_response(model)}, BINARY: {}},
    }
    return {
        "summary": f"Infer {model.graph}. {model.description}".strip(),
        "requestBody": body,
        "responses": _responses(answer),
    }


def _predict(table: Table) -> Schema:
    return {
        "summary": f"Predict with {table.model.graph}. {table.model.description}".strip(),
        "requestBody": tableschema.request_body(table),
        "responses": _responses(tableschema.answer(table)),
    }


def _infer_request(model: Model) -> Schema:
    inputs = [_input(info) for info in model.inputs.values()]
    outputs: Schema = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": list(model.outputs)}, "parameters": _OUTPUT_PARAMETERS},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": _REQUEST_PARAMETERS,
            "inputs": _list_of({"anyOf": inputs} if len(inputs) > 1 else inputs[0], len(inputs)),
            # None more than once: of names, a schema can say no more than this.
            "outputs": {
                "type": ["array", "null"],
                "items": outputs,
                "maxItems": len(model.outputs),
            },
        },
    }


def _list_of(items: Schema, count: int) -> Schema:
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def _input(info: TensorInfo) -> Schema:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": info.name},
            "datatype": {"enum": _in_json(info.datatype.name, *EXACT[info.datatype.name])},
            "shape": _shape(info.shape),
            "data": {"$ref": "#/components/schemas/Data"},
            "parameters": _INPUT_PARAMETERS,
        },
    }


def _in_json(*datatypes: str) -> list[str]:
    """Without those that have no JSON form."""
    return [name for name in datatypes if name not in ("FP16", "BF16")]


def _shape(shape: tuple[int, ...]) -> Schema:
    sizes: list[Schema] = [
        {"const": size}
        if size != -1
        else {"type": "integer", "minimum": 0 if axis else 1, "maximum": MAX_DIMENSION}
        for axis, size in enumerate(shape)
    ]
    return {**_list_of({"type": "integer"}, len(shape)), "prefixItems": sizes}


def _infer_response(model: Model) -> Schema:
    output: Schema = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": list(model.outputs)},
            "datatype": {
                "enum": sorted({i.datatype.name for i in model.outputs.values()} | {"BYTES"})
            },
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "items": {"type": ["number", "boolean", "string"]}},
            "parameters": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": model.name},
            "model_version": {"const": model.version},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": output},
        },
    }


def _example(model: Model) -> Any:
    """The catalogue's example as a request, None if there is none that we can show."""
    inputs = []
    for info in model.inputs.values():
        shape = _nested_shape(model.example.get(info.name))
        if len(shape) != len(info.shape):
            return None
        inputs.append(
            {
                "name": info.name,
                "shape": shape,
                "datatype": info.datatype.name,
                "data": model.example[info.name],
            }
        )
    return {"inputs": inputs}


def _nested_shape(data: Any) -> list[int]:
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


# What is the same for all models


def _object(required: Schema, **optional: Schema) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
    }


def _parameters(**known: Schema | bool) -> Schema:
    return {
        "type": ["object", "null"],
        "properties": known,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "propertyNames": {"not": {"pattern": "^(triton_|shared_memory_)"}},
    }


_STRING: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_STRINGS: Schema = {"type": "array", "items": _STRING}
_TENSORS: Schema = {
    "type": "array",
    "items": _object(
        {
            "name": _STRING,
            "datatype": _STRING,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
        }
    ),
}
_REQUEST_PARAMETERS = _parameters(binary_data_output=_BOOLEAN)
# In a body that is only JSON no binary data can follow.
_INPUT_PARAMETERS = _parameters(binary_data_size=False)
_OUTPUT_PARAMETERS = _parameters(
    binary_data=_BOOLEAN, classification={"type": "integer", "minimum": 1}
)
_CONFIG_TENSORS: Schema = {
    "type": "array",
    "items": _object({"name": _STRING, "data_type": _STRING, "dims": {"type": "array"}}),
}
_SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _STRING}),
    "Live": _object({"live": _BOOLEAN}),
    "Ready": _object({"ready": _BOOLEAN, "live": _BOOLEAN}),
    "ServerMetadata": _object({"name": _STRING, "version": _STRING, "extensions": _STRINGS}),
    "ModelList": _object({"models": _STRINGS}),
    "ModelMetadata": _object(
        {
            "name": _STRING,
            "versions": _STRINGS,
            "platform": _STRING,
            "inputs": _TENSORS,
            "outputs": _TENSORS,
        },
        properties={"type": "object", "additionalProperties": _STRING},
    ),
    "ModelReady": _object({"name": _STRING, "ready": _BOOLEAN}),
    "ModelConfig": _object(
        {
            "name": _STRING,
            "platform": _STRING,
            "backend": _STRING,
            "max_batch_size": {"const": 0},
            "input": _CONFIG_TENSORS,
            "output": _CONFIG_TENSORS,
        }
    ),
    "Index": {
        "type": "array",
        "items": _object(
            {"name": _STRING, "version": _STRING, "state": _STRING, "reason": _STRING}
        ),
    },
    "OpenAPI": {"type": "object"},
    "Data": {
        "description": "Row-major, flat or nested as the shape says.",
        "type": "array",
        "items": {"type": ["number", "boolean", "array"]},
    },
}
_ANSWERS: dict[Handler, str] = {
    endpoints.live: "Live",
    endpoints.ready: "Ready",
    endpoints.server_metadata: "ServerMetadata",
    endpoints.model_list: "ModelList",
    endpoints.model_metadata: "ModelMetadata",
    endpoints.model_ready: "ModelReady",
    endpoints.model_config: "ModelConfig",
    endpoints.repository_index: "Index",
    endpoints.openapi: "OpenAPI",
}
