"""The models that are served, as read from the catalogue that the build generates."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from nnlet.errors import HTTPError, InferenceError
from nnlet.guest.jsontext import quote
from nnlet.guest.tensors import EXACT, MAX_DIMENSION, Tensor, convert, describe
from nnlet.tensor import DATATYPES, DataType

PLATFORM = "onnx_onnxv1"


class TensorInfo:
    """One input or output of a model. `shape` has -1 where any size goes."""

    __slots__ = ("name", "datatype", "carrier", "shape", "labels", "head")

    def __init__(
        self, name: str, datatype: str, shape: tuple[int, ...], labels: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.datatype = DATATYPES[datatype]
        self.carrier = DATATYPES[self.datatype.carrier]
        self.shape = shape
        self.labels = labels
        # How an answer that holds this tensor begins; the shape follows.
        self.head = f'{{"name":{quote(name)},"datatype":"{datatype}","shape":'

    def metadata(self) -> dict[str, Any]:
        """As model metadata states it."""
        return {"name": self.name, "datatype": self.datatype.name, "shape": list(self.shape)}

    def accept(self, datatype: Any) -> DataType:
        """The datatype a request states, if it converts exactly to the model's."""
        own = self.datatype.name
        if datatype == own:
            return self.datatype
        if type(datatype) is str and datatype in EXACT[own]:
            return DATATYPES[datatype]
        others = f" (or {', '.join(EXACT[own])}, which convert exactly)" if EXACT[own] else ""
        raise HTTPError(
            400,
            f"input {self.name!r}: datatype is {describe(datatype)}: the model takes {own}{others}",
        )

    def count(self, shape: Any) -> int:
        """The number of elements in `shape`, which must fit the model's."""
        expected = self.shape
        if not isinstance(shape, (list, tuple)):
            raise self._bad_shape(describe(shape), "a list of whole numbers")
        if len(shape) != len(expected):
            raise self._bad_shape(f"{list(shape)}, of rank {len(shape)}", f"rank {len(expected)}")
        for axis, size in enumerate(shape):
            # An empty batch has no answer, and some providers fail at it. Other axes may be
            # empty: a sequence's past is, at its start.
            least = 1 if axis == 0 else 0
            if type(size) is not int or not least <= size <= MAX_DIMENSION:
                raise self._bad_shape(
                    f"{describe(size)} at axis {axis}",
                    f"a whole number from {least} to {MAX_DIMENSION}",
                )
            if size != expected[axis] != -1:
                raise self._bad_shape(list(shape), f"{expected[axis]} at axis {axis}")
        return math.prod(shape)

    def _bad_shape(self, found: Any, expected: str) -> HTTPError:
        return HTTPError(
            400,
            f"input {self.name!r}: shape is {found}: expected {expected} "
            f"(the model takes {self.datatype.name} {list(self.shape)}, -1 being any size)",
        )

    def to_carrier(self, row: DataType, shape: Sequence[int], data: bytes) -> Tensor:
        """Checked data as the tensor that crosses to the provider."""
        if row.kind == "b" and data.translate(None, b"\0\1"):
            index = next(i for i, byte in enumerate(data) if byte > 1)
            raise HTTPError(
                400, f"input {self.name!r}: element {index} is {data[index]}: BOOL expects 0 or 1"
            )
        return Tensor(self.carrier.name, shape, convert(data, row, self.carrier))

    def admit(self, tensor: Tensor) -> Tensor:
        """A tensor from a hook, checked and ready to cross."""
        row = self.accept(tensor.datatype)
        size = self.count(tensor.shape) * row.size
        self.check_size(row, tensor.shape, len(tensor.data), size)
        return self.to_carrier(row, tensor.shape, tensor.data)

    def check_size(self, row: DataType, shape: Sequence[int], found: int, expected: int) -> None:
        """Refuse data of another length than its shape takes."""
        if found != expected:
            raise HTTPError(
                400,
                f"input {self.name!r}: found {found} bytes of data: "
                f"{row.name} {list(shape)} takes {expected}",
            )

    def from_carrier(self, tensor: Tensor) -> Tensor:
        """What the provider answered, in the model's own datatype."""
        expected = self.carrier.name
        if tensor.datatype != expected:
            raise InferenceError(
                "invalid-encoding",
                f"output {self.name!r} came as {tensor.datatype}: expected {expected}",
            )
        if self.datatype is self.carrier:
            return tensor
        return Tensor(self.datatype.name, tensor.shape, self._narrow(tensor.data))

    def _narrow(self, data: bytes) -> bytes:
        try:
            return convert(data, self.carrier, self.datatype)
        except struct.error as exc:
            raise InferenceError(
                "invalid-encoding",
                f"output {self.name!r} holds a value that is no {self.datatype.name}: {exc}",
            ) from exc


class Model:
    """One version of one model, built from its entry in the catalogue."""

    __slots__ = (
        *("name", "version", "graph", "description", "digest", "example"),
        *("inputs", "outputs", "columns", "answer", "preamble"),
    )

    def __init__(self, entry: dict[str, Any]) -> None:
        self.name: str = entry["name"]
        self.version: str = entry["version"]
        self.graph = f"{self.name}@{self.version}"
        self.description: str = entry.get("description", "")
        self.digest: str = entry.get("digest", "")
        self.example: dict[str, Any] = entry.get("example", {})
        self.inputs = {row[0]: TensorInfo(*row) for row in entry["inputs"]}
        self.outputs = {row[0]: TensorInfo(*row) for row in entry["outputs"]}
        # What model.toml says of tables (see records.py), as it says it.
        self.columns: list[dict[str, Any]] = entry.get("columns", [])
        self.answer: list[dict[str, Any]] = entry.get("answer", [])
        # How an answer to an inference request begins.
        self.preamble = f'{{"model_name":{quote(self.name)},"model_version":{quote(self.version)},'

    def admit(self, tensors: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
        """Inputs from a hook, checked and ready to cross. HTTPError 400 if they do not fit."""
        if tensors.keys() != self.inputs.keys():
            found, expected = ", ".join(map(repr, tensors)), ", ".join(map(repr, self.inputs))
            raise HTTPError(400, f"inputs are {found or 'none'}: {self.name!r} takes {expected}")
        return [(name, info.admit(tensors[name])) for name, info in self.inputs.items()]


class Models:
    """All models, by name and version."""

    __slots__ = ("all", "_by_key")

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self.all = [Model(entry) for entry in entries]
        self._by_key: dict[tuple[str, str], Model] = {}
        for model in sorted(self.all, key=lambda m: int(m.version)):
            self._by_key[model.name, model.version] = model
            self._by_key[model.name, ""] = model  # no version asked for: the newest

    def names(self) -> list[str]:
        """Every name once, in order."""
        return sorted({model.name for model in self.all})

    def versions(self, name: str) -> list[str]:
        """The versions of one model, oldest first."""
        return sorted((m.version for m in self.all if m.name == name), key=int)

    def find(self, name: str, version: str = "") -> Model:
        """The model, in its newest version unless one is asked for. Raises 404."""
        model = self._by_key.get((name, version))
        if model is not None:
            return model
        versions = self.versions(name)
        if versions:
            raise HTTPError(
                404, f"model {name!r} has no version {version!r}: it has {', '.join(versions)}"
            )
        raise HTTPError(404, f"no model {name!r}: there is {', '.join(self.names()) or 'none'}")
