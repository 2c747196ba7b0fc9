"""nnlet.link, on a component of the form that wit-component writes, run before and after."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import component as model

from nnlet.errors import BuildError
from nnlet.link import CORE_MODULE, link
from nnlet.wasm import COMPONENT, Section, join, sections

# A library at its own place in memory and table; a function of the host that needs the memory,
# called through a table of shims; a function of the library that another one calls through it.
SOURCE = """
(component
  (import "host" (instance $host
    (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
    (export "length" (func (param "text" string) (result u32)))))
  (alias export $host "add" (func $add))
  (alias export $host "length" (func $length))
  (core module $main
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 8 funcref)
    (global (export "__stack_pointer") (mut i32) (i32.const 1024))
    (global (export "lib:memory_base") i32 (i32.const 4096))
    (global (export "lib:table_base") i32 (i32.const 3))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512))
    (func (export "unused") (result i32) (i32.const 12345678))
    (data (i32.const 4096) "four"))
  (core module $lib
    (type $binary (func (param i32 i32) (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "__indirect_function_table" (table 2 funcref))
    (import "env" "__memory_base" (global $memory_base i32))
    (import "env" "__table_base" (global $table_base i32))
    (import "env" "__stack_pointer" (global $stack (mut i32)))
    (import "env" "late" (func $late (param i32) (result i32)))
    (import "host" "add" (func $add (type $binary)))
    (import "host" "length" (func $length (type $binary)))
    (func $times (type $binary) (i32.mul (local.get 0) (local.get 1)))
    (func $minus (type $binary) (i32.sub (local.get 0) (local.get 1)))
    (func (export "double") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
    (func (export "run") (param i32) (result i32)
      (local $text i32)
      (global.set $stack (i32.sub (global.get $stack) (i32.const 16)))
      (local.set $text (i32.add (global.get $memory_base) (i32.const 0)))
      (call $add
        (call_indirect (type $binary) (local.get 0) (i32.const 100)
          (i32.add (global.get $table_base) (i32.and (local.get 0) (i32.const 1))))
        (i32.add
          (call $length (local.get $text) (i32.const 4))
          (call $late (global.get $stack)))))
    (elem (offset (global.get $table_base)) func $times $minus))
  (core module $shims
    (type $binary (func (param i32 i32) (result i32)))
    (type $unary (func (param i32) (result i32)))
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (type $binary)
      (call_indirect (type $binary) (local.get 0) (local.get 1) (i32.const 0)))
    (func (export "1") (type $unary)
      (call_indirect (type $unary) (local.get 0) (i32.const 1))))
  (core module $fill
    (import "" "$imports" (table 2 2 funcref))
    (import "" "0" (func $length (param i32 i32) (result i32)))
    (import "" "1" (func $late (param i32) (result i32)))
    (elem (i32.const 0) func $length $late))

  (core instance $shims (instantiate $shims))
  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "realloc" (core func $realloc))
  (core func $add (canon lower (func $add)))
  (core instance $env
    (export "memory" (memory $memory))
    (export "__indirect_function_table" (table $main "__indirect_function_table"))
    (export "__memory_base" (global $main "lib:memory_base"))
    (export "__table_base" (global $main "lib:table_base"))
    (export "__stack_pointer" (global $main "__stack_pointer"))
    (export "late" (func $shims "1")))
  (core instance $given
    (export "add" (func $add))
    (export "length" (func $shims "0")))
  (core instance $lib (instantiate $lib
    (with "env" (instance $env)) (with "host" (instance $given))))
  (alias core export $shims "$imports" (core table $imports))
  (core func $length (canon lower (func $length) (memory $memory) (realloc $realloc)))
  (core instance $filling
    (export "$imports" (table $imports))
    (export "0" (func $length))
    (export "1" (func $lib "double")))
  (core instance (instantiate $fill (with "" (instance $filling))))
  (func (export "run") (param "x" u32) (result u32) (canon lift (core func $lib "run"))))
"""


@pytest.fixture(scope="module")
def made() -> bytes:
    return bytes(wasmtime.wat2wasm(SOURCE))


def answers(component: bytes) -> tuple[list[int], list[str]]:
    """What `run` answers in turn, and which texts the host was asked about."""
    texts: list[str] = []

    def length(store: object, text: str) -> int:
        texts.append(text)
        return len(text)

    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    with model.Linker(engine) as linker:
        with linker.root() as root, root.add_instance("host") as host:
            host.add_func("add", lambda store, a, b: a + b)
            host.add_func("length", length)
        instance = linker.instantiate(store, model.Component(engine, component))
    run = instance.get_func(store, "run")
    assert run is not None
    found = []
    for x in (7, 8):
        found.append(run(store, x))
        run.post_return(store)
    return found, texts


def core_modules(component: bytes) -> list[bytes]:
    return [part.body for part in sections(component, COMPONENT) if part.number == CORE_MODULE]


def test_a_linked_component_answers_as_before(made: bytes) -> None:
    expected = ([7 - 100 + 4 + 2 * 1008 & 0xFFFFFFFF, 800 + 4 + 2 * 992], ["four"] * 2)
    assert answers(made) == expected
    assert answers(link(made)) == expected


def test_all_code_is_in_one_module(made: bytes) -> None:
    code, filler = core_modules(link(made))
    assert len(code) < sum(map(len, core_modules(made)))
    assert len(filler) < 100


def test_code_that_nothing_reaches_is_dropped(made: bytes) -> None:
    unused = b"\x41\xce\xc2\xf1\x05"  # i32.const 12345678
    assert unused in made
    assert unused not in link(made)


def test_the_one_module_has_one_table(made: bytes) -> None:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, core_modules(link(made))[0])
    tables = [e for e in module.exports if isinstance(e.type, wasmtime.TableType)]
    assert [str(table.name) for table in tables] == ["$imports"]
    (table,) = tables
    assert isinstance(table.type, wasmtime.TableType)
    assert table.type.limits.min == 8 + 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("(elem (i32.const 0) func", "(func $f) (start $f) (elem (i32.const 0) func", "section 8"),
        ('"$imports"', '"$others"', "not enough values"),
        ("(global.set $stack", "(drop (table.size 0)) (global.set $stack", "instruction fc 10"),
    ],
)
def test_a_component_made_otherwise_is_refused(old: str, new: str, reason: str) -> None:
    assert old in SOURCE
    with pytest.raises(BuildError, match=f"cannot be linked.*{reason}"):
        link(bytes(wasmtime.wat2wasm(SOURCE.replace(old, new))))


def test_what_is_no_component_is_refused(made: bytes) -> None:
    for broken in (b"", made[: len(made) // 2], join(COMPONENT, [Section(CORE_MODULE, b"")])):
        with pytest.raises(BuildError, match="cannot be linked"):
            link(broken)
