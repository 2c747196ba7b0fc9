"""nnlet.mend, on a module that has what matters of componentize-py's runtime."""

from __future__ import annotations

import pytest
import wasmtime

from nnlet.errors import BuildError
from nnlet.mend import CORE_MODULE, DEALLOC, POP_LIST, mend
from nnlet.wasm import COMPONENT, MODULE, Section, join, sections

# Type 7 is a list of bytes: it gets a copy, at 640. Freed copies are written down.
RUNTIME = f"""
(module
  (import "env" "table" (table 1 10 funcref))
  (import "env" "other" (func $other (param i32)))
  (import "env" "memory" (memory 1))
  (import "env" "base" (global $base i32))
  (global $calls (export "calls") (mut i32) (i32.const 0))
  (global $freed (export "freed") (mut i32) (i32.const 0))
  (global $length (export "length") (mut i32) (i32.const 0))
  (global $rest (export "rest") (mut i32) (i32.const 0))
  (func $pop (export "{POP_LIST}") (param $call i32) (param $type i32) (param $place i32)
      (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (local.get $place)
      (if (result i32) (i32.eq (local.get $type) (i32.const 7))
        (then (i32.const 640)) (else (i32.const 0))))
    (i32.const 5))
  (func (export "{DEALLOC}")
      (param $call i32) (param $at i32) (param $size i32) (param $align i32) (param $wait i32)
    (global.set $freed (local.get $at))
    (global.set $length (local.get $size))
    (global.set $rest (i32.add (local.get $call)
      (i32.add (i32.mul (local.get $align) (i32.const 10)) (local.get $wait)))))
  (func (export "unchanged") (result i32) (i32.const 42)))
"""
OTHER = '(module (func (export "wit_dylib_pop_listless")))'


def component(*modules: str) -> bytes:
    parts = [Section(CORE_MODULE, bytes(wasmtime.wat2wasm(module))) for module in modules]
    return join(COMPONENT, parts)


def instantiate(module: bytes) -> tuple[wasmtime.Store, wasmtime.InstanceExports]:
    store = wasmtime.Store()
    i32 = wasmtime.ValType.i32()
    given = [
        wasmtime.Table(
            store, wasmtime.TableType(wasmtime.ValType.funcref(), wasmtime.Limits(1, 10)), None
        ),
        wasmtime.Func(store, wasmtime.FuncType([i32], []), lambda x: None),
        wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None))),
        wasmtime.Global(store, wasmtime.GlobalType(i32, False), wasmtime.Val.i32(0)),
    ]
    made = wasmtime.Instance(store, wasmtime.Module(store.engine, module), given)
    return store, made.exports(store)


@pytest.mark.parametrize(
    ("type", "freed"), [(7, {"freed": 640, "length": 5, "rest": 1000 + 11}), (8, {"freed": 0})]
)
def test_a_copy_is_freed_when_its_call_ends(type: int, freed: dict[str, int]) -> None:
    _, mended = (s.body for s in sections(mend(component(OTHER, RUNTIME)), COMPONENT))
    store, exports = instantiate(mended)
    assert exports[POP_LIST](store, 1000, type, 16) == 5
    assert exports["calls"].value(store) == 1
    assert {name: exports[name].value(store) for name in freed} == freed
    assert exports["unchanged"](store) == 42


def test_other_modules_are_left_alone() -> None:
    before = component(OTHER, RUNTIME)
    untouched, mended = sections(mend(before), COMPONENT)
    assert untouched == next(sections(before, COMPONENT))
    assert list(sections(mended.body, MODULE)) != []


@pytest.mark.parametrize(("modules", "found"), [([OTHER], 0), ([RUNTIME, RUNTIME], 2)])
def test_a_component_made_otherwise_is_refused(modules: list[str], found: int) -> None:
    with pytest.raises(BuildError, match=f"^{found} modules of the component export {POP_LIST}"):
        mend(component(*modules))
