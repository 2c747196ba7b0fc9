"""A host of WASI 0.3 made of Python: streams, futures, sets of waitables, and their rules.

A real host kills the instance when the rules of the specification are broken; here that is
an AssertionError. What the generated bindings would offer is built from the real stand-in of
nnlet/guest/bundled, which finds this host as `componentize_py_runtime`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from .wasi import METHODS, Err, Method, Method_Other, Ok, Resource

EXIT, WAIT = 0, 2  # what a callback answers
COMPLETED, DROPPED = 0, 1  # how a read or write ends

EXPORT = 7  # the number of the exported function, which comes back with its result


class Stream:
    """Bytes on their way: what the host has sent, or what it was sent.

    Takes `buffer` bytes at a time; its reader leaves after `lives` of them.
    """

    buffer = 100
    lives: int | None = None

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self.chunks = list(chunks)
        self.data = b""
        self.read = 0

    def take(self, count: int) -> tuple[int, bytes]:
        if not self.chunks:
            return DROPPED, b""
        chunk = self.chunks.pop(0)
        if len(chunk) > count:
            self.chunks.insert(0, chunk[count:])
        self.read += len(chunk[:count])
        return COMPLETED, chunk[:count]

    def put(self, data: bytes) -> tuple[int, int]:
        if self.lives is not None and len(self.data) >= self.lives:
            return DROPPED, 0
        self.data += data[: self.buffer]
        return COMPLETED, len(data[: self.buffer])


class Future:
    """One value on its way."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.written = False


class Host:
    """What `componentize_py_runtime` offers. If it `blocks`, no operation is done at once."""

    def __init__(self, blocks: bool) -> None:
        self.blocks = blocks
        self.numbers = itertools.count(1)
        self.ends: dict[int, Stream | Future] = {}
        self.sets: dict[int, set[int]] = {}
        self.pending: dict[int, Callable[[], Any]] = {}
        self.context: Any = None
        self.returned: Any = None

    def new(self, thing: Stream | Future) -> int:
        number = next(self.numbers)
        self.ends[number] = thing
        return number

    # Operations

    def _operate(self, handle: int, done: Callable[[], Any]) -> Ok | Err:
        assert handle in self.ends, "this end was dropped"
        assert handle not in self.pending, "one operation at a time"
        if not self.blocks:
            return Ok(done())
        self.pending[handle] = done
        return Err((handle, handle))

    def promise_get_result(self, event: int, promise: int) -> Any:
        return self.pending.pop(promise)()

    def stream_read(self, kind: int, handle: int, count: int) -> Ok | Err:
        stream = self.ends[handle]
        assert isinstance(stream, Stream)
        return self._operate(handle, lambda: stream.take(count))

    def stream_write(self, kind: int, handle: int, data: bytes) -> Ok | Err:
        stream = self.ends[handle]
        assert isinstance(stream, Stream)
        return self._operate(handle, lambda: stream.put(data))

    def future_read(self, kind: int, handle: int) -> Ok | Err:
        future = self.ends[handle]
        assert isinstance(future, Future)
        return self._operate(handle, lambda: future.value)

    def future_write(self, kind: int, handle: int, value: Any) -> Ok | Err:
        future = self.ends[handle]
        assert isinstance(future, Future)

        def write() -> int:
            future.value, future.written = value, True
            return COMPLETED

        return self._operate(handle, write)

    def drop(self, kind: int, handle: int) -> None:
        assert handle not in self.pending, "dropped while it waits"
        del self.ends[handle]

    stream_drop_readable = stream_drop_writable = future_drop_readable = drop

    def future_drop_writable(self, kind: int, handle: int) -> None:
        future = self.ends[handle]
        assert isinstance(future, Future) and future.written, "dropped before it was written"
        self.drop(kind, handle)

    # Tasks

    def waitable_set_new(self) -> int:
        number = next(self.numbers)
        self.sets[number] = set()
        return number

    def waitable_set_drop(self, number: int) -> None:
        assert not self.sets.pop(number), "dropped with waitables in it"

    def waitable_join(self, waitable: int, number: int) -> None:
        for joined in self.sets.values():
            joined.discard(waitable)
        if number:
            self.sets[number].add(waitable)

    def context_get(self) -> Any:
        return self.context

    def context_set(self, value: Any) -> None:
        self.context = value

    def call_task_return(self, export: int, borrows: int, result: Any) -> None:
        assert self.returned is None, "a task returns once"
        assert export == EXPORT
        self.returned = result

    def run(self, support: Any, coroutine: Any) -> Any:
        """Call an exported function to its end; what it returned."""
        self.returned = None
        state = support.first_poll(EXPORT, 0, coroutine)
        while state != EXIT:
            assert state & 15 == WAIT
            ready = self.sets[state >> 4] & set(self.pending)
            assert ready, "waits for nothing"
            # The newest first, which is the order that surprises most.
            state = support.callback(0, max(ready), 0)
        assert not self.sets and not self.pending
        assert self.context is None
        return self.returned


