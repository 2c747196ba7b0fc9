"""Shapes of the register tile of a matrix product, as Cranelift compiles them.

    python dev/gemm/tiles.py [relaxed|simd128] [seconds]

For each shape, a micro kernel is generated, compiled as nnlet compiles its kernels, checked
against NumPy and timed in turns with the others. The share is of the measured peak: multiply-adds
on registers alone. README.md has what came out.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wasmtime

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from nnlet import zig  # noqa: E402
from nnlet.component import FLAVOURS, TARGET  # noqa: E402

M, N, K = 48, 240, 256  # multiples of every tile; operands fit the L1 and L2 caches
CHAINS, REPEATS, PEAK_STEPS = 14, 4, 10000

PRELUDE = """
typedef float f32;
typedef __PTRDIFF_TYPE__ idx;
typedef f32 f32x4 __attribute__((vector_size(16), aligned(4)));
#define EXPORT(name) __attribute__((export_name(#name))) name
static f32 a_[1 << 16], b_[1 << 16], y_[1 << 16];
f32 *EXPORT(a)(void) { return a_; }
f32 *EXPORT(b)(void) { return b_; }
f32 *EXPORT(y)(void) { return y_; }
static inline f32x4 splat(f32 x) { return (f32x4){x, x, x, x}; }
static inline f32x4 load(const f32 *p) { return *(const f32x4 *)p; }
static inline void store(f32 *p, f32x4 v) { *(f32x4 *)p = v; }
#define LANE(v, i) __builtin_shufflevector(v, v, i, i, i, i)
static inline f32x4 madd(f32x4 a, f32x4 b, f32x4 c) {
#ifdef __wasm_relaxed_simd__
  return __builtin_wasm_relaxed_madd_f32x4(a, b, c);
#else
  return a * b + c;
#endif
}
"""


@dataclass(frozen=True)
class Tile:
    """`rows` of a times `vectors` of 4 columns of b, `steps` of k in a loop body.

    Elements of a are broadcast by a load of their own ("load") or by a shuffle of a vector of
    them ("shuffle"). `opaque` keeps clang from advancing a pointer for each load.
    """

    rows: int
    vectors: int
    steps: int
    broadcast: str
    opaque: bool = True

    @property
    def name(self) -> str:
        pointers = "" if self.opaque else "_pointers"
        return f"t{self.rows}x{4 * self.vectors}_{self.steps}_{self.broadcast}{pointers}"

    def c(self) -> str:
        """The micro kernel and a product of packed matrices around it."""
        r, v, s = self.rows, self.vectors, self.steps
        sums = "".join(f"  f32x4 c{i}_{j} = splat(0);\n" for i in range(r) for j in range(v))
        ends = "".join(
            f"  store(y + {i} * ldy + {4 * j}, c{i}_{j});\n" for i in range(r) for j in range(v)
        )
        opaque = '    __asm__("" : "+r"(a), "+r"(b));\n' if self.opaque else ""
        return (
            f"static inline void {self.name}(f32 *y, idx ldy, const f32 *a, const f32 *b) {{\n"
            f"{sums}  for (idx l = 0; l < {K}; l += {s}) {{\n{opaque}{self._body()}"
            f"    a += {s * r}; b += {4 * s * v};\n  }}\n{ends}}}\n"
            f"void EXPORT(product_{self.name})(void) {{\n"
            f"  for (idx j = 0; j < {N}; j += {4 * v})\n    for (idx i = 0; i < {M}; i += {r})\n"
            f"      {self.name}(y_ + i * {N} + j, {N}, a_ + i * {K}, b_ + j * {K});\n}}\n"
        )

    def _body(self) -> str:
        lines = []
        for u in range(self.steps):
            for j in range(self.vectors):
                lines.append(f"f32x4 b{u}_{j} = load(b + {4 * (u * self.vectors + j)});")
            if self.broadcast == "shuffle":
                for i in range(0, self.rows, 4):
                    lines.append(f"f32x4 a{u}_{i} = load(a + {u * self.rows + i});")
        for u in range(self.steps):
            for i in range(self.rows):
                lane = f"LANE(a{u}_{i // 4 * 4}, {i % 4})"
                value = lane if self.broadcast == "shuffle" else f"splat(a[{u * self.rows + i}])"
                lines.append(f"f32x4 s{u}_{i} = {value};")
                for j in range(self.vectors):
                    lines.append(f"c{i}_{j} = madd(s{u}_{i}, b{u}_{j}, c{i}_{j});")
        return "".join(f"    {line}\n" for line in lines)


TILES = [
    Tile(4, 3, 1, "load"),
    Tile(4, 3, 1, "load", opaque=False),
    Tile(4, 3, 1, "shuffle"),
    Tile(4, 3, 2, "shuffle"),
    Tile(3, 3, 1, "load"),
    Tile(6, 2, 1, "load"),
    Tile(4, 2, 1, "load"),
    Tile(4, 2, 1, "shuffle"),
    Tile(4, 2, 2, "shuffle"),
    Tile(2, 4, 1, "load"),
    Tile(8, 1, 1, "load"),
    Tile(8, 1, 1, "shuffle"),
    Tile(8, 1, 2, "shuffle"),
    Tile(8, 1, 4, "shuffle"),
    Tile(12, 1, 1, "shuffle"),
    Tile(12, 1, 2, "shuffle"),
]


def peak_c() -> str:
    """Independent chains of multiply-adds, and nothing else, in a long loop body."""
    starts = "".join(f"  f32x4 c{i} = splat({i});\n" for i in range(CHAINS))
    steps = "".join(f"    c{i} = madd(c{i}, x, z);\n" for i in range(CHAINS)) * REPEATS
    total = " + ".join(f"c{i}" for i in range(CHAINS))
    return (
        f"f32 EXPORT(peak)(void) {{\n  f32x4 x = splat(0.5f), z = splat(1);\n{starts}"
        f'  for (idx l = 0; l < {PEAK_STEPS}; l++) {{\n    __asm__("" : "+r"(l));\n{steps}  }}\n'
        f"  f32x4 sum = {total};\n  return sum[0];\n}}\n"
    )


class Module:
    """The compiled C in wasmtime."""

    def __init__(self, flavour: str) -> None:
        source = PRELUDE + peak_c() + "".join(tile.c() for tile in TILES)
        flags = (*TARGET, *FLAVOURS[flavour], *zig.optimize(2), "-mexec-model=reactor")
        wasm = zig.compile_c({"tiles.c": source.encode()}, flags, "tiles.wasm")
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        instance = wasmtime.Instance(self.store, wasmtime.Module(engine, wasm), [])
        self.exports = instance.exports(self.store)

    def function(self, name: str) -> Callable[[], object]:
        found = self.exports[name]
        return lambda: found(self.store)

    def array(self, name: str, count: int) -> np.ndarray:
        at = self.function(name)()
        base = ctypes.addressof(self.exports["memory"].data_ptr(self.store).contents)
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(base + at))


def check(module: Module, tile: Tile) -> None:
    """The product against NumPy's."""
    a, b, y = (
        module.array(name, size) for name, size in (("a", M * K), ("b", N * K), ("y", M * N))
    )
    module.function(f"product_{tile.name}")()
    left = a.reshape(M // tile.rows, K, tile.rows).transpose(0, 2, 1).reshape(M, K)
    width = 4 * tile.vectors
    right = b.reshape(N // width, K, width).transpose(1, 0, 2).reshape(K, N)
    np.testing.assert_allclose(y.reshape(M, N), left @ right, atol=1e-3)


def main() -> None:
    flavour = sys.argv[1] if len(sys.argv) > 1 else "relaxed"
    end = time.perf_counter() + float(sys.argv[2] if len(sys.argv) > 2 else 30)
    module = Module(flavour)
    rng = np.random.default_rng(0)
    for name, size in (("a", M * K), ("b", N * K)):
        module.array(name, size)[:] = rng.normal(size=size)
    for tile in TILES:
        check(module, tile)
    work = {tile.name: (module.function(f"product_{tile.name}"), 2 * M * N * K) for tile in TILES}
    work["peak"] = (module.function("peak"), 2 * 4 * CHAINS * REPEATS * PEAK_STEPS)
    least = dict.fromkeys(work, float("inf"))
    while time.perf_counter() < end:
        for name, (run, _) in work.items():
            start = time.perf_counter()
            run()
            least[name] = min(least[name], time.perf_counter() - start)
    speed = {name: flops / least[name] / 1e9 for name, (_, flops) in work.items()}
    print(f"peak {speed['peak']:.1f} GFLOP/s, {flavour}")
    for tile in TILES:
        share = 100 * speed[tile.name] / speed["peak"]
        print(f"{tile.name:24} {speed[tile.name]:6.1f} GFLOP/s {share:4.0f} %")


if __name__ == "__main__":
    main()
