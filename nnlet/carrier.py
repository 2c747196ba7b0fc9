"""NumPy arrays as they cross wasi-nn: in their carrier's datatype, and back.

What `native.py` and `provider.py` have in common. The table itself is `tensor.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from nnlet.tensor import BY_NN, DATATYPES, DataType

Array = np.ndarray[Any, np.dtype[Any]]

# wasi-nn's error-code, in its order.
ERROR_CODES = (
    "invalid-argument",
    "invalid-encoding",
    "timeout",
    "runtime-error",
    "unsupported-operation",
    "too-large",
    "not-found",
    "security",
    "unknown",
)


def numpy_dtype(datatype: DataType) -> np.dtype[Any]:
    """NumPy's dtype of a datatype."""
    if datatype.name == "BF16":
        dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(datatype.name.lower().replace("fp", "float"))


_BY_NUMPY = {numpy_dtype(row): row for row in DATATYPES.values()}


def datatype_of(array: Array) -> DataType:
    """The datatype of an array; TypeError if wasi-nn can carry it in no way."""
    datatype = _BY_NUMPY.get(array.dtype)
    if datatype is None:
        raise TypeError(f"no tensor holds {array.dtype}: expected one of {', '.join(DATATYPES)}")
    return datatype


def to_carrier(array: Array) -> tuple[DataType, Array]:
    """The datatype in which `array` crosses, and its values in it, contiguous."""
    datatype = datatype_of(array)
    carrier = DATATYPES[datatype.carrier]
    if datatype.name == "UINT64":  # the same 64 bits
        values = np.ascontiguousarray(array).view(np.int64)
    else:
        values = np.ascontiguousarray(array, numpy_dtype(carrier))
    return carrier, values.reshape(array.shape)


Crossed = tuple[int, Sequence[int], bytes]  # wasi-nn type, dims and data of a tensor


def from_carriers(crossed: Sequence[Crossed], datatypes: Sequence[DataType]) -> list[Array]:
    """Arrays of what crossed, in `datatypes`, which wasi-nn does not tell.

    Without datatypes the arrays keep their carriers'.
    """
    wanted: Sequence[DataType | None] = datatypes or [None] * len(crossed)
    return [_from_carrier(*item, datatype) for item, datatype in zip(crossed, wanted, strict=True)]


def _from_carrier(nn: int, dims: Sequence[int], data: bytes, datatype: DataType | None) -> Array:
    array: Array = np.frombuffer(data, numpy_dtype(BY_NN[nn])).reshape(dims)
    if datatype is None:
        return array
    wanted = numpy_dtype(datatype)
    return array.view(wanted) if datatype.name == "UINT64" else array.astype(wanted, copy=False)
