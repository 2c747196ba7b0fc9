"""nnlet.link, on a component of the form that wit-component writes, run before and after."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import wasmtime
from wasmtime import component as model

from nnlet.errors import BuildError
from nnlet.host import find_wasmtime
from nnlet.link import CANON, CORE_MODULE, link
from nnlet.wasm import COMPONENT, Section, join, sections, vector

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


# A function with a callback: what it waits for is a future of its own. `stream.read` needs the
# memory, `task.return` and all others need nothing.
ASYNC = """
(component
  (type $bytes (stream u8))
  (type $number (future u32))
  (core module $main
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 2 funcref)
    (data (i32.const 64) "some"))
  (core module $lib
    (import "env" "memory" (memory 1))
    (import "env" "__indirect_function_table" (table 2 funcref))
    (import "host" "return" (func $return (param i32)))
    (import "host" "get" (func $get (result i32)))
    (import "host" "set" (func $set (param i32)))
    (import "host" "set-new" (func $set_new (result i32)))
    (import "host" "set-drop" (func $set_drop (param i32)))
    (import "host" "join" (func $join (param i32 i32)))
    (import "host" "future-new" (func $future_new (result i64)))
    (import "host" "future-drop-readable" (func $drop_readable (param i32)))
    (import "host" "future-read" (func $read (param i32 i32) (result i32)))
    (import "host" "future-write" (func $write (param i32 i32) (result i32)))
    (global $readable (mut i32) (i32.const 0))
    (func (export "run") (param i32) (result i32)
      (local $ends i64) (local $set i32)
      (i32.store (i32.const 16) (local.get 0))
      (local.set $ends (call $future_new))
      (global.set $readable (i32.wrap_i64 (local.get $ends)))
      (drop (call $read (global.get $readable) (i32.const 32)))
      (drop (call $write
        (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))) (i32.const 16)))
      (local.set $set (call $set_new))
      (call $set (local.get $set))
      (call $join (global.get $readable) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    (func (export "callback") (param i32 i32 i32) (result i32)
      (call $join (global.get $readable) (i32.const 0))
      (call $drop_readable (global.get $readable))
      (call $set_drop (call $get))
      (call $return (i32.add (i32.load (i32.const 32)) (i32.const 1)))
      (i32.const 0)))
  (core module $shims
    (type $binary (func (param i32 i32) (result i32)))
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (type $binary)
      (call_indirect (type $binary) (local.get 0) (local.get 1) (i32.const 0)))
    (func (export "1") (type $binary)
      (call_indirect (type $binary) (local.get 0) (local.get 1) (i32.const 1))))
  (core module $fill
    (import "" "$imports" (table 2 2 funcref))
    (import "" "0" (func $read (param i32 i32) (result i32)))
    (import "" "1" (func $write (param i32 i32) (result i32)))
    (elem (i32.const 0) func $read $write))

  (core instance $shims (instantiate $shims))
  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $memory))
  (core func $return (canon task.return (result u32)))
  (core func $get (canon context.get i32 0))
  (core func $set (canon context.set i32 0))
  (core func $set_new (canon waitable-set.new))
  (core func $set_drop (canon waitable-set.drop))
  (core func $join (canon waitable.join))
  (core func $future_new (canon future.new $number))
  (core func $drop_readable (canon future.drop-readable $number))
  (core instance $env
    (export "memory" (memory $memory))
    (export "__indirect_function_table" (table $main "__indirect_function_table")))
  (core instance $given
    (export "return" (func $return))
    (export "get" (func $get))
    (export "set" (func $set))
    (export "set-new" (func $set_new))
    (export "set-drop" (func $set_drop))
    (export "join" (func $join))
    (export "future-new" (func $future_new))
    (export "future-drop-readable" (func $drop_readable))
    (export "future-read" (func $shims "0"))
    (export "future-write" (func $shims "1")))
  (core instance $lib (instantiate $lib
    (with "env" (instance $env)) (with "host" (instance $given))))
  (alias core export $shims "$imports" (core table $imports))
  (core func $read (canon future.read $number async (memory $memory)))
  (core func $write (canon future.write $number async (memory $memory)))
  (core instance $filling
    (export "$imports" (table $imports))
    (export "0" (func $read))
    (export "1" (func $write)))
  (core instance (instantiate $fill (with "" (instance $filling))))
  (func (export "run") async (param "x" u32) (result u32)
    (canon lift (core func $lib "run") async (callback (core func $lib "callback")))))
"""


def test_a_component_with_asynchronous_functions_answers_as_before(tmp_path: Path) -> None:
    made = bytes(wasmtime.wat2wasm(ASYNC))
    linked = link(made)
    assert len(core_modules(linked)) == 2 < len(core_modules(made))
    for name, component in (("made", made), ("linked", linked)):
        path = tmp_path / f"{name}.wasm"
        path.write_bytes(component)
        done = subprocess.run(
            [find_wasmtime().path, "run", "--invoke", "run(41)", path],
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("42\n", "")


@pytest.mark.parametrize(("definition", "thing"), [(b"\x26", "kind 38"), (b"\x01\0\0\1\x09", "9")])
def test_what_is_not_known_is_not_guessed(definition: bytes, thing: str) -> None:
    canon = Section(CANON, vector([definition]))
    with pytest.raises(BuildError, match=f"unknown .*{thing}"):
        link(join(COMPONENT, [canon]))
