"""Where a compiled model spends its time under wasmtime: total, and step by step.

    python dev/profile/profile.py model.onnx [--dims batch=1,seq=64] [--flavour simd128]

The generated C is compiled as it is for the total. For the steps, a call of the host's clock
stands before each: it costs about a microsecond, so trust steps that are longer.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import wasmtime

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from nnlet import component, runtime, wasm, zig  # noqa: E402
from nnlet.compiler import CModule, compile_protos  # noqa: E402
from nnlet.compiler.program import NUMPY  # noqa: E402
from nnlet.tensor import BY_ONNX  # noqa: E402

TICK = 'extern __attribute__((import_module("host"), import_name("tick"))) void tick(i32);\n'


class Timed:
    """A module in wasmtime with inputs set once."""

    def __init__(
        self,
        module: CModule,
        inputs: list[np.ndarray],
        flavour: str = "relaxed",
        ticks: bool = False,
    ) -> None:
        source = module.source
        self.notes: list[str] = []
        if ticks:
            source = source.replace('#include "prelude.h"\n', '#include "prelude.h"\n' + TICK, 1)
            head, body = source.split("static i32 run_m0(", 1)
            source = head + "static i32 run_m0(" + re.sub(r"(?m)^  // (.*)$", self._tick, body)
        self.core = _core(source, module.weights, flavour)
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        self.marks: list[tuple[int, float]] = []
        if ticks:
            kind = wasmtime.FuncType([wasmtime.ValType.i32()], [])
            linker.define_func(
                "host", "tick", kind, lambda n: self.marks.append((n, time.perf_counter()))
            )
        self.exports = linker.instantiate(self.store, wasmtime.Module(engine, self.core)).exports(
            self.store
        )
        self.call("_initialize")
        for n, x in enumerate(inputs):
            x = np.ascontiguousarray(x)
            dims = np.array(x.shape or [0], np.uint32)
            self.call("input", n, self.put(x), self.put(dims), x.nbytes)

    def _tick(self, match: re.Match[str]) -> str:
        self.notes.append(match[1])
        return f"  tick({len(self.notes) - 1});\n{match[0]}"

    def call(self, name: str, *args: int) -> int:
        return self.exports[name](self.store, *args)

    def put(self, array: np.ndarray) -> int:
        at = self.call("alloc", max(array.nbytes, 16))
        base = ctypes.addressof(self.exports["memory"].data_ptr(self.store).contents)
        ctypes.memmove(base + at, array.tobytes(), array.nbytes)
        return at

    def run(self) -> None:
        assert self.call("run", 0) == -1

    def best(self, seconds: float) -> float:
        """The shortest run: what others on this machine do only makes it longer."""
        end, least = time.perf_counter() + seconds, 1e9
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.run()
            least = min(least, time.perf_counter() - start)
        return least

    def steps(self, seconds: float) -> list[tuple[str, float]]:
        """Each step's shortest time."""
        least = [1e9] * len(self.notes)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.marks.clear()
            self.run()
            marks = [*self.marks, (-1, time.perf_counter())]
            for (n, start), (_, stop) in zip(marks, marks[1:], strict=False):
                least[n] = min(least[n], stop - start)
        return list(zip(self.notes, least, strict=True))


def _core(source: str, weights: bytes, flavour: str) -> bytes:
    caller = (Path(__file__).parent / "caller.c").read_bytes()
    files = {
        **runtime.sources("native.c"),
        **runtime.headers(),
        "caller.c": caller,
        "models.c": source.encode(),
    }
    del files["native.c"]
    base = component.WEIGHTS_BASE
    flags = (
        *component.TARGET,
        *component.FLAVOURS[flavour],
        *zig.optimize(2),
        f"-DNN_WEIGHTS_BASE={base}",
        "-mexec-model=reactor",
        f"-Wl,-z,stack-size={component.STACK_BYTES}",
        f"-Wl,--global-base={-(-(base + len(weights)) // 64) * 64}",
    )
    return wasm.add_data(zig.compile_c(files, flags, "core.wasm"), base, weights)


def random_inputs(proto: onnx.ModelProto, dims: dict[str, int]) -> list[np.ndarray]:
    """Inputs of the model's types; names of dimensions are looked up in `dims` (1 if not there)."""
    rng = np.random.default_rng(0)
    known = {t.name for t in proto.graph.initializer}
    arrays = []
    for port in (p for p in proto.graph.input if p.name not in known):
        tensor = port.type.tensor_type
        shape = [
            d.dim_value if d.HasField("dim_value") else dims.get(d.dim_param, 1)
            for d in tensor.shape.dim
        ]
        arrays.append((rng.normal(size=shape)).astype(NUMPY[BY_ONNX[tensor.elem_type].name]))
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--dims", default="")
    parser.add_argument("--flavour", default="relaxed")
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    dims = {k: int(v) for k, v in (pair.split("=") for pair in args.dims.split(",") if pair)}
    proto = onnx.load(args.model)
    report(proto, dims, args.flavour, args.seconds)


def report(
    proto: onnx.ModelProto, dims: dict[str, int], flavour: str = "relaxed", seconds: float = 3
) -> None:
    """Prints the total and the steps, longest first."""
    module, inputs = compile_protos([("m", "1", proto)]), random_inputs(proto, dims)
    total = Timed(module, inputs, flavour).best(seconds)
    print(f"total {total * 1e3:.3f} ms")
    found = Timed(module, inputs, flavour, ticks=True).steps(seconds)
    print(f"sum of the steps {sum(t for _, t in found) * 1e3:.3f} ms")
    for note, t in sorted(found, key=lambda step: -step[1])[:40]:
        print(f"{t * 1e6:9.1f} us {100 * t / total:5.1f} %  {note[:90]}")


if __name__ == "__main__":
    main()
