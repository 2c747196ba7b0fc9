"""A rehearsal before the snapshot: inference requests that nobody sees, answered with zeros.

CPython rewrites bytecode as it runs it, for the types that it meets, and fills caches. Done
here, that is part of the snapshot: a new instance starts with code that has been run, and does
not copy the memory pages that the rewriting would touch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from nnlet.errors import HTTPError
from nnlet.guest import endpoints
from nnlet.guest.app import App
from nnlet.guest.backend import Backend
from nnlet.guest.messages import Request, dumps
from nnlet.guest.models import Model, TensorInfo
from nnlet.guest.protocol import HEADER_LENGTH
from nnlet.guest.tensors import Tensor
from nnlet.tensor import DataType

# CPython specializes an instruction on its second run or a few later.
ROUNDS = 8
# Models with larger tensors are left out: what there is to gain is gained by small ones.
MAX_ELEMENTS = 1 << 14


class Zeros(Backend):
    """Answers with zeros of the right shape, at once."""

    __slots__ = ("_outputs",)

    def __init__(self, models: Sequence[Model]) -> None:
        self._outputs = {model.graph: list(model.outputs.values()) for model in models}

    def load(self, graph: str) -> None:
        """Nothing to load."""

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        return [
            Tensor(info.carrier.name, _shape(info), _zeros(info, info.carrier))
            for info in self._outputs[graph]
        ]


def rehearse(app: App) -> None:
    """Send every small model a few requests of each form. `app` is as before, and silent."""
    backend, log = app.backend, app.log
    app.backend, app.log = Zeros(app.models.all), lambda line: None
    try:
        for model in filter(_is_small, app.models.all):
            for request in _requests(model) if _is_served(app, model) else ():
                for _ in range(ROUNDS):
                    app.respond(request)
    finally:
        app.backend, app.log = backend, log


def _is_small(model: Model) -> bool:
    infos = [*model.inputs.values(), *model.outputs.values()]
    return all(math.prod(_shape(info)) <= MAX_ELEMENTS for info in infos)


def _is_served(app: App, model: Model) -> bool:
    """Whether inference requests come to our endpoint: a handler of the user's is not run."""
    try:
        return app.router.find(Request("POST", _path(model))).handler is endpoints.infer
    except HTTPError:
        return False


def _requests(model: Model) -> Iterator[Request]:
    """JSON, binary and raw."""
    inputs = list(model.inputs.values())
    data = b"".join(_zeros(info, info.datatype) for info in inputs)
    yield Request("POST", _path(model), {}, dumps({"inputs": [*map(_json, inputs)]}))
    head = dumps({"inputs": [*map(_binary, inputs)], "parameters": {"binary_data_output": True}})
    yield Request("POST", _path(model), {HEADER_LENGTH: str(len(head))}, head + data)
    yield Request("POST", _path(model), {HEADER_LENGTH: "0"}, data)


def _path(model: Model) -> str:
    return f"/v2/models/{model.name}/infer"


def _json(info: TensorInfo) -> dict[str, Any]:
    value: Any = {"b": True, "f": 0.5}.get(info.datatype.kind, 1)
    return _head(info) | {"data": [value] * math.prod(_shape(info))}


def _binary(info: TensorInfo) -> dict[str, Any]:
    size = len(_zeros(info, info.datatype))
    return _head(info) | {"parameters": {"binary_data_size": size}}


def _head(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "shape": _shape(info), "datatype": info.datatype.name}


def _shape(info: TensorInfo) -> list[int]:
    return [1 if size == -1 else size for size in info.shape]


def _zeros(info: TensorInfo, row: DataType) -> bytes:
    return bytes(row.size * math.prod(_shape(info)))
