"""Tensor, and the three forms of its data: bytes, Python numbers, JSON text.

Every loop over elements runs in C (`struct`, `map`, `sum`): in the guest a Python
statement costs as much as a hundred elements.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

from nnlet.errors import HTTPError
from nnlet.guest.jsontext import native
from nnlet.tensor import DATATYPES, DataType

# A tensor's dimensions cross wasi-nn as u32, its bytes live in a 32-bit memory.
MAX_DIMENSION = 2**31 - 1

# For each datatype, the others all of whose values it holds exactly.
_UP_TO_8 = ("BOOL", "INT8", "UINT8")
_UP_TO_16 = (*_UP_TO_8, "INT16", "UINT16")
_UP_TO_32 = (*_UP_TO_16, "INT32", "UINT32")
EXACT: dict[str, tuple[str, ...]] = {
    "BOOL": (),
    "UINT8": ("BOOL",),
    "UINT16": ("BOOL", "UINT8"),
    "UINT32": ("BOOL", "UINT8", "UINT16"),
    "UINT64": ("BOOL", "UINT8", "UINT16", "UINT32"),
    "INT8": ("BOOL",),
    "INT16": _UP_TO_8,
    "INT32": _UP_TO_16,
    "INT64": _UP_TO_32,
    "FP16": _UP_TO_8,
    "BF16": _UP_TO_8,
    "FP32": (*_UP_TO_16, "FP16", "BF16"),
    "FP64": (*_UP_TO_32, "FP16", "BF16", "FP32"),
}


class Tensor:
    """Datatype (its name in the Open Inference Protocol), shape, and data.

    `data` is row-major and little endian, without padding.
    """

    __slots__ = ("datatype", "shape", "data")

    def __init__(self, datatype: str, shape: Sequence[int], data: bytes) -> None:
        self.datatype = datatype
        self.shape = tuple(shape)
        self.data = data

    @classmethod
    def of(cls, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Tensor:
        """A tensor of these values, flat, in row-major order. HTTPError 400 if one is wrong."""
        return cls(datatype, shape, pack(DATATYPES[datatype], values, "tensor"))

    def values(self) -> list[Any]:
        """All values, flat: numbers, or booleans for BOOL."""
        return unpack(DATATYPES[self.datatype], self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.datatype!r}, {self.shape}, {len(self.data)} bytes)"


def pack(row: DataType, values: Sequence[Any], where: str) -> bytes:
    """Numbers to bytes. HTTPError 400 names the first that `row` cannot hold."""
    kinds = set(map(type, values))
    if not kinds <= _KINDS[row.kind]:
        raise _wrong_kind(row, values, where)
    if row.kind == "b":
        return bytes(values)
    if row.name == "BF16":
        return _narrow_bf16(pack(DATATYPES["FP32"], values, where))
    try:
        data = struct.pack(f"<{len(values)}{row.code}", *values)
    except (struct.error, OverflowError) as exc:
        raise _out_of_range(row, values, where) from exc
    if float in kinds and not finite(values):
        raise _out_of_range(row, values, where)
    return data


_KINDS: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
_EXPECTED = {
    "b": "true or false",
    "u": "a whole number of at least 0, without a decimal point",
    "i": "a whole number, without a decimal point",
    "f": "a number",
}


def finite(values: Sequence[float]) -> bool:
    """Whether no value is NaN or infinite."""
    # One NaN or infinity makes the sum one; so, rarely, do large finite values.
    try:
        if math.isfinite(sum(values)):
            return True
    except OverflowError:
        pass
    return all(map(math.isfinite, values))


def _wrong_kind(row: DataType, values: Sequence[Any], where: str) -> HTTPError:
    kinds = _KINDS[row.kind]
    index, value = next((i, v) for i, v in enumerate(values) if type(v) not in kinds)
    return HTTPError(
        400,
        f"{where}: element {index} is {describe(value)}: {row.name} expects {_EXPECTED[row.kind]}",
    )


def _out_of_range(row: DataType, values: Sequence[Any], where: str) -> HTTPError:
    index = next(i for i, v in enumerate(values) if not _holds(row, v))
    return HTTPError(
        400, f"{where}: element {index} is {describe(values[index])}: out of range for {row.name}"
    )


def _holds(row: DataType, value: Any) -> bool:
    try:
        struct.pack(f"<{row.code}", value)
        return math.isfinite(value)
    except (struct.error, OverflowError):
        return False


def describe(value: Any) -> str:
    """A JSON value in words, short enough for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, float) and math.isinf(value):
        return "a number beyond 1.8e308"  # what JSON's 1e999 becomes
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def unpack(row: DataType, data: bytes) -> list[Any]:
    """Bytes to numbers."""
    if row.name == "BF16":
        return unpack(DATATYPES["FP32"], _widen_bf16(data))
    return list(struct.unpack(f"<{len(data) // row.size}{row.code}", data))


