"""The adapter to WASI 0.3: what http.py is for 0.2, with streams and futures in place of wasi:io.

An answer is returned as a head; its body and trailers are written by what runs on afterwards.

Specification: wasi:http/types@0.3.0 (in the spin-sdk package).
"""

from __future__ import annotations

import gc

from componentize_py_async_support import spawn
from componentize_py_async_support.futures import FutureReader, FutureWriter
from componentize_py_async_support.streams import ByteStreamReader, ByteStreamWriter
from componentize_py_types import Err, Ok
from nnlet_catalogue import MODELS
from wit_world import (
    byte_stream,
    exports,
)
from wit_world import (
    result_option_wasi_http_types_fields_wasi_http_types_error_code_future as trailers_future,
)
from wit_world import result_unit_wasi_http_types_error_code_future as outcome_future
from wit_world.imports import wasi_http_types as wasi

from app import app
from nnlet.errors import HTTPError
from nnlet.guest.inference import WasiNN
from nnlet.guest.messages import Request, Response, check_length, too_large

_READ_SIZE = 1024 * 1024

# See http.py.
_DISCARD = 64 * 1024 * 1024
_WITHOUT_BODY = ("GET", "HEAD")

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


def _done() -> Ok:
    """All went well, and there are no trailers."""
    return Ok(None)


class HttpHandler(exports.HttpHandler):  # type: ignore[misc]
    """What the component exports as wasi:http/handler."""

    async def handle(self, incoming: wasi.Request) -> wasi.Response:
        """Answer one request."""
        request = _read_head(incoming)
        if request.method in _WITHOUT_BODY:
            return _send(request, app.respond(request))
        outcome, told = outcome_future(_done)
        stream, trailers = wasi.Request.consume_body(incoming, told)
        spawn(outcome.finish())
        try:
            request.body = await _read_body(stream, trailers, request.headers)
        except HTTPError as exc:
            spawn(_discard(stream))
            return _send(request, app.refuse(request, exc))
        stream.drop()
        return _send(request, app.respond(request))


def _read_head(incoming: wasi.Request) -> Request:
    method = incoming.get_method()
    name = _METHODS.get(type(method)) or method.value
    path, _, query = (incoming.get_path_with_query() or "/").partition("?")
    return Request(name, path, _read_headers(incoming), b"", query)


def _read_headers(incoming: wasi.Request) -> dict[str, str]:
    with incoming.get_headers() as fields:
        entries = fields.copy_all()
    headers: dict[str, str] = {}
    for name, value in entries:
        name = name.lower()
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def _read_body(
    stream: ByteStreamReader, trailers: FutureReader, headers: dict[str, str]
) -> bytes:
    try:
        length = check_length(headers, app.max_body)
        chunks: list[bytes] = []
        size = 0
        while size != length and not stream.ended:
            left = _READ_SIZE if length is None else min(_READ_SIZE, length - size)
            chunks.append(await stream.read(left))
            size += len(chunks[-1])
            if size > app.max_body:
                raise too_large(size, app.max_body)
    except BaseException:
        trailers.drop()
        raise
    if length is not None:
        trailers.drop()
        complete = size == length
    else:  # how a body without a length ended, only its trailers know
        complete = type(await trailers.read()) is Ok
    if not complete:
        of = "" if length is None else f" of {length}"
        raise HTTPError(400, f"the body ends early, after {size}{of} bytes")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _discard(stream: ByteStreamReader) -> None:
    """Let a client that sends before it reads come to our answer."""
    left = _DISCARD
    while left > 0 and not stream.ended:
        left -= len(await stream.read(_READ_SIZE))
    stream.drop()


def _send(request: Request, response: Response) -> wasi.Response:
    try:
        return _outgoing(response)
    except (Err, ValueError):
        failure = ValueError(f"not valid in HTTP: {response.status} {response.headers}")
        return _outgoing(app.refuse(request, failure))


def _outgoing(response: Response) -> wasi.Response:
    fields = [("content-type", response.content_type.encode())]
    if response.body:  # none for HEAD and 204, whose length would be a lie
        fields.append(("content-length", b"%d" % len(response.body)))
    fields += [(name, value.encode("latin-1")) for name, value in response.headers]
    head = wasi.Fields.from_list(fields)
    body, contents = byte_stream() if response.body else (None, None)
    trailers, after = trailers_future(_done)
    outgoing, sent = wasi.Response.new(head, contents, after)
    sent.drop()
    spawn(_write(body, response.body, trailers))
    if response.status != 200:
        outgoing.set_status_code(response.status)
    return outgoing


async def _write(body: ByteStreamWriter | None, data: bytes, trailers: FutureWriter) -> None:
    """As the client takes it. Where it went away, nobody is left to tell."""
    if body is not None:
        await body.write_all(data)
    await trailers.finish()


app.bind(MODELS, WasiNN())

# What is alive now stays alive: the collector need not look at it in every request.
gc.collect()
gc.freeze()
