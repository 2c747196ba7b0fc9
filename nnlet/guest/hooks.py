"""Predict: a route of your own around a model, from two functions.

The verbs are LitServe's: decode a request into tensors, encode tensors into a response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nnlet.guest.messages import Request, Response
from nnlet.guest.tensors import Tensor

if TYPE_CHECKING:
    from nnlet.guest.app import App


class Predict:
    """A handler that decodes the request, computes the model, and encodes its outputs.

    `decode_request` gives the model's inputs by name; `encode_response` gets its outputs by
    name. Either may raise HTTPError to refuse the request.
    """

    __slots__ = ("model", "version", "decode_request", "encode_response")

    def __init__(
        self,
        model: str,
        decode_request: Callable[[Request], Mapping[str, Tensor]],
        encode_response: Callable[[dict[str, Tensor]], Response],
        version: str = "",
    ) -> None:
        self.model = model
        self.version = version
        self.decode_request = decode_request
        self.encode_response = encode_response

    def __call__(self, request: Request, app: App) -> Response:
        request.model = app.models.find(self.model, self.version).graph
        outputs = app.infer(self.model, self.decode_request(request), self.version)
        return self.encode_response(outputs)
