"""nnlet.instructions: every index in code is found, and nothing else is taken for one."""

from __future__ import annotations

import pytest
import wasmtime

from nnlet.coremodule import read_module
from nnlet.instructions import (
    BLOCK_TYPE,
    FUNCTION,
    GLOBAL,
    GLOBAL_SET,
    TABLE,
    TYPE,
    references,
)

# Constants and offsets in here are, as bytes, instructions that have an index.
PLAIN = """
(i32.const 0x10) (drop) (i64.const 0x1010101010) (drop)
(f32.const 0x1.202020p+4) (drop) (f64.const 1.1) (drop)
(v128.const i8x16 16 17 35 36 16 17 35 36 16 17 35 36 16 17 35 36) (drop)
(i32.const 0) (i32.const 0) (i32.load offset=4132) (i32.store offset=16)
(i64.const 0) (i64.const 1) (i64.add) (i64.extend32_s) (drop)
(f64.const 1) (i32.trunc_sat_f64_u) (drop)
(i32.const 0) (v128.load offset=35) (i8x16.popcnt) (i32x4.extract_lane 3) (drop)
(i32.const 0) (v128.const i64x2 0 0) (v128.load8_lane offset=16 3) (drop)
(v128.const i64x2 0 0) (v128.const i64x2 0 0)
(i8x16.shuffle 16 17 16 17 16 17 16 17 0 1 2 3 4 5 6 7) (drop)
(v128.const i64x2 0 0) (v128.const i64x2 0 0) (f64x2.max) (f64x2.sqrt) (drop)
(v128.const i64x2 0 0) (v128.const i64x2 0 0) (i8x16.relaxed_swizzle) (drop)
(block (loop (br_if 0 (i32.const 0)) (br_table 0 1 0 (i32.const 16))))
(if (result i32) (i32.const 0) (then (i32.const 16)) (else (i32.const 35))) (drop)
(select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)) (drop)
(drop (memory.grow (memory.size)))
(memory.copy (i32.const 0) (i32.const 0) (i32.const 16))
(memory.fill (i32.const 0) (i32.const 16) (i32.const 16))
(local.set $x (local.tee $x (local.get $x)))
(ref.null func) (drop) (nop)
"""


def body(code: str) -> bytes:
    source = f"""
    (module
      (type $pair (func (param i32 i32) (result i32 i32)))
      (memory 1) (table 1 funcref) (table $second 1 funcref)
      (global $number (mut i32) (i32.const 0))
      (func $other (export "other"))
      (func (local $x i32) (local f64) {code}))
    """
    return read_module(bytes(wasmtime.wat2wasm(source))).bodies[-1]


def found(code: str) -> list[tuple[str, int]]:
    return [(kind, number) for kind, number, _, _ in references(body(code))]


def test_code_without_an_index_is_passed_over() -> None:
    assert found(PLAIN) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("(call $other)", [(FUNCTION, 0)]),
        ("(ref.func $other) (drop)", [(FUNCTION, 0)]),
        ("(global.set $number (global.get $number))", [(GLOBAL, 0), (GLOBAL_SET, 0)]),
        (
            "(call_indirect $second (type $pair) (i32.const 1) (i32.const 2) (i32.const 0))"
            "(drop) (drop)",
            [(TYPE, 0), (TABLE, 1)],
        ),
        (
            "(i32.const 1) (i32.const 2) (block (type $pair) (param i32 i32) (result i32 i32))"
            "(drop) (drop)",
            [(BLOCK_TYPE, 0)],
        ),
    ],
)
def test_an_index_is_found_amid_other_code(code: str, expected: list[tuple[str, int]]) -> None:
    assert found(PLAIN + code + PLAIN + code) == expected * 2


def test_the_bytes_of_an_index_are_stated() -> None:
    code = body("(global.set $number (i32.const 0)) (call $other)")
    changed, called = references(code)
    assert code[changed.start : changed.end] == b"\x24\x00"  # with its instruction
    assert code[called.start - 1 : called.end] == b"\x10\x00"  # behind it


@pytest.mark.parametrize(
    "code", ["(table.size $second) (drop)", "(table.get 0 (i32.const 0)) (drop)"]
)
def test_what_depends_on_a_whole_table_is_an_error(code: str) -> None:
    with pytest.raises(ValueError, match="unknown instruction"):
        found(code)