class Fields(Resource):
    def __init__(self, items: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self.items = items

    @classmethod
    def from_list(cls, items: list[tuple[str, bytes]]) -> Fields:
        if any(b"\n" in value for _, value in items):
            raise Err("invalid syntax")
        return cls(items)

    def copy_all(self) -> list[tuple[str, bytes]]:
        assert not self.dropped
        return self.items


class Request:
    """`end` is what its trailers say: Ok if it came to its end."""

    host: Host
    support: Any

    def __init__(
        self,
        method: str,
        path: str | None,
        headers: Iterable[tuple[str, bytes]] = (),
        chunks: Iterable[bytes] = (),
        end: Ok | Err | None = None,
    ) -> None:
        self.verb = METHODS[method]() if method in METHODS else Method_Other(method)
        self.path = path
        self.fields = Fields(list(headers))
        self.stream = Stream(chunks)
        self.end = end or Ok(None)
        self.consumed = False

    def get_method(self) -> Method:
        return self.verb

    def get_path_with_query(self) -> str | None:
        return self.path

    def get_headers(self) -> Fields:
        return self.fields

    @classmethod
    def consume_body(cls, request: Request, told: Any) -> tuple[Any, Any]:
        assert not request.consumed, "a body is consumed once"
        request.consumed = True
        cls.host.drop(0, told.handle)  # handed over
        stream = cls.support.streams.ByteStreamReader(0, cls.host.new(request.stream))
        return stream, cls.support.futures.FutureReader(0, cls.host.new(Future(request.end)))


class Response:
    host: Host
    support: Any

    def __init__(self, fields: Fields, body: Stream | None) -> None:
        self.fields = dict(fields.items)
        self.stream = body
        self.status = 200

    @property
    def data(self) -> bytes:
        return self.stream.data if self.stream else b""

    @classmethod
    def new(cls, fields: Fields, contents: Any, trailers: Any) -> tuple[Response, Any]:
        body = cls.host.ends[contents.handle] if contents else None
        assert body is None or isinstance(body, Stream)
        for end in filter(None, (contents, trailers)):
            cls.host.drop(0, end.handle)  # handed over
        sent = cls.support.futures.FutureReader(0, cls.host.new(Future()))
        return cls(fields, body), sent

    def set_status_code(self, status: int) -> None:
        if not 100 <= status < 1000:
            raise Err(None)
        self.status = status


def runtime(host: Host) -> dict[str, ModuleType]:
    """The modules that the stand-in imports, by name."""
    offered = ModuleType("componentize_py_runtime")
    offered.__dict__.update(
        {name: getattr(host, name) for name in dir(host) if not name.startswith("_")}
    )
    types = ModuleType("componentize_py_types")
    types.__dict__.update(Ok=Ok, Err=Err)
    return {offered.__name__: offered, types.__name__: types}


def bindings(host: Host, support: Any) -> dict[str, ModuleType]:
    """The modules that componentize-py would generate, by name."""

    def byte_stream() -> tuple[Any, Any]:
        stream = Stream()
        return (
            support.streams.ByteStreamWriter(0, host.new(stream)),
            support.streams.ByteStreamReader(0, host.new(stream)),
        )

    def future(default: Callable[[], Any]) -> tuple[Any, Any]:
        made = Future()
        return (
            support.futures.FutureWriter(0, host.new(made), default),
            support.futures.FutureReader(0, host.new(made)),
        )

    attached = {"host": host, "support": support}
    methods = {cls.__name__: cls for cls in (*METHODS.values(), Method_Other)}
    contents: dict[str, dict[str, Any]] = {
        "wit_world": {
            "byte_stream": byte_stream,
            "result_option_wasi_http_types_fields_wasi_http_types_error_code_future": future,
            "result_unit_wasi_http_types_error_code_future": future,
        },
        "wit_world.exports": {"HttpHandler": object},
        "wit_world.imports": {},
        "wit_world.imports.wasi_http_types": {
            **methods,
            "Request": type("Request", (Request,), attached),
            "Response": type("Response", (Response,), attached),
            "Fields": Fields,
        },
    }
    made = {}
    for name, content in contents.items():
        made[name] = ModuleType(name)
        made[name].__dict__.update(content)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, made[name])
    return made
