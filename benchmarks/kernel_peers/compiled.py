"""nnlet: the compiled component's core module under wasmtime, translated ahead of time.

The caller (caller.wat) and the handles (handles.wat) are WebAssembly too, so a call is what it
is inside a composed component, and Python is not part of it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime

from benchmarks.workloads import Array
from nnlet.carrier import numpy_dtype, to_carrier
from nnlet.compiler import compile_models
from nnlet.component import Flavour, build_component, unwrap
from nnlet.model import read_model
from nnlet.provider import VERSION
from nnlet.tensor import BY_NN

FOLDER = Path(__file__).parent
DROPPED = ("tensor", "error", "graph", "graph-execution-context")


# -- building -----------------------------------------------------------------------------------


def build(folder: Path, flavour: Flavour) -> dict[str, float]:
    """Compile the workload in `folder`; seconds and bytes by the keys of kernels.MEASURES."""
    start = time.perf_counter()
    module = compile_models([read_model("m", "1", folder / "model.onnx", {})])
    component = build_component(module.source, module.weights, flavour)
    built = time.perf_counter()
    machine_code = wasmtime.Module(wasmtime.Engine(), unwrap(component)).serialize()
    translated = time.perf_counter()
    (folder / f"{flavour}.cwasm").write_bytes(machine_code)
    (folder / f"{flavour}.wasm").write_bytes(component)
    return {
        "compile": built - start,
        "translate": translated - built,
        "weights": len(module.weights) / 1000,
        "code": (len(component) - len(module.weights)) / 1000,
    }


# -- running ------------------------------------------------------------------------------------


class Compiled:
    """One instance of a provider, as `nnlet.provider.Provider`, without Python in its calls."""

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._engine = wasmtime.Engine()
        wat = ((FOLDER / f"{name}.wat").read_text() for name in ("handles", "caller"))
        self._handles, self._caller = (wasmtime.Module(self._engine, text) for text in wat)

    def load(self, folder: Path, inputs: dict[str, Array]) -> None:
        path = str(folder / f"{self._flavour}.cwasm")
        self._inputs, self._ready = inputs, False
        self._store = wasmtime.Store(self._engine)
        self._provider = self._instantiate(wasmtime.Module.deserialize_file(self._engine, path))
        self._call("_initialize")
        graph = self._ok(self._nn("graph", "load-by-name", *self._put(b"m")))
        self._context = self._ok(self._nn("graph", "[method]graph.init-execution-context", graph))

    def call(self, times: int) -> None:
        self._loop(self._store, self._context, self._given, self._room, times)

    def answer(self) -> Sequence[Array]:
        if not self._ready:
            self._prepare()
        self.call(1)
        at, found = self._room, []
        for dtype, size in self._outputs:
            found.append(np.frombuffer(self._read(at, size), dtype))
            at += size
        return found

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("wasmtime", "ziglang")}

    def memory_bytes(self) -> int:
        """How large the instance's memory is now."""
        size: int = self._memory.data_len(self._store)
        return size

    def _instantiate(self, module: wasmtime.Module) -> Any:
        """The provider's exports, its imports met by handles.wat."""
        handles = wasmtime.Instance(self._store, self._handles, []).exports(self._store)
        found = {"[resource-drop]tensor": handles["drop-tensor"]}
        wanted = [found.get(str(i.name), handles["same"]) for i in module.imports]
        exports = wasmtime.Instance(self._store, module, wanted).exports(self._store)
        self._memory: Any = exports["memory"]
        drops: Any = handles["drops"]
        drops.set(self._store, 0, exports[f"wasi:nn/tensor{VERSION}#[dtor]tensor"])
        return exports

    def _prepare(self) -> None:
        """Input, caller, and room for outputs, whose sizes the first answer tells."""
        caller = self._link_caller()
        self._given = self._describe_input()
        method = "[method]graph-execution-context.compute"
        inputs = caller["inputs"](self._store, self._given)
        answer = self._nn("inference", method, self._context, inputs, 1)
        listed, count = self._ok(answer), self._u32(answer + 8)
        tensors = [self._u32(listed + 12 * n + 8) for n in range(count)]
        self._outputs = [self._output(tensor) for tensor in tensors]
        for tensor in tensors:
            self._nn("tensor", "[dtor]tensor", tensor)
        self._room = self._realloc(sum(size for _, size in self._outputs))
        self._loop = caller["call"]
        self._ready = True

    def _link_caller(self) -> Any:
        names = {
            "memory": "memory",
            "cabi_realloc": "cabi_realloc",
            "tensor": f"wasi:nn/tensor{VERSION}#[constructor]tensor",
            "compute": f"wasi:nn/inference{VERSION}#[method]graph-execution-context.compute",
            "data": f"wasi:nn/tensor{VERSION}#[method]tensor.data",
            "drop": f"wasi:nn/tensor{VERSION}#[dtor]tensor",
        }
        wanted = [self._provider[names[str(i.name)]] for i in self._caller.imports]
        return wasmtime.Instance(self._store, self._caller, wanted).exports(self._store)

    def _describe_input(self) -> int:
        """The address of what caller.wat calls $given."""
        ((name, array),) = self._inputs.items()
        carrier, values = to_carrier(array)
        dims = struct.pack(f"<{values.ndim}I", *values.shape)
        at, size = self._put(values.tobytes())
        given = *self._put(name.encode()), self._put(dims)[0], values.ndim, carrier.nn, at, size
        return self._put(struct.pack("<7I", *given))[0]

    def _output(self, tensor: int) -> tuple[np.dtype[Any], int]:
        """Type and bytes of an output."""
        datatype = BY_NN[self._nn("tensor", "[method]tensor.ty", tensor)]
        found = self._nn("tensor", "[method]tensor.data", tensor)
        return numpy_dtype(datatype), self._u32(found + 4)

    def _ok(self, at: int) -> int:
        """The first word of a result's ok value."""
        value = self._u32(at + 4)
        if self._u32(at) & 0xFF == 0:
            return value
        found = self._nn("errors", "[method]error.data", value)
        raise ValueError(self._read(self._u32(found), self._u32(found + 4)).decode())

    def _put(self, data: bytes) -> tuple[int, int]:
        """Data in memory of the provider's: where, and how many bytes."""
        at = self._realloc(len(data))
        self._memory.write(self._store, data, at)
        return at, len(data)

    def _realloc(self, size: int) -> int:
        return self._call("cabi_realloc", 0, 0, 1, size)

    def _read(self, at: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, at, at + size))

    def _u32(self, at: int) -> int:
        return int.from_bytes(self._read(at, 4), "little")

    def _nn(self, interface: str, name: str, *values: int) -> int:
        return self._call(f"wasi:nn/{interface}{VERSION}#{name}", *values)

    def _call(self, name: str, *values: int) -> int:
        return (self._provider[name](self._store, *values) or 0) & 0xFFFFFFFF


class Relaxed(Compiled):
    """With fused multiply-add, as wasmtime and new browsers have it."""

    def __init__(self) -> None:
        super().__init__("relaxed")


class Simd128(Compiled):
    """Without."""

    def __init__(self) -> None:
        super().__init__("simd128")
