"""The compiled models as native code in this process: the compiler's C without Wasm.

For tests: a second to compile and call where the component takes several, with the same
runtime around it (`compiler/runtime/infer.c`) and so the same refusals. Not for serving: a
wrong model can crash the process, and one library runs one inference at a time.
"""

from __future__ import annotations

import _ctypes
import ctypes
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_uint8, c_uint32, c_void_p
from pathlib import Path

import numpy as np

from nnlet import runtime, zig
from nnlet.carrier import ERROR_CODES, Array, from_carriers, to_carrier
from nnlet.errors import InferenceError
from nnlet.tensor import DataType

WEIGHTS_ALIGNMENT = 64  # what nnlet.h promises to generated code

FLAGS = (
    "-shared",
    "-fPIC",
    "-mcpu=baseline",  # what is kept by content runs on any machine of this kind
    *zig.FLAGS,
)

# The checks of -fsanitize=undefined as clang's own flags: told to zig, it would build its
# library once more. A failed check ends the process with SIGILL.
CHECKS = (
    "alignment,array-bounds,bool,builtin,enum,integer-divide-by-zero,nonnull-attribute,null,"
    "pointer-overflow,return,returns-nonnull-attribute,shift-base,shift-exponent,"
    "signed-integer-overflow,unreachable,vla-bound"
)
SANITIZE = ("-Xclang", f"-fsanitize={CHECKS}", "-Xclang", f"-fsanitize-trap={CHECKS}")


class Port(Structure):
    """`nn_port` of nnlet.h."""

    _fields_ = [
        ("name", c_char_p),
        ("dims", POINTER(c_int32)),
        ("type", c_uint8),
        ("rank", c_uint8),
    ]


class Tensor(Structure):
    """`nn_tensor` of nnlet.h."""

    _fields_ = [
        ("data", c_void_p),
        ("dims", POINTER(c_uint32)),
        ("bytes", c_int64),
        ("type", c_uint8),
        ("rank", c_uint8),
    ]


class Model(Structure):
    """`nn_model` of nnlet.h."""

    _fields_ = [
        ("name", c_char_p),
        ("version", c_char_p),
        ("inputs", POINTER(Port)),
        ("outputs", POINTER(Port)),
        ("input_count", c_uint32),
        ("output_count", c_uint32),
        ("run", c_void_p),
    ]


class Input(Structure):
    """`nn_input` of infer.h."""

    _fields_ = [
        ("name", c_char_p),
        ("data", c_void_p),
        ("dims", POINTER(c_uint32)),
        ("bytes", c_int64),
        ("name_bytes", c_uint32),
        ("rank", c_uint32),
        ("type", c_uint32),
    ]


class NativeModels:
    """All models of one C file, compiled for this machine.

    `level` is clang's -O (0 compiles several times faster than 2), `sanitize` stops the
    process with a message at undefined behaviour, `defines` are macros for the C, `replace`
    has other content for some of the runtime's files.
    """

    def __init__(
        self,
        c_source: str,
        weights: bytes = b"",
        *,
        defines: Mapping[str, str] | None = None,
        replace: Mapping[str, bytes] | None = None,
        level: int = 0,
        sanitize: bool = False,
    ) -> None:
        flags = [
            *FLAGS,
            *zig.optimize(level),
            "-fno-sanitize=all",
            *(SANITIZE if sanitize else ()),
            *(f"-D{name}={value}" for name, value in sorted((defines or {}).items())),
        ]
        models = {"models.c": c_source.encode()}
        sources = {**runtime.sources("native.c"), **(replace or {})}
        files = {**runtime.headers(), **sources, **models}
        self._library = _load(zig.compile_c(files, flags, "models.so"))
        weakref.finalize(self, _ctypes.dlclose, self._library._handle)
        self._weights = _aligned(weights)
        c_void_p.in_dll(self._library, "nn_weights").value = self._weights.ctypes.data

    def run(
        self,
        name: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[DataType] = (),
    ) -> list[Array]:
        """The outputs in graph order, in the datatypes `outputs`, else in their carriers'.

        Raises InferenceError, as the component would answer it.
        """
        model = self._find(f"{name}@{version}" if version else name)
        given, kept = _inputs(inputs)
        room = (Tensor * max(model.input_count, 1))()
        out = (Tensor * max(model.output_count, 1))()
        code = self._library.nn_infer(ctypes.byref(model), given, len(inputs), room, out)
        del kept
        if code >= 0:
            raise self._error(code)
        found = [self._take(out[i]) for i in range(model.output_count)]
        return from_carriers(found, outputs)

    def _find(self, name: str) -> Model:
        encoded = name.encode()
        found = self._library.nn_find(encoded, len(encoded))
        if not found:
            raise self._error(ERROR_CODES.index("not-found"))
        model: Model = found.contents
        return model

    def _error(self, code: int) -> InferenceError:
        text = (ctypes.c_char * 512).in_dll(self._library, "nn_error_text").value
        return InferenceError(ERROR_CODES[code], text.decode())

    def _take(self, tensor: Tensor) -> tuple[int, list[int], bytes]:
        """A copy of an output, whose memory is freed."""
        dims = tensor.dims[: tensor.rank]
        data = ctypes.string_at(tensor.data, tensor.bytes)
        self._library.nn_free(tensor.data)
        self._library.nn_free(ctypes.cast(tensor.dims, c_void_p))
        return tensor.type, dims, data


def _load(code: bytes) -> ctypes.CDLL:
    """The library from a file of its own: one path loaded twice would share its weights."""
    with tempfile.TemporaryDirectory(prefix="nnlet-") as folder:
        path = Path(folder, "models.so")
        path.write_bytes(code)
        library = ctypes.CDLL(str(path))
    library.nn_find.argtypes = [c_char_p, c_uint32]
    library.nn_find.restype = POINTER(Model)
    library.nn_infer.argtypes = [c_void_p, c_void_p, c_uint32, c_void_p, c_void_p]
    library.nn_infer.restype = c_int32
    library.nn_free.argtypes = [c_void_p]
    library.nn_free.restype = None
    return library


def _aligned(data: bytes) -> Array:
    room = np.zeros(len(data) + WEIGHTS_ALIGNMENT, np.uint8)
    start = -room.ctypes.data % WEIGHTS_ALIGNMENT
    room[start : start + len(data)] = np.frombuffer(data, np.uint8)
    return room[start : start + len(data) + 1]


def _inputs(inputs: Mapping[str, Array]) -> tuple[ctypes.Array[Input], list[object]]:
    """The inputs for C, and what must live as long as they do."""
    given = (Input * max(len(inputs), 1))()
    kept: list[object] = []
    for item, (name, array) in zip(given, inputs.items(), strict=False):
        carrier, values = to_carrier(array)
        dims = (c_uint32 * values.ndim)(*values.shape)
        encoded = name.encode()
        item.name, item.name_bytes = encoded, len(encoded)
        item.data, item.bytes = values.ctypes.data, values.nbytes
        item.dims, item.rank = ctypes.cast(dims, POINTER(c_uint32)), values.ndim
        item.type = carrier.nn
        kept += [values, dims, encoded]
    return given, kept
