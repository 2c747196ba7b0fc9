"""A host made of Python: what wasi:http and wasi:nn promise, and the traps they set.

A real host kills the instance when the rules of the specification are broken; here that is
an AssertionError.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any


class Err(Exception):
    """componentize_py_types.Err"""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


class Ok:
    """componentize_py_types.Ok"""

    def __init__(self, value: Any) -> None:
        self.value = value


class Resource:
    """Dropped at the end of its `with`, after its children."""

    dropped = False

    def __init__(self) -> None:
        self.children: list[Resource] = []

    def child(self, resource: Any) -> Any:
        self.children.append(resource)
        return resource

    def drop(self) -> None:
        assert not self.dropped, "dropped twice"
        assert all(child.dropped for child in self.children), "dropped before its children"
        self.dropped = True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *failure: object) -> None:
        self.drop()


class StreamError_Closed:
    """The end of a stream."""


class StreamError_LastOperationFailed:
    """The other side went away."""


class InputStream(Resource):
    def __init__(self, chunks: Iterable[bytes | Err]) -> None:
        super().__init__()
        self.chunks = list(chunks)
        self.skipped = 0

    def blocking_read(self, length: int) -> bytes:
        if not self.chunks:
            raise Err(StreamError_Closed())
        chunk = self.chunks.pop(0)
        if isinstance(chunk, Err):
            raise chunk
        if len(chunk) > length:
            self.chunks.insert(0, chunk[length:])
        return chunk[:length]

    def blocking_skip(self, length: int) -> int:
        size = len(self.blocking_read(length))
        self.skipped += size
        return size


class IncomingBody(Resource):
    def __init__(self, stream: InputStream) -> None:
        super().__init__()
        self.input = stream

    def stream(self) -> InputStream:
        assert not self.children, "a body has one stream"
        stream: InputStream = self.child(self.input)
        return stream


class Method:
    """A method of wasi:http; `value` only for those without a name of their own."""

    value = ""


METHODS = {
    name.upper(): type(f"Method_{name}", (Method,), {})
    for name in "Get Head Post Put Delete Connect Options Trace Patch".split()
}


class Method_Other(Method):
    def __init__(self, value: str) -> None:
        self.value = value


class IncomingRequest(Resource):
    def __init__(
        self,
        method: str,
        path: str | None,
        headers: Iterable[tuple[str, bytes]] = (),
        chunks: Iterable[bytes | Err] = (),
    ) -> None:
        super().__init__()
        self.verb = METHODS[method]() if method in METHODS else Method_Other(method)
        self.path = path
        self.fields = Fields(list(headers))
        self.body = IncomingBody(InputStream(chunks))

    def method(self) -> Method:
        return self.verb

    def path_with_query(self) -> str | None:
        return self.path

    def headers(self) -> Fields:
        fields: Fields = self.child(self.fields)
        return fields

    def consume(self) -> IncomingBody:
        assert self.body not in self.children, "a body is consumed once"
        body: IncomingBody = self.child(self.body)
        return body


class Fields(Resource):
    def __init__(self, items: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self.items = items

    @classmethod
    def from_list(cls, items: list[tuple[str, bytes]]) -> Fields:
        if any(b"\n" in value for _, value in items):
            raise Err("invalid syntax")
        return cls(items)

    def entries(self) -> list[tuple[str, bytes]]:
        assert not self.dropped
        return self.items


class Pollable(Resource):
    def __init__(self, stream: OutputStream) -> None:
        super().__init__()
        self.stream = stream

    def block(self) -> None:
        self.stream.room = self.stream.buffer


class OutputStream(Resource):
    """Takes `buffer` bytes at a time; closes after `lives` of them."""

    def __init__(self, buffer: int, lives: int | None) -> None:
        super().__init__()
        self.buffer = self.room = buffer
        self.lives = lives
        self.data = b""

    def check_write(self) -> int:
        if self.lives is not None and len(self.data) >= self.lives:
            raise Err(StreamError_Closed())
        return self.room

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        assert len(data) <= self.room, "wrote more than permitted"
        self.room -= len(data)
        self.data += data

    def subscribe(self) -> Pollable:
        pollable: Pollable = self.child(Pollable(self))
        return pollable


class OutgoingBody(Resource):
    buffer = 100
    lives: int | None = None
    finished = False

    def write(self) -> OutputStream:
        stream: OutputStream = self.child(OutputStream(self.buffer, self.lives))
        return stream

    @classmethod
    def finish(cls, body: OutgoingBody, trailers: None) -> None:
        body.drop()
        body.finished = True

    @property
    def data(self) -> bytes:
        (stream,) = self.children
        assert isinstance(stream, OutputStream)
        return stream.data


class OutgoingResponse(Resource):
    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self.fields = dict(fields.items)
        self.status = 200
        self.outgoing = OutgoingBody()

    def set_status_code(self, status: int) -> None:
        if not 100 <= status < 1000:
            raise Err(None)
        self.status = status

    def body(self) -> OutgoingBody:
        return self.outgoing


class ResponseOutparam:
    """Where a response goes, once."""

    response: OutgoingResponse | None = None
    sent_after = b""

    @classmethod
    def set(cls, out: ResponseOutparam, result: Ok) -> None:
        assert out.response is None, "a response is set once"
        response: OutgoingResponse = result.value
        out.response = response
        out.sent_after = response.outgoing.data


class TensorType:
    """The enum: equal by number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorType) and self.number == other.number

    def __hash__(self) -> int:
        return self.number


