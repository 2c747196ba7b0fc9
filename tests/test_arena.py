"""arena.c: what nnlet.h promises of memory, as native code."""

from __future__ import annotations

import ctypes
import random
from pathlib import Path

import pytest

from nnlet import native, runtime, zig

HEAP = 1 << 20
HEADER = 32  # sizeof(block) on a machine of 64 bits


@pytest.fixture
def arena(tmp_path: Path) -> ctypes.CDLL:
    """A heap of its own for each test."""
    flags = [*native.FLAGS, *zig.optimize(0), f"-DNN_HEAP_BYTES={HEAP}", *native.SANITIZE]
    files = {**runtime.headers(), "arena.c": (runtime.FOLDER / "arena.c").read_bytes()}
    path = tmp_path / "arena.so"
    path.write_bytes(zig.compile_c(files, flags, "arena.so"))
    library = ctypes.CDLL(str(path))
    for name in ("nn_alloc", "nn_scratch"):
        getattr(library, name).argtypes = [ctypes.c_int64]
        getattr(library, name).restype = ctypes.c_void_p
    library.nn_free.argtypes = [ctypes.c_void_p]
    library.nn_free.restype = library.nn_scratch_reset.restype = None
    return library


ALL = HEAP - 2 * HEADER  # the one block of an empty heap, its header and the end's aside


def test_an_empty_heap_is_one_block(arena: ctypes.CDLL) -> None:
    assert arena.nn_alloc(ALL + 1) is None
    block = arena.nn_alloc(ALL)
    assert block % 16 == 0
    assert arena.nn_alloc(0) is None
    arena.nn_free(block)
    assert arena.nn_alloc(ALL) == block


@pytest.mark.parametrize("size", [-1, -(2**63), 2**63 - 1, 2**63 - 32, 2**48, HEAP])
def test_what_cannot_be_had_is_null(arena: ctypes.CDLL, size: int) -> None:
    assert arena.nn_alloc(size) is None
    assert arena.nn_scratch(size) is None
    assert arena.nn_alloc(ALL) is not None


def test_nothing_may_be_freed(arena: ctypes.CDLL) -> None:
    arena.nn_scratch_reset()
    arena.nn_free(None)
    assert arena.nn_alloc(ALL) is not None


def test_no_bytes_are_a_block_too(arena: ctypes.CDLL) -> None:
    first, second = arena.nn_alloc(0), arena.nn_alloc(0)
    assert first is not None
    assert first != second


def test_the_lowest_block_that_fits_is_taken(arena: ctypes.CDLL) -> None:
    blocks = [arena.nn_alloc(1000) for _ in range(10)]
    arena.nn_free(blocks[7])
    arena.nn_free(blocks[3])
    assert arena.nn_alloc(2000) > blocks[9]
    assert arena.nn_alloc(900) == blocks[3]
    assert arena.nn_alloc(1000) == blocks[7]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_freed_neighbours_become_one_block(arena: ctypes.CDLL, order: tuple[int, ...]) -> None:
    blocks = [arena.nn_alloc(160) for _ in range(3)]
    arena.nn_alloc(160)
    for index in order:
        arena.nn_free(blocks[index])
    assert arena.nn_alloc(3 * 160 + 2 * HEADER) == blocks[0]


def test_scratch_goes_at_once_and_the_rest_stays(arena: ctypes.CDLL) -> None:
    kept = [arena.nn_alloc(100) for _ in range(3) if arena.nn_scratch(5000)]
    freed = arena.nn_scratch(100)
    arena.nn_free(freed)
    for address in kept:
        ctypes.memset(address, 7, 100)
    arena.nn_scratch_reset()
    arena.nn_scratch_reset()
    assert [ctypes.string_at(address, 100) for address in kept] == [b"\x07" * 100] * 3
    for address in kept:
        arena.nn_free(address)
    assert arena.nn_alloc(ALL) is not None


@pytest.mark.parametrize("seed", range(5))
def test_blocks_keep_what_is_in_them_whatever_happens_around(arena: ctypes.CDLL, seed: int) -> None:
    rng = random.Random(seed)
    held: dict[int, tuple[int, int, bool]] = {}  # address: size, byte, scratch
    for step in range(4000):
        action = rng.random()
        if action < 0.55:
            size = rng.choice((0, 1, 15, 16, 17, rng.randrange(3000), rng.randrange(60_000)))
            scratch = rng.random() < 0.5
            address = (arena.nn_scratch if scratch else arena.nn_alloc)(size)
            if address is None:
                continue
            assert address % 16 == 0
            ctypes.memset(address, step % 256, size)
            held[address] = (size, step % 256, scratch)
        elif action < 0.995:
            if held:
                address = rng.choice(list(held))
                check(address, *held.pop(address)[:2])
                arena.nn_free(address)
        else:
            arena.nn_scratch_reset()
            held = {a: h for a, h in held.items() if not h[2]}
    for address, (size, byte, _) in held.items():
        check(address, size, byte)
        arena.nn_free(address)
    assert arena.nn_alloc(ALL) is not None


def check(address: int, size: int, byte: int) -> None:
    assert ctypes.string_at(address, size) == bytes([byte]) * size
