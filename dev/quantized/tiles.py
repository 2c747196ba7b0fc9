"""Tiles of integer products, as Cranelift compiles them, beside that of floats.

    python dev/quantized/tiles.py [seconds]

Each is generated, compiled as nnlet compiles its kernels, checked against NumPy and timed in turns
with the others. README.md has what came out.
"""

from __future__ import annotations

import ctypes
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wasmtime

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from nnlet import zig  # noqa: E402
from nnlet.component import FLAVOURS, TARGET  # noqa: E402

K, TURNS = 576, 64  # products of an element; tiles computed in a call

PRELUDE = """
#define EXPORT(name) __attribute__((export_name(#name))) name
typedef int i32x4 __attribute__((vector_size(16), aligned(4)));
typedef float f32x4 __attribute__((vector_size(16), aligned(4)));
typedef short i16x8 __attribute__((vector_size(16), aligned(2)));
typedef signed char i8x8 __attribute__((vector_size(8), aligned(1)));
typedef signed char i8x16 __attribute__((vector_size(16), aligned(1)));
static char a_[1 << 16], b_[1 << 16], y_[1 << 10];
void *EXPORT(a)(void) { return a_; }
void *EXPORT(b)(void) { return b_; }
void *EXPORT(y)(void) { return y_; }
#define LANE(type, v, i) ((type)__builtin_shufflevector((i32x4)(v), (i32x4)(v), i, i, i, i))
#define WIDE(p) __builtin_convertvector(*(const i8x8 *)(p), i16x8)
"""


@dataclass(frozen=True)
class Kind:
    """An instruction: how many products of k it joins, and C text of its parts."""

    joined: int
    sums: str  # type of the sums
    rows: str  # a[4 rows, joined] at byte offset {} of a
    columns: str  # b[joined, 4 columns] at byte offset {} of b
    bytes: tuple[int, int]  # of rows and of columns
    step: str  # sum {0}, broadcast row {1}, columns {2}
    types: tuple[str, str, str]  # NumPy's, of a, b and y
    most: tuple[int, int]  # what elements of a and b stay below


KINDS = {
    "f32": Kind(
        1, "f32x4", "*(const f32x4 *)(a + {})", "*(const f32x4 *)(b + {})", (16, 16),
        "__builtin_wasm_relaxed_madd_f32x4({1}, {2}, {0})", ("f4", "f4", "f4"), (8, 8),
    ),
    "16 bits, weights of 16": Kind(
        2, "i32x4", "*(const i16x8 *)(a + {})", "*(const i16x8 *)(b + {})", (16, 16),
        "{0} + __builtin_wasm_dot_s_i32x4_i16x8({1}, {2})", ("i2", "i2", "i4"), (255, 255),
    ),
    "16 bits, weights of 8": Kind(
        2, "i32x4", "WIDE(a + {})", "*(const i16x8 *)(b + {})", (8, 16),
        "{0} + __builtin_wasm_dot_s_i32x4_i16x8({1}, {2})", ("i1", "i2", "i4"), (127, 255),
    ),
    "8 bits by 7": Kind(
        4, "i32x4", "*(const i8x16 *)(a + {})", "*(const i8x16 *)(b + {})", (16, 16),
        "__builtin_wasm_relaxed_dot_i8x16_i7x16_add_s_i32x4({1}, {2}, {0})",
        ("i1", "i1", "i4"), (127, 64),
    ),
}  # fmt: skip
VECTOR = {"f32": "f32x4", "8 bits by 7": "i8x16"}


