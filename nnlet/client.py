"""Client: the Open Inference Protocol from the asking side, on the standard library alone."""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

from nnlet.errors import HTTPError, RequestError
from nnlet.guest.tensors import pack, unpack
from nnlet.tensor import DATATYPES

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_ONLY = ("FP16", "BF16")  # the protocol has no JSON form for these


@dataclass(frozen=True)
class TensorInfo:
    """What a server says of one input or output; -1 in `shape` is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size < 0 else str(size) for size in self.shape)
        return f"{self.name} {self.datatype} [{sizes}]"

    def as_json(self) -> dict[str, Any]:
        """As model metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True)
class ModelInfo:
    """What a server says of one model."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor on its way: `data` is nested or flat lists, or little-endian bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | bytes


@dataclass(frozen=True)
class Answer:
    """The outputs of one inference, their data flat. `text` is the JSON as it came."""

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    text: str

    def as_json(self) -> dict[str, Any]:
        """As the protocol has it, all data in JSON."""
        rows = [
            {"name": t.name, "datatype": t.datatype, "shape": list(t.shape), "data": t.data}
            for t in self.outputs
        ]
        return {"model_name": self.model, "model_version": self.version, "outputs": rows}


@dataclass(frozen=True)
class Request:
    """One inference request, ready to send: `body` with `json_size` bytes of JSON first."""

    path: str
    body: bytes
    json_size: int

    @property
    def is_text(self) -> bool:
        """Whether the body is JSON alone."""
        return self.json_size == len(self.body)

    @property
    def headers(self) -> dict[str, str]:
        """What must go with the body."""
        if self.is_text:
            return {"Content-Type": "application/json"}
        return {
            "Content-Type": "application/octet-stream",
            HEADER_LENGTH: str(self.json_size),
        }


class Client:
    """Talks to one server over one connection that is opened when needed."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"not a URL of a server: {url!r}: expected http://HOST:PORT")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._base = parts.path.rstrip("/")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def status(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET. Raises OSError when nothing answers."""
        return self._send("GET", path, b"", {})[:2]

    def models(self) -> tuple[str, ...]:
        """The names of the models that are served."""
        with self._understanding():
            return tuple(self._get("/v2/models")["models"])

    def model(self, name: str) -> ModelInfo:
        """A model's inputs and outputs."""
        found = self._get(f"/v2/models/{quote(name, safe='')}")
        with self._understanding():
            return ModelInfo(
                found["name"],
                tuple(found.get("versions", ())),
                tuple(_tensor_info(t) for t in found["inputs"]),
                tuple(_tensor_info(t) for t in found["outputs"]),
            )

    def infer(self, model: ModelInfo, inputs: Sequence[Tensor]) -> Answer:
        """Send `inputs` to `model` and read what it answers."""
        return self.send(infer_request(model, inputs))

    def send(self, request: Request) -> Answer:
        """Send a request that was made before."""
        content, size = self._call("POST", request.path, request.body, request.headers)
        document = _document(content[:size])
        with self._understanding():
            return Answer(
                document["model_name"],
                str(document.get("model_version", "")),
                tuple(_read_outputs(document["outputs"], content[size:])),
                content[:size].decode(),
            )

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Raise RequestError for an answer that is not in the protocol's form."""
        try:
            yield
        except (KeyError, TypeError, ValueError, struct.error) as exc:
            raise RequestError(
                f"{self.url} does not speak the Open Inference Protocol ({exc!r})"
            ) from exc

    def _get(self, path: str) -> Any:
        return _document(self._call("GET", path)[0])

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, int]:
        """The body of a 200 answer and how much of it is JSON. Raises RequestError."""
        try:
            status, content, size = self._send(method, path, body, headers or {})
        except (OSError, http.client.HTTPException) as exc:
            reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise RequestError(f"no answer from {self.url}: {reason}: is it running?") from exc
        if status != 200:
            reason = _document(content).get("error") or "no reason given"
            raise RequestError(f"{self.url}{path} answered {status}: {reason}")
        return content, size

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, int]:
        """Status, body, and how much of the body is JSON."""
        try:
            self._connection.request(method, self._base + path, body or None, dict(headers))
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return response.status, content, int(response.headers.get(HEADER_LENGTH, len(content)))


def _document(content: bytes) -> dict[str, Any]:
    """A JSON object, {} for what is none: a server may be no nnlet."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def infer_request(model: ModelInfo, inputs: Sequence[Tensor]) -> Request:
    """The request that sends `inputs` to `model`."""
    rows: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for tensor in inputs:
        row: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
        }
        if isinstance(tensor.data, bytes):
            row["parameters"] = {"binary_data_size": len(tensor.data)}
            blobs.append(tensor.data)
        else:
            row["data"] = tensor.data
        rows.append(row)
    document: dict[str, Any] = {"inputs": rows}
    if any(output.datatype in BINARY_ONLY for output in model.outputs):
        document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    path = f"/v2/models/{quote(model.name, safe='')}/infer"
    return Request(path, b"".join([head, *blobs]), len(head))


def tensors(model: ModelInfo, values: Mapping[str, Any]) -> list[Tensor]:
    """`values` (nested lists by input name) as the tensors that `model` takes."""
    known = {info.name: info for info in model.inputs}
    for name in values:
        if name not in known:
            raise RequestError(
                f"{model.name} has no input {name!r}: its inputs are {', '.join(known)}"
            )
    missing = [name for name in known if name not in values]
    if missing:
        raise RequestError(f"{model.name} also needs a value for {', '.join(missing)}")
    return [_tensor(known[name], value) for name, value in values.items()]


def _tensor(info: TensorInfo, value: Any) -> Tensor:
    shape = _shape(value)
    data = value if isinstance(value, list) else [value]
    if info.datatype not in BINARY_ONLY:
        return Tensor(info.name, info.datatype, shape, data)
    try:
        packed = pack(DATATYPES[info.datatype], list(_flat(data)), f"input {info.name!r}")
    except HTTPError as exc:
        raise RequestError(exc.message) from exc
    return Tensor(info.name, info.datatype, shape, packed)


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of nested lists, read along their first elements."""
    if not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0]) if value else ()))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _read_outputs(rows: Sequence[Mapping[str, Any]], rest: bytes) -> Iterator[Tensor]:
    """The outputs with their data as flat lists; binary ones follow each other in `rest`."""
    start = 0
    for row in rows:
        data = row.get("data")
        if data is None:
            size = int(row["parameters"]["binary_data_size"])
            data = unpack(DATATYPES[row["datatype"]], rest[start : start + size])
            start += size
        yield Tensor(row["name"], row["datatype"], tuple(row["shape"]), list(_flat(data)))


def _tensor_info(row: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(row["name"], row["datatype"], tuple(row["shape"]))
