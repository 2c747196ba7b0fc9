"""The adapter to WASI 0.2: the only code that speaks wasi:http, and the component's entry.

There are two ways to the host. `native` (native/nnlet_http.c, linked into the component where a
C compiler is at hand) takes in a request by one call and sends an answer by another. The
bindings that componentize-py generates do the same in some twenty calls, of 5 to 12 us each:
they serve bodies whose length is not known before, and components built without a compiler.

componentize-py runs this module once, at build time, and keeps the interpreter as it is
afterwards: imports, catalogue and /openapi.json are paid for then.

Specification: wasi:http/types@0.2.6 and wasi:io/streams@0.2.6 (in the spin-sdk package).
"""

from __future__ import annotations

import gc
from typing import Any

from componentize_py_types import Err, Ok
from nnlet_catalogue import MODELS
from wit_world.imports import types as wasi
from wit_world.imports.streams import InputStream, OutputStream, StreamError_Closed

from app import app

try:
    import nnlet_http
except ImportError:
    nnlet_http = None

from nnlet.errors import HTTPError
from nnlet.guest.inference import WasiNN
from nnlet.guest.messages import Request, Response, check_length, too_large

native: Any = nnlet_http

_READ_SIZE = 1024 * 1024

# How much of a body that is too long we take in and drop. A client that sends all before it
# reads anything would otherwise see a broken connection, not our answer.
_DISCARD = 64 * 1024 * 1024

_METHODS = {
    wasi.Method_Get: "GET",
    wasi.Method_Head: "HEAD",
    wasi.Method_Post: "POST",
    wasi.Method_Put: "PUT",
    wasi.Method_Delete: "DELETE",
    wasi.Method_Connect: "CONNECT",
    wasi.Method_Options: "OPTIONS",
    wasi.Method_Trace: "TRACE",
    wasi.Method_Patch: "PATCH",
}

# Nothing here reads a body of these, so it is left where it is.
_WITHOUT_BODY = ("GET", "HEAD")


class IncomingHandler:
    """What the component exports as wasi:http/incoming-handler."""

    def handle(self, incoming: wasi.IncomingRequest, out: wasi.ResponseOutparam) -> None:
        """Answer one request."""
        if native is None or not _answer_natively(incoming, out):
            _answer(incoming, out)


# In one call each


def _answer_natively(incoming: wasi.IncomingRequest, out: wasi.ResponseOutparam) -> bool:
    """Answer a request whose body has a known length, or none. False for others: untouched."""
    method, target, headers, body = native.read(incoming.handle, app.max_body)
    if body is None:
        return False
    request = _request(method, target, headers)
    if type(body) is int:
        response = app.refuse(request, _ends_early(body, headers["content-length"]))
    else:
        request.body = body
        response = app.respond(request)
    out.finalizer.detach()  # `send` takes it
    if not _send_natively(out, response):
        _send_natively(out, _refuse_answer(request, response))
    return True


def _send_natively(out: wasi.ResponseOutparam, response: Response) -> bool:
    headers = tuple(map(tuple, response.headers))
    sent: bool = native.send(
        *(out.handle, response.status, response.content_type, headers, response.body)
    )
    return sent


# Through the bindings


def _answer(incoming: wasi.IncomingRequest, out: wasi.ResponseOutparam) -> None:
    request = _read_head(incoming)
    if request.method in _WITHOUT_BODY:
        _send(request, app.respond(request), out)
        return
    with incoming.consume() as body, body.stream() as stream:
        try:
            request.body = _read_body(stream, request.headers)
        except HTTPError as exc:
            _send(request, app.refuse(request, exc), out)
            _discard(stream)
        else:
            _send(request, app.respond(request), out)


def _request(method: str, target: str | None, headers: dict[str, str]) -> Request:
    path, _, query = (target or "/").partition("?")
    return Request(method, path, headers, b"", query)


def _ends_early(size: int, announced: str | int | None) -> HTTPError:
    of = "" if announced is None else f" of {announced}"
    return HTTPError(400, f"the body ends early, after {size}{of} bytes")


def _refuse_answer(request: Request, response: Response) -> Response:
    """What is sent in place of an answer that HTTP does not allow."""
    failure = ValueError(f"not valid in HTTP: {response.status} {response.headers}")
    return app.refuse(request, failure)


def _read_head(incoming: wasi.IncomingRequest) -> Request:
    method = incoming.method()
    name = _METHODS.get(type(method)) or method.value
    return _request(name, incoming.path_with_query(), _read_headers(incoming))


def _read_headers(incoming: wasi.IncomingRequest) -> dict[str, str]:
    with incoming.headers() as fields:
        entries = fields.entries()
    headers: dict[str, str] = {}
    for name, value in entries:
        name = name.lower()
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _read_body(stream: InputStream, headers: dict[str, str]) -> bytes:
    length = check_length(headers, app.max_body)
    chunks: list[bytes] = []
    size = 0
    while size != length:
        try:
            chunk = stream.blocking_read(_READ_SIZE)
        except Err as exc:
            if isinstance(exc.value, StreamError_Closed) and length is None:
                break
            raise _ends_early(size, length) from None
        chunks.append(chunk)
        size += len(chunk)
        if size > app.max_body:
            raise too_large(size, app.max_body)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _discard(stream: InputStream) -> None:
    """Let a client that sends before it reads come to our answer."""
    left = _DISCARD
    try:
        while left > 0:
            left -= stream.blocking_skip(left)
    except Err:
        pass  # that was all


def _send(request: Request, response: Response, out: wasi.ResponseOutparam) -> None:
    try:
        outgoing = _outgoing(response)
    except (Err, ValueError):
        response = _refuse_answer(request, response)
        outgoing = _outgoing(response)
    _write(outgoing, response.body, out)


def _outgoing(response: Response) -> wasi.OutgoingResponse:
    fields = [("content-type", response.content_type.encode())]
    if response.body:  # none for HEAD and 204, whose length would be a lie
        fields.append(("content-length", b"%d" % len(response.body)))
    fields += [(name, value.encode("latin-1")) for name, value in response.headers]
    outgoing = wasi.OutgoingResponse(wasi.Fields.from_list(fields))
    if response.status != 200:
        outgoing.set_status_code(response.status)
    return outgoing


def _write(outgoing: wasi.OutgoingResponse, data: bytes, out: wasi.ResponseOutparam) -> None:
    body = outgoing.body()
    stream = body.write()
    if stream.check_write() < len(data):
        wasi.ResponseOutparam.set(out, Ok(outgoing))
        _write_long(stream, body, data)
        return
    # It fits the host's buffer: so head and body leave together, and nothing waits.
    with stream:
        stream.write(data)
    wasi.OutgoingBody.finish(body, None)
    wasi.ResponseOutparam.set(out, Ok(outgoing))


def _write_long(stream: OutputStream, body: wasi.OutgoingBody, data: bytes) -> None:
    """Piece by piece, as the client takes it."""
    try:
        with stream:
            _write_pieces(stream, data)
        wasi.OutgoingBody.finish(body, None)
    except Err:
        pass  # the client went away: nobody is left to tell


def _write_pieces(stream: OutputStream, data: bytes) -> None:
    with stream.subscribe() as writable:
        position = 0
        while position < len(data):
            permit = stream.check_write()
            if permit:
                stream.write(data[position : position + permit])
                position += permit
            else:
                writable.block()


app.bind(MODELS, WasiNN())

# What is alive now stays alive: the collector need not look at it in every request.
gc.collect()
gc.freeze()
