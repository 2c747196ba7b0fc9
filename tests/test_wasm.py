"""nnlet.wasm: LEB128, sections, data segments."""

from __future__ import annotations

import random

import pytest
import wasmtime

from nnlet import wasm


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (624485, "e58e26"), (2**32 - 1, "ffffffff0f")],
)
def test_unsigned_numbers(value: int, encoded: str) -> None:
    assert wasm.uleb(value).hex() == encoded
    assert wasm.Reader(bytes.fromhex(encoded)).uleb() == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (63, "3f"), (64, "c000"), (-64, "40"), (-65, "bf7f"), (-123456, "c0bb78")],
)
def test_signed_numbers(value: int, encoded: str) -> None:
    assert wasm.sleb(value).hex() == encoded
    assert wasm.Reader(bytes.fromhex(encoded)).sleb() == value


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 20])
def test_a_number_that_does_not_end_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        wasm.Reader(data).uleb()


@pytest.mark.parametrize("data", [b"", b"\0asm", wasm.COMPONENT, wasm.MODULE + b"\x01\x05\x00"])
def test_what_is_no_module_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        list(wasm.sections(data, wasm.MODULE))


def module(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def test_sections_join_to_the_same_module() -> None:
    binary = module('(module (memory 1) (func (export "f")) (data (i32.const 8) "abc"))')
    assert wasm.join(wasm.MODULE, wasm.sections(binary, wasm.MODULE)) == binary


def test_imports_are_found() -> None:
    binary = module('(module (import "a" "f" (func)) (import "b" "m" (memory 1)))')
    assert wasm.imports(binary) == [("a", "f"), ("b", "m")]
    assert wasm.imports(module("(module)")) == []


def test_the_size_of_a_memory_is_found() -> None:
    assert wasm.memory_pages(module("(module (memory 300 400))")) == 300
    assert wasm.memory_pages(module("(module)")) == 0


def memory_of(binary: bytes) -> bytes:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, binary), [])
    memory = instance.exports(store)["memory"]
    assert isinstance(memory, wasmtime.Memory)
    return bytes(memory.read(store))


# Its second function names segments by number; so there is a data count section.
TWO_SEGMENTS = """(module
  (memory (export "memory") 4)
  (data (i32.const 5) "hello")
  (data "passive")
  (func (export "init")
    (memory.init 1 (i32.const 100) (i32.const 0) (i32.const 7)))
  (start 0))"""


def test_added_data_is_in_memory_beside_what_was_there() -> None:
    rng = random.Random(0)
    blob = rng.randbytes(3000) + bytes(50_000) + rng.randbytes(10) + bytes(5000) + b"\x01"
    memory = memory_of(wasm.add_data(module(TWO_SEGMENTS), 65536, blob))
    assert memory[5:10] == b"hello"
    assert memory[100:107] == b"passive"
    assert memory[65536 : 65536 + len(blob)] == blob
    assert not any(memory[65536 + len(blob) :])


def test_long_runs_of_zeros_take_no_space() -> None:
    binary = module(TWO_SEGMENTS)
    grown = wasm.add_data(binary, 65536, b"\x01" + bytes(150_000) + b"\x02")
    assert len(grown) < len(binary) + 2 * wasm.MIN_GAP + 30
    assert wasm.add_data(binary, 65536, bytes(150_000)) == binary
    assert wasm.add_data(binary, 65536, b"") == binary


def test_however_scattered_the_data_engines_accept_the_segments() -> None:
    blob = bytearray(64 << 20)
    blob[:: 2 * wasm.MIN_GAP] = b"\x01" * len(blob[:: 2 * wasm.MIN_GAP])
    binary = module('(module (memory (export "memory") 1025) (data (i32.const 5) "hello"))')
    grown = wasm.add_data(binary, 65536, bytes(blob))
    (data,) = (s.body for s in wasm.sections(grown, wasm.MODULE) if s.number == wasm.DATA)
    assert wasm.Reader(data).uleb() <= wasm.MAX_SEGMENTS + 1
    assert memory_of(grown)[65536:] == bytes(blob)


def test_addresses_above_two_gigabytes_can_be_written() -> None:
    binary = module('(module (memory (export "memory") 65535) (data (i32.const 5) "hello"))')
    wasmtime.Module(wasmtime.Engine(), wasm.add_data(binary, (1 << 32) - (1 << 17), b"end"))


def test_a_module_without_data_cannot_take_more() -> None:
    with pytest.raises(ValueError, match="no data section"):
        wasm.add_data(module("(module (memory 1))"), 0, b"\x01")


def test_imports_and_exports_get_other_names() -> None:
    given = module(
        '(module (import "a" "b" (func)) (func (export "long")) (memory (export "m") 1))'
    )
    found = wasm.renamed(given, {"long": "l", "a": "module"})
    assert wasm.imports(found) == [("module", "b")]
    engine = wasmtime.Engine()
    assert [e.name for e in wasmtime.Module(engine, found).exports] == ["l", "m"]
    assert wasm.renamed(found, {"l": "long", "module": "a"}) == given


def test_only_imports_of_functions_can_be_renamed() -> None:
    with pytest.raises(ValueError, match="is no function"):
        wasm.renamed(module('(module (import "a" "b" (memory 1)))'), {})