def convert(data: bytes, source: DataType, target: DataType) -> bytes:
    """The same values in another datatype. struct.error for one that does not fit.

    Integers of equal size are the same bytes: UINT64 crosses wasi-nn as INT64.
    """
    if source is target or (source.size == target.size and source.kind != "f" != target.kind):
        return data
    values = unpack(source, data)
    if target.name == "BF16":
        return _narrow_bf16(struct.pack(f"<{len(values)}f", *values))
    return struct.pack(f"<{len(values)}{target.code}", *values)


def _widen_bf16(data: bytes) -> bytes:
    """bfloat16 to float32: the upper half of its bits."""
    wide = bytearray(2 * len(data))
    wide[2::4] = data[0::2]
    wide[3::4] = data[1::2]
    return bytes(wide)


def _narrow_bf16(data: bytes) -> bytes:
    """float32 to bfloat16, to the nearest, ties to even."""
    bits = struct.unpack(f"<{len(data) // 4}I", data)
    upper = [(b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits]
    return struct.pack(f"<{len(upper)}H", *upper)


def to_json(row: DataType, data: bytes, where: str) -> str:
    """Bytes to the text of a flat JSON array.

    FP32 is printed with nine digits, which is exact for it and half as long as a double.
    HTTPError 400 where JSON has no form for the values; the binary form always does.
    """
    if row.name in ("FP16", "BF16"):
        raise HTTPError(
            400, f"{where} is {row.name}, which has no JSON form: ask for it with binary_data: true"
        )
    if row.name == "FP32" and native is not None:
        text = native.print_floats(data)
        if text is not None:
            return str(text)
    values = struct.unpack(f"<{len(data) // row.size}{row.code}", data)
    if row.kind == "f" and not finite(values):
        index = next(i for i, v in enumerate(values) if not math.isfinite(v))
        raise HTTPError(
            400,
            f"{where}: element {index} of the answer is {values[index]}, which has no JSON form: "
            "ask for it with binary_data: true",
        )
    if row.name == "FP32":
        return f"[{('%.9g,' * len(values) % values)[:-1]}]"
    text = str(list(values)).replace(" ", "")
    return text.lower() if row.kind == "b" else text


def pack_natively(row: DataType, data: Any, shape: Sequence[int]) -> bytes | None:
    """The numbers that `native.read` found. None if they are not plainly `row`s of `shape`."""
    whole, found, doubles = data
    if not (whole or row.kind == "f") or math.prod(found) != math.prod(shape):
        return None
    if len(found) > 1 and found != tuple(shape):
        return None
    packed: bytes | None = native.pack(doubles, row.code)
    return packed


def flatten(data: Any, shape: Sequence[int], where: str) -> list[Any]:
    """JSON data, flat or nested as `shape` says, as one flat list of the right length."""
    if type(data) is not list:
        raise HTTPError(400, f"{where}: data is {describe(data)}: expected a list")
    values = data
    if data and shape and type(data[0]) is list:
        values = _unnest(data, shape, where)
    count = math.prod(shape)
    if len(values) != count:
        raise HTTPError(
            400, f"{where}: data has {len(values)} elements: shape {list(shape)} has {count}"
        )
    return values


def _unnest(data: list[Any], shape: Sequence[int], where: str) -> list[Any]:
    rows = [data]
    for axis, size in enumerate(shape):
        if not (set(map(type, rows)) <= {list} and set(map(len, rows)) <= {size}):
            raise _uneven(rows, axis, shape, where)
        rows = list(chain.from_iterable(rows))
    return rows


def _uneven(rows: list[Any], axis: int, shape: Sequence[int], where: str) -> HTTPError:
    size = shape[axis]
    index, row = next(
        (i, row) for i, row in enumerate(rows) if type(row) is not list or len(row) != size
    )
    found = f"a list of {len(row)}" if type(row) is list else describe(row)
    return HTTPError(
        400,
        f"{where}: data does not nest as its shape {list(shape)} says: item {index} at depth "
        f"{axis} is {found}: expected a list of {size}",
    )