class Tensor(Resource):
    def __init__(self, shape: list[int], kind: TensorType, content: bytes) -> None:
        super().__init__()
        assert isinstance(shape, list)
        assert isinstance(content, bytes)
        self.shape, self.kind, self.content = shape, kind, content

    def dimensions(self) -> list[int]:
        return self.shape

    def ty(self) -> TensorType:
        return self.kind

    def data(self) -> bytes:
        return self.content


class Code:
    """An error-code."""

    def __init__(self, name: str) -> None:
        self.name = name


class NnError(Resource):
    def __init__(self, code: str, data: str) -> None:
        super().__init__()
        self._code, self._data = code, data

    def code(self) -> Code:
        return Code(self._code)

    def data(self) -> str:
        return self._data


class Context:
    """Answers with its inputs, named by position as OpenVINO does."""

    def compute(self, inputs: list[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        if any(tensor.content == b"bad!" for _, tensor in inputs):
            raise Err(NnError("RUNTIME_ERROR", "out of luck"))
        return [(str(i), tensor) for i, (_, tensor) in enumerate(inputs)]


class Graph:
    def init_execution_context(self) -> Context:
        return Context()


def modules() -> dict[str, ModuleType]:
    """The modules that componentize-py would generate, by name."""
    loads: list[str] = []

    def load_by_name(name: str) -> Graph:
        loads.append(name)
        if name.startswith("absent"):
            raise Err(NnError("NOT_FOUND", f"no {name}"))
        return Graph()

    methods = {cls.__name__: cls for cls in (*METHODS.values(), Method_Other)}
    types = (IncomingRequest, Fields, OutgoingResponse, OutgoingBody, ResponseOutparam)
    contents: dict[str, dict[str, Any]] = {
        "componentize_py_types": {"Ok": Ok, "Err": Err},
        "wit_world": {},
        "wit_world.imports": {},
        "wit_world.imports.types": methods | {cls.__name__: cls for cls in types},
        "wit_world.imports.streams": {
            "InputStream": InputStream,
            "OutputStream": OutputStream,
            "StreamError_Closed": StreamError_Closed,
        },
        "wit_world.imports.graph": {"load_by_name": load_by_name, "loads": loads},
        "wit_world.imports.tensor": {"Tensor": Tensor, "TensorType": TensorType},
    }
    made = {}
    for name, content in contents.items():
        made[name] = ModuleType(name)
        made[name].__dict__.update(content)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, made[name])
    return made
