"""Inference requests and answers of the Open Inference Protocol: JSON, binary and raw.

Specification: specification/protocol/inference_rest.md of kserve/open-inference-protocol;
extension_binary_data.md of triton-inference-server/server. No HTTP and no models are
touched here: bytes and headers go in, tensors come out, and the other way round.
"""

from __future__ import annotations

import math
from typing import Any

from nnlet.errors import HTTPError
from nnlet.guest.classification import Classes
from nnlet.guest.jsontext import native, parse, quote
from nnlet.guest.messages import BINARY, Response, whole_number
from nnlet.guest.models import Model, TensorInfo
from nnlet.guest.tensors import Tensor, describe, flatten, pack, pack_natively, to_json
from nnlet.tensor import DataType

# Length of the JSON at the start of a body that goes on with binary tensors.
HEADER_LENGTH = "inference-header-content-length"


class Wanted:
    """One output to answer with: in which form, and as how many classes (0: as it is)."""

    __slots__ = ("info", "binary", "classes")

    def __init__(self, info: TensorInfo, binary: bool, classes: int = 0) -> None:
        self.info = info
        self.binary = binary
        self.classes = classes


class InferRequest:
    """A request, checked: what is missing is to compute it."""

    __slots__ = ("model", "id", "inputs", "outputs")

    def __init__(
        self,
        model: Model,
        inputs: list[tuple[str, Tensor]],
        outputs: list[Wanted],
        id: str | None = None,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.outputs = outputs
        self.id = id


def read_request(model: Model, headers: dict[str, str], body: bytes) -> InferRequest:
    """A request for `model`. HTTPError 400 says what is wrong with it, and where."""
    announced = headers.get(HEADER_LENGTH)
    if announced is None:
        if native is not None and (request := _read_natively(model, body)) is not None:
            return request
        return _read_document(model, parse(body), _Blobs(b"", 0))
    length = _header_length(announced, len(body))
    if length == 0:
        return _read_raw(model, body)
    return _read_document(model, parse(body[:length]), _Blobs(body, length))


def _read_natively(model: Model, body: bytes) -> InferRequest | None:
    """What is plainly right; None for all else, which is read again to say what is wrong."""
    document = native.read(body)
    if document is None:
        return None
    try:
        return _read_document(model, document, _Blobs(b"", 0))
    except HTTPError:
        return None


def _header_length(announced: str, size: int) -> int:
    length = whole_number(announced)
    if length is not None and length <= size:
        return length
    raise HTTPError(
        400,
        f"Inference-Header-Content-Length is {announced!r}: expected a number from 0 to {size}, "
        "the length of the body",
    )


def _read_document(model: Model, document: Any, blobs: _Blobs) -> InferRequest:
    if type(document) is not dict:
        raise HTTPError(400, f"the request is {describe(document)}: expected a JSON object")
    id = document.get("id")
    if id is not None and type(id) is not str:
        raise HTTPError(400, f"id is {describe(id)}: expected a string")
    parameters = _parameters(document, "request")
    inputs = _read_inputs(model, document.get("inputs"), blobs)
    blobs.finish()
    binary = _flag(parameters, "binary_data_output", "request", False)
    return InferRequest(model, inputs, _read_outputs(model, document.get("outputs"), binary), id)


def _parameters(owner: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        raise HTTPError(
            400, f"{where}: parameters is {describe(parameters)}: expected a JSON object"
        )
    for key, value in parameters.items():
        if not isinstance(value, (str, int, float)):  # bool is an int
            raise HTTPError(
                400,
                f"{where}: parameter {key!r} is {describe(value)}: "
                "expected a string, a number or a boolean",
            )
        if key.startswith("triton_"):
            raise HTTPError(400, f"{where}: parameter {key!r}: names in triton_ are reserved")
        if key.startswith("shared_memory_"):
            raise HTTPError(400, f"{where}: parameter {key!r}: no memory is shared with clients")
    return parameters


def _flag(parameters: dict[str, Any], key: str, where: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if type(value) is not bool:
        raise HTTPError(400, f"{where}: {key} is {describe(value)}: expected true or false")
    return value


def _integer(parameters: dict[str, Any], key: str, where: str, least: int) -> int:
    value = parameters[key]
    if type(value) is not int or value < least:
        raise HTTPError(
            400, f"{where}: {key} is {describe(value)}: expected a whole number from {least}"
        )
    return value


# Inputs


def _read_inputs(model: Model, items: Any, blobs: _Blobs) -> list[tuple[str, Tensor]]:
    if type(items) is not list:
        raise HTTPError(400, f"inputs is {describe(items)}: expected a list of tensors")
    tensors: dict[str, Tensor] = {}
    for index, item in enumerate(items):
        info = _named(item, index, "input", model.inputs, tensors)
        tensors[info.name] = _read_input(info, item, blobs)
    if len(tensors) != len(model.inputs):
        missing = [name for name in model.inputs if name not in tensors]
        raise HTTPError(
            400,
            f"missing input {', '.join(map(repr, missing))}: the model takes "
            f"{', '.join(map(repr, model.inputs))}",
        )
    return list(tensors.items())


def _named(
    item: Any, index: int, what: str, known: dict[str, TensorInfo], seen: dict[str, Any]
) -> TensorInfo:
    """The input or output of the model that `item` names, once."""
    if type(item) is not dict:
        raise HTTPError(400, f"{what} {index} is {describe(item)}: expected a JSON object")
    name = item.get("name")
    if type(name) is not str:
        raise HTTPError(400, f"{what} {index}: name is {describe(name)}: expected a string")
    if name in seen:
        raise HTTPError(400, f"{what} {name!r} is given more than once")
    info = known.get(name)
    if info is None:
        raise HTTPError(
            400, f"unknown {what} {name!r}: the model has {', '.join(map(repr, known))}"
        )
    return info


def _read_input(info: TensorInfo, item: dict[str, Any], blobs: _Blobs) -> Tensor:
    row = info.accept(item.get("datatype"))
    shape: Any = item.get("shape")
    count = info.count(shape)
    where = f"input {info.name!r}"
    parameters = _parameters(item, where)
    data = item.get("data")
    if "binary_data_size" in parameters:
        if data is not None:
            raise HTTPError(400, f"{where}: both data and binary_data_size: expected one of them")
        size = _integer(parameters, "binary_data_size", where, 0)
        info.check_size(row, shape, size, count * row.size)
        packed = blobs.take(size, where)
    else:
        if data is None:
            raise HTTPError(400, f"{where}: neither data nor binary_data_size: expected one")
        packed = _pack_json(row, data, shape, where)
    return info.to_carrier(row, shape, packed)


def _pack_json(row: DataType, data: Any, shape: list[int], where: str) -> bytes:
    if row.name in ("FP16", "BF16"):
        raise HTTPError(
            400, f"{where}: {row.name} has no JSON form: send it as binary data (binary_data_size)"
        )
    if type(data) is not tuple:
        return pack(row, flatten(data, shape, where), where)
    packed = pack_natively(row, data, shape)
    if packed is None:
        raise HTTPError(400, f"{where}: its data is not plainly {row.name}")  # nobody sees it
    return packed


class _Blobs:
    """The binary part of a body: the tensors' bytes, one after the other."""

    __slots__ = ("body", "position")

    def __init__(self, body: bytes, position: int) -> None:
        self.body = body
        self.position = position

    def take(self, size: int, where: str) -> bytes:
        """The next `size` bytes."""
        left = len(self.body) - self.position
        if size > left:
            raise HTTPError(
                400,
                f"{where}: binary data ends early: expected {size} bytes, found {left} "
                "(Inference-Header-Content-Length says where it begins)",
            )
        start, self.position = self.position, self.position + size
        return self.body[start : self.position]

    def finish(self) -> None:
        """Refuse bytes that belong to no input."""
        left = len(self.body) - self.position
        if left:
            raise HTTPError(
                400, f"unexpected additional data: {left} bytes after the last binary input"
            )


def _read_raw(model: Model, body: bytes) -> InferRequest:
    """A body that is nothing but the one input's data."""
    if len(model.inputs) != 1:
        raise HTTPError(
            400,
            f"a raw request (Inference-Header-Content-Length: 0) needs a model with one input: "
            f"{model.name!r} has {len(model.inputs)}",
        )
    (info,) = model.inputs.values()
    shape = _raw_shape(info, len(body))
    tensor = info.to_carrier(info.datatype, shape, body)
    return InferRequest(model, [(info.name, tensor)], _all_outputs(model, True))


def _raw_shape(info: TensorInfo, size: int) -> list[int]:
    """The shape that `size` bytes fill. One dimension may be free; of two, the first is 1."""
    shape = list(info.shape)
    where = f"raw input {info.name!r}"
    if shape.count(-1) == 2 and shape[0] == -1:
        shape[0] = 1
    if shape.count(-1) > 1:
        raise HTTPError(
            400,
            f"{where}: its shape {list(info.shape)} cannot be told from {size} bytes: "
            "send a request with a JSON part",
        )
    known = info.datatype.size * math.prod(dim for dim in shape if dim != -1)
    if -1 in shape and known:
        free = shape.index(-1)
        if size % known:
            raise HTTPError(
                400,
                f"{where}: {size} bytes: {info.datatype.name} {list(info.shape)} takes a "
                f"multiple of {known}",
            )
        shape[free] = size // known
        known = size
    info.check_size(info.datatype, shape, size, known)
    info.count(shape)
    return shape


# Outputs


def _all_outputs(model: Model, binary: bool) -> list[Wanted]:
    return [Wanted(info, binary) for info in model.outputs.values()]


def _read_outputs(model: Model, items: Any, binary: bool) -> list[Wanted]:
    if items is None or items == []:
        return _all_outputs(model, binary)
    if type(items) is not list:
        raise HTTPError(400, f"outputs is {describe(items)}: expected a list")
    wanted: dict[str, Wanted] = {}
    for index, item in enumerate(items):
        info = _named(item, index, "output", model.outputs, wanted)
        wanted[info.name] = _read_output(info, item, binary)
    return list(wanted.values())


def _read_output(info: TensorInfo, item: dict[str, Any], binary: bool) -> Wanted:
    where = f"output {info.name!r}"
    parameters = _parameters(item, where)
    binary = _flag(parameters, "binary_data", where, binary)
    if "classification" not in parameters:
        return Wanted(info, binary)
    return Wanted(info, binary, _integer(parameters, "classification", where, 1))


def write_response(request: InferRequest, answers: dict[str, Tensor]) -> Response:
    """The answer, from all outputs of the model by name."""
    texts = []
    blobs: list[bytes] = []
    for wanted in request.outputs:
        texts.append(_write_output(wanted, answers[wanted.info.name], blobs))
    id = "" if request.id is None else f'"id":{quote(request.id)},'
    text = f'{request.model.preamble}{id}"outputs":[{",".join(texts)}]}}'.encode()
    if not blobs:
        return Response(text)
    headers = ((HEADER_LENGTH, str(len(text))),)
    return Response(b"".join((text, *blobs)), 200, BINARY, headers)


def _write_output(wanted: Wanted, tensor: Tensor, blobs: list[bytes]) -> str:
    """One output's JSON. Binary data is added to `blobs`."""
    info = wanted.info
    if wanted.classes:
        classes = Classes(info, tensor, wanted.classes)
        head = f'{{"name":{quote(info.name)},"datatype":"BYTES","shape":{classes.shape}'
        if not wanted.binary:
            return f'{head},"data":[{",".join(map(quote, classes.texts))}]}}'
        data = classes.data()
    else:
        head = f"{info.head}{list(tensor.shape)}"
        if not wanted.binary:
            return f'{head},"data":{to_json(info.datatype, tensor.data, f"output {info.name!r}")}}}'
        data = tensor.data
    blobs.append(data)
    return f'{head},"parameters":{{"binary_data_size":{len(data)}}}}}'
