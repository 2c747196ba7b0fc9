"""A compiled provider in this process, run by wasmtime, called with NumPy arrays.

For tests and `nnlet verify`. It calls the core module inside the component as a component
host would (the canonical ABI, by hand), since wasmtime for Python passes a list<u8> through a
component one element at a time. What the component adds is checked in test_component.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter

import numpy as np
import wasmtime

from nnlet import component
from nnlet.carrier import ERROR_CODES, Array, from_carriers, to_carrier
from nnlet.errors import InferenceError
from nnlet.tensor import DataType

VERSION = "@0.2.0-rc-2024-10-28"


class Provider:
    """One instance of a provider. `memory_limit`, in bytes, is what a host would set."""

    def __init__(self, provider: bytes, *, memory_limit: int = -1) -> None:
        engine = wasmtime.Engine()
        module = wasmtime.Module(engine, component.unwrap(provider))
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=memory_limit)
        linker = wasmtime.Linker(engine)
        for wanted in module.imports:
            assert isinstance(wanted.type, wasmtime.FuncType) and wanted.name is not None
            answer = self._intrinsic(wanted.module, wanted.name)
            linker.define_func(wanted.module, wanted.name, wanted.type, answer)
        self._exports = linker.instantiate(self._store, module).exports(self._store)
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory
        self._contexts: dict[str, int] = {}
        self._call("_initialize")

    def run(
        self,
        name: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[DataType] = (),
    ) -> list[Array]:
        """The outputs in graph order, in the datatypes `outputs`, else in their carriers'.

        Raises InferenceError as the provider answers it, wasmtime.Trap if it traps.
        """
        found = self._compute(self._context(f"{name}@{version}" if version else name), inputs)
        return from_carriers(found, outputs)

    def time(self, name: str, version: str, inputs: Mapping[str, Array], seconds: float) -> float:
        """Median seconds of `compute`, from inputs that are there to outputs not yet taken.

        What Python adds to any call is measured with one that does nothing, and taken off.
        """
        context = self._context(f"{name}@{version}" if version else name)
        computing: list[float] = []
        nothing: list[float] = []
        end = perf_counter() + seconds
        while perf_counter() < end or len(computing) < 5:
            listed, count = self._given(inputs)
            began = perf_counter()
            answer = self._compute_call(context, listed, count)
            computing.append(perf_counter() - began)
            tensors = self._answered(answer)
            began = perf_counter()
            self._nn("tensor", "[method]tensor.ty", tensors[0])
            nothing.append(perf_counter() - began)
            for tensor in tensors:
                self._nn("tensor", "[dtor]tensor", tensor)
        return median(computing) - median(nothing)

    def memory_bytes(self) -> int:
        """How large the instance's memory is now."""
        return self._memory.data_len(self._store)

    def _context(self, graph: str) -> int:
        """The execution context of a graph, made on its first use."""
        if graph not in self._contexts:
            loaded = self._result(self._nn("graph", "load-by-name", *self._put(graph.encode())))
            init = "[method]graph.init-execution-context"
            self._contexts[graph] = self._result(self._nn("graph", init, loaded))
        return self._contexts[graph]

    def _compute(
        self, context: int, inputs: Mapping[str, Array]
    ) -> list[tuple[int, tuple[int, ...], bytes]]:
        """wasi-nn type, dims and data of every output."""
        answer = self._compute_call(context, *self._given(inputs))
        return [self._take(handle) for handle in self._answered(answer)]

    def _given(self, inputs: Mapping[str, Array]) -> tuple[int, int]:
        """The list of named tensors that `compute` takes: its address and its length."""
        named = [
            struct.pack("<3I", *self._put(name.encode()), self._tensor(array))
            for name, array in inputs.items()
        ]
        return self._put(b"".join(named))[0], len(named)

    def _compute_call(self, context: int, listed: int, count: int) -> int:
        method = "[method]graph-execution-context.compute"
        return self._nn("inference", method, context, listed, count)

    def _answered(self, answer: int) -> list[int]:
        """The handles of an answer's tensors. Raises its error."""
        items = self._list(self._result(answer), self._u32(answer + 8) * 12)
        return [handle for _, _, handle in struct.iter_unpack("<3I", items)]

    def _tensor(self, array: Array) -> int:
        carrier, values = to_carrier(array)
        dims, _ = self._put(struct.pack(f"<{values.ndim}I", *values.shape))
        data = self._put(values)
        return self._nn("tensor", "[constructor]tensor", dims, values.ndim, carrier.nn, *data)

    def _take(self, tensor: int) -> tuple[int, tuple[int, ...], bytes]:
        """A copy of an output, which is dropped."""
        datatype = self._nn("tensor", "[method]tensor.ty", tensor)
        at = self._nn("tensor", "[method]tensor.dimensions", tensor)
        rank = self._u32(at + 4)
        dims = struct.unpack(f"<{rank}I", self._list(self._u32(at), rank * 4))
        at = self._nn("tensor", "[method]tensor.data", tensor)
        data = self._list(self._u32(at), self._u32(at + 4))
        self._nn("tensor", "[dtor]tensor", tensor)
        return datatype, dims, data

    def _result(self, at: int) -> int:
        """The first word of a result's ok value; raises its error."""
        value = self._u32(at + 4)
        if self._u32(at) & 0xFF == 0:
            return value
        code = self._nn("errors", "[method]error.code", value)
        at = self._nn("errors", "[method]error.data", value)
        text = self._list(self._u32(at), self._u32(at + 4)).decode()
        self._nn("errors", "[dtor]error", value)
        raise InferenceError(ERROR_CODES[code], text)

    # The parts of a component host: handles, memory, calls

    def _intrinsic(self, module: str, name: str) -> Callable[[int], int | None]:
        """`[resource-new]` and the like; a handle is the resource's address itself."""
        what, resource = name.removeprefix("[resource-").split("]")
        dtor = f"{module.removeprefix('[export]')}#[dtor]{resource}"

        def drop(handle: int) -> None:
            self._call(dtor, handle)

        return drop if what == "drop" else lambda value: value

    def _put(self, data: bytes | Array) -> tuple[int, int]:
        """Data in memory of the provider's: where, and how many bytes."""
        values = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        at = self._call("cabi_realloc", 0, 0, 1, values.nbytes)
        self._bytes()[at : at + values.nbytes] = values.reshape(-1).view(np.uint8)
        return at, values.nbytes

    def _list(self, at: int, size: int) -> bytes:
        return self._bytes()[at : at + size].tobytes()

    def _u32(self, at: int) -> int:
        return int.from_bytes(self._list(at, 4), "little")

    def _bytes(self) -> Array:
        """All of its memory, as it is until the next call."""
        return np.frombuffer(self._memory.get_buffer_ptr(self._store), np.uint8)

    def _nn(self, interface: str, name: str, *values: int) -> int:
        return self._call(f"wasi:nn/{interface}{VERSION}#{name}", *values)

    def _call(self, name: str, *values: int) -> int:
        """An export that takes and gives addresses and numbers of 32 bits."""
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        signed = (value - (1 << 32) if value >= 1 << 31 else value for value in values)
        return (function(self._store, *signed) or 0) & 0xFFFFFFFF
