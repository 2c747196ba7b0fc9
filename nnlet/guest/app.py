"""App: routes, models and a backend, and the one place where failures become answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from nnlet.errors import HTTPError, InferenceError, ModelError
from nnlet.guest.backend import Backend
from nnlet.guest.compression import compress, decompress
from nnlet.guest.hooks import Predict
from nnlet.guest.messages import Request, Response, error_response
from nnlet.guest.models import Model, Models
from nnlet.guest.openapi import describe_app
from nnlet.guest.page import make_page
from nnlet.guest.records import Table
from nnlet.guest.routes import Route, Router
from nnlet.guest.tensors import Tensor

MAX_BODY = 10 * 1024 * 1024

# How many calls the log shows of a failure's way: enough to find it, even in a recursion.
_TRACE_CALLS = 20

# What a provider of wasi:nn refuses, by error-code; 500 for the codes not listed.
_STATUS = {
    "invalid-argument": 400,
    "too-large": 413,
    "unsupported-operation": 501,
    "not-found": 503,
    "timeout": 504,
}


def log_to_stderr(line: str) -> None:
    """The default of App's `log`."""
    sys.stderr.write(line + "\n")


class App:
    """A function: the visible list of its routes, and how it treats requests.

    An adapter calls `bind` once, with the models that the build found and a backend, and
    then `respond` for every request. `max_body` limits a body in bytes, as it comes and
    again after decompression.
    """

    def __init__(
        self,
        routes: list[Route],
        name: str = "nnlet",
        max_body: int = MAX_BODY,
        log: Callable[[str], None] = log_to_stderr,
    ) -> None:
        self.router = Router(routes)
        self.name = name
        self.max_body = max_body
        self.log = log
        self.models = Models(())
        self.tables: dict[str, Table] = {}
        self.backend = Backend()
        self.openapi = b""
        self.page = b""

    def bind(self, catalogue: Sequence[dict[str, Any]], backend: Backend) -> None:
        """Take the models and what computes them. ModelError if a route's model is absent."""
        self.models = Models(catalogue)
        self.tables = {model.graph: Table(model) for model in self.models.all}
        self.backend = backend
        self._check_hooks()
        self.openapi = describe_app(self.name, self.router.routes, self.models, self.tables)
        self.page = make_page(self.name, self.models)

    def _check_hooks(self) -> None:
        for route in self.router.routes:
            if isinstance(route.handler, Predict):
                try:
                    self.models.find(route.handler.model, route.handler.version)
                except HTTPError as exc:
                    raise ModelError(f"route {route.method} {route.path}: {exc.message}") from exc

    def respond(self, request: Request) -> Response:
        """The answer to `request`, whatever happens."""
        started = perf_counter()
        try:
            response, error = self._answer(request), ""
        except Exception as exc:
            response, error = refusal(exc)
        if request.method == "HEAD":
            response.body = b""
        self._log(request, response.status, started, error)
        return response

    def refuse(self, request: Request, failure: Exception) -> Response:
        """The answer to a request that could not be read."""
        response, error = refusal(failure)
        self._log(request, response.status, perf_counter(), error)
        return response

    def _answer(self, request: Request) -> Response:
        route = self.router.find(request)
        if "content-encoding" in request.headers:
            decompress(request, self.max_body)
        response = route.handler(request, self)
        if not (isinstance(response, Response) and isinstance(response.body, bytes)):
            raise TypeError(f"{route.path} answered {response!r}: expected a Response of bytes")
        if "accept-encoding" in request.headers:
            compress(request, response)
        return response

    def _log(self, request: Request, status: int, started: float, error: str) -> None:
        milliseconds = (perf_counter() - started) * 1000
        self.log(
            f"method={request.method} path={request.path} model={request.model or '-'} "
            f"status={status} ms={milliseconds:.3f}{error}"
        )

    def infer(
        self, name: str, inputs: Mapping[str, Tensor], version: str = ""
    ) -> dict[str, Tensor]:
        """A model's outputs by name. HTTPError 400 if the inputs do not fit the model."""
        model = self.models.find(name, version)
        return self.compute(model, model.admit(inputs))

    def predict(
        self, name: str, records: Sequence[dict[str, Any]], version: str = ""
    ) -> list[dict[str, Any]]:
        """A model's answers to records by column name, as /predict/NAME gives them.

        Values are as JSON has them, None for a missing one. HTTPError 400 if one does not fit.
        """
        table = self.tables[self.models.find(name, version).graph]
        numbers, rows = table.read_records(records)
        texts = table.json(table.compute(numbers, rows, self.compute), rows)
        return [json.loads(text) for text in texts]

    def compute(self, model: Model, inputs: list[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """A model's outputs by name, from inputs that were checked."""
        answers = self.backend.infer(model.graph, inputs)
        if len(answers) != len(model.outputs):
            raise InferenceError(
                "invalid-encoding",
                f"{len(answers)} outputs came from {model.graph}: expected {len(model.outputs)}",
            )
        return {
            name: info.from_carrier(tensor)
            for (name, info), tensor in zip(model.outputs.items(), answers, strict=True)
        }


def refusal(failure: Exception) -> tuple[Response, str]:
    """The answer to a request that failed, and what the log says of it."""
    if isinstance(failure, InferenceError):
        failure = HTTPError(
            _STATUS.get(failure.code, 500), f"inference failed: {failure.message} ({failure.code})"
        )
    if isinstance(failure, MemoryError):
        failure = HTTPError(413, "out of memory: the request needs more than this instance has")
    if isinstance(failure, HTTPError):
        return error_response(failure), f" error={failure.message!r}"
    summary = f"{type(failure).__name__}: {failure}"
    return (
        error_response(HTTPError(500, f"internal error: {summary}")),
        f" error={summary!r} trace={trace(failure)!r}",
    )


def trace(failure: BaseException) -> str:
    """Where a failure came from, innermost call last.

    The guest has no source files at run time, so `traceback` would add weight and no lines.
    """
    calls = []
    frame = failure.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        calls.append(f"{code.co_filename}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return " > ".join(calls[-_TRACE_CALLS:])