@dataclass(frozen=True)
class Tile:
    """`rows` by 4 times `vectors` columns, `steps` of k in a loop body."""

    kind: str
    rows: int
    vectors: int
    steps: int

    @property
    def name(self) -> str:
        return f"t{list(KINDS).index(self.kind)}_{self.rows}x{4 * self.vectors}_{self.steps}"

    def c(self) -> str:
        kind, vector = KINDS[self.kind], VECTOR.get(self.kind, "i16x8")
        sums = [(i, j) for i in range(self.rows) for j in range(self.vectors)]
        lines = [f"{kind.sums} c{i}_{j} = {{0}};" for i, j in sums]
        lines += [f"for (int l = 0; l < {K // kind.joined}; l += {self.steps}) {{"]
        lines += ['__asm__("" : "+r"(a), "+r"(b));']
        a_step, b_step = kind.bytes[0] * (self.rows // 4), kind.bytes[1] * self.vectors
        for u in range(self.steps):
            for j in range(self.vectors):
                at = u * b_step + j * kind.bytes[1]
                lines.append(f"const {vector} b{u}_{j} = {kind.columns.format(at)};")
            for i in range(0, self.rows, 4):
                at = u * a_step + i // 4 * kind.bytes[0]
                lines.append(f"const {vector} a{u}_{i} = {kind.rows.format(at)};")
        for u in range(self.steps):
            for i, j in sums:
                row = f"LANE({vector}, a{u}_{i // 4 * 4}, {i % 4})"
                lines.append(f"c{i}_{j} = {kind.step.format(f'c{i}_{j}', row, f'b{u}_{j}')};")
        lines += [f"a += {self.steps * a_step}; b += {self.steps * b_step};", "}"]
        lines += [f"(({kind.sums} *)y_)[{i * self.vectors + j}] = c{i}_{j};" for i, j in sums]
        body = "\n".join(lines)
        return (
            f"void EXPORT({self.name})(void) {{\nfor (int turn = 0; turn < {TURNS}; turn++) {{\n"
            f"const char *a = a_, *b = b_;\n{body}\n"
            '__asm__ volatile("" ::: "memory");\n}\n}\n'
        )


TILES = [
    Tile("f32", 8, 1, 2),
    *(Tile("16 bits, weights of 16", r, v, s) for r, v, s in ((4, 2, 1), (4, 2, 2), (8, 1, 2))),
    *(Tile("16 bits, weights of 8", r, v, s) for r, v, s in ((4, 2, 1), (4, 2, 2), (4, 3, 1))),
    *(Tile("8 bits by 7", r, v, s) for r, v, s in ((4, 2, 1), (4, 3, 1))),
]


class Module:
    """The compiled C in wasmtime."""

    def __init__(self) -> None:
        source = PRELUDE + "".join(tile.c() for tile in TILES)
        flags = (*TARGET, *FLAVOURS["relaxed"], *zig.optimize(2), "-mexec-model=reactor")
        core = zig.compile_c({"tiles.c": source.encode()}, flags, "tiles.wasm")
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        instance = wasmtime.Instance(self.store, wasmtime.Module(engine, core), [])
        self.exports = instance.exports(self.store)

    def call(self, name: str) -> int:
        return self.exports[name](self.store)

    def array(self, name: str, dtype: str, count: int) -> np.ndarray:
        base = ctypes.addressof(self.exports["memory"].data_ptr(self.store).contents)
        size = count * np.dtype(dtype).itemsize
        view = (ctypes.c_char * size).from_address(base + self.call(name))
        return np.frombuffer(view, dtype)


def check(module: Module, tile: Tile) -> None:
    """The tile against NumPy's product."""
    kind, rng = KINDS[tile.kind], np.random.default_rng(0)
    n = 4 * tile.vectors
    a = rng.integers(-kind.most[0], kind.most[0], (K // kind.joined, tile.rows, kind.joined))
    b = rng.integers(0, kind.most[1], (K // kind.joined, n, kind.joined))
    for name, array, dtype in (("a", a, kind.types[0]), ("b", b, kind.types[1])):
        module.array(name, dtype, array.size)[:] = array.reshape(-1)
    module.call(tile.name)
    y = module.array("y", kind.types[2], tile.rows * n).reshape(tile.rows, n)
    np.testing.assert_array_equal(y, np.einsum("lij,lnj->in", a, b))


def main() -> None:
    end = time.perf_counter() + float(sys.argv[1] if len(sys.argv) > 1 else 20)
    module = Module()
    least = dict.fromkeys(TILES, float("inf"))
    while time.perf_counter() < end:
        for tile in TILES:
            if least[tile] == float("inf"):
                check(module, tile)
            start = time.perf_counter()
            module.call(tile.name)
            least[tile] = min(least[tile], time.perf_counter() - start)
    for tile in TILES:
        rate = tile.rows * 4 * tile.vectors * K * TURNS / least[tile] / 1e9
        shape = f"{tile.rows}x{4 * tile.vectors}, {tile.steps}"
        print(f"{tile.kind:24} {shape:9} {rate:6.1f} billion products a second")


if __name__ == "__main__":
    main()
