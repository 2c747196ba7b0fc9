"""Mends a leak in the components that componentize-py makes.

componentize-py 0.25.1 hands bytes to an import in a copy that it never frees: the tensor of
every inference, the body of every answer. An instance that is reused grows by the size of
each, until its memory is full and it dies.

The copy is made by `wit_dylib_pop_list` (runtime/src/lib.rs, `maybe_pop_list`), which the
adapter calls for each list and which leaves the copy's address behind, or null if it made
none. The same module exports `wit_dylib_dealloc_bytes`, which can free memory at the end of a
call: copies of all other lists end that way. So the one is wrapped to call the other.
"""

from __future__ import annotations

from nnlet.errors import BuildError
from nnlet.wasm import (
    COMPONENT,
    FUNCTION_KIND,
    MODULE,
    Reader,
    Section,
    imported_functions,
    join,
    sections,
    text,
    uleb,
    vector,
)

POP_LIST = "wit_dylib_pop_list"  # (call, type, where the address goes) -> length
DEALLOC = "wit_dylib_dealloc_bytes"  # (call, address, size, alignment, whether to wait)

# Section numbers.
CORE_MODULE = 1  # of a component
TYPE, IMPORT, FUNCTION, EXPORT, CODE = 1, 2, 3, 7, 10  # of a core module

I32 = 0x7F


def mend(component: bytes) -> bytes:
    """The component without the leak. BuildError if it is not made as we know it."""
    found = 0
    parts = []
    for section in sections(component, COMPONENT):
        if section.number == CORE_MODULE and text(POP_LIST) in section.body:
            mended = _mend_module(section.body)
            found += mended is not None
            section = Section(CORE_MODULE, mended or section.body)
        parts.append(section)
    if found != 1:
        raise BuildError(
            f"{found} modules of the component export {POP_LIST}, expected one: is this another "
            "version of componentize-py than the one that is pinned? (see nnlet/mend.py)"
        )
    return join(COMPONENT, parts)


def _mend_module(module: bytes) -> bytes | None:
    """The module with POP_LIST wrapped, None if it does not export that."""
    parts = {section.number: section.body for section in sections(module, MODULE)}
    exports = _exports(parts.get(EXPORT, b"\0"))
    if POP_LIST not in exports or DEALLOC not in exports:
        return None
    pop_list, dealloc = exports[POP_LIST], exports[DEALLOC]
    try:
        imported = imported_functions(parts.get(IMPORT, b"\0"))
    except ValueError as exc:
        raise BuildError(f"a module has {exc}: see nnlet/mend.py") from exc
    defined = _items(parts[FUNCTION])
    if min(pop_list, dealloc) < imported:
        return None  # handed on, not made here
    kind = defined[pop_list - imported]
    parts[FUNCTION] = vector([*defined, kind])
    parts[CODE] = _append(parts[CODE], _wrapper(pop_list, dealloc))
    parts[EXPORT] = _redirect(parts[EXPORT], POP_LIST, imported + len(defined))
    return join(
        MODULE,
        [
            Section(number, body if number == 0 else parts[number])
            for number, body in sections(module, MODULE)
        ],
    )


def _wrapper(pop_list: int, dealloc: int) -> bytes:
    """The new function. Its parameters are POP_LIST's: call 0, type 1, address' place 2."""
    call, place, length = b"\x20\x00", b"\x20\x02", b"\x20\x03"  # local.get
    load = b"\x28\x02\x00"  # i32.load
    one = b"\x41\x01"  # i32.const: the alignment of bytes; and yes, wait
    code = b"".join(
        [
            vector([b"\x01" + bytes([I32])]),  # one local, the length: 3
            *(call, b"\x20\x01", place, b"\x10", uleb(pop_list), b"\x21\x03"),
            *(place, load, b"\x04\x40"),  # if there is a copy
            *(call, place, load, length, one, one, b"\x10", uleb(dealloc)),
            *(b"\x0b", length, b"\x0b"),
        ]
    )
    return uleb(len(code)) + code


def _append(section: bytes, item: bytes) -> bytes:
    reader = Reader(section)
    count = reader.uleb()
    return uleb(count + 1) + section[reader.at :] + item


def _items(section: bytes) -> list[bytes]:
    """A vector of numbers, each as it was encoded."""
    reader = Reader(section)
    return [uleb(reader.uleb()) for _ in range(reader.uleb())]


def _exports(section: bytes) -> dict[str, int]:
    """Index by name, of the functions."""
    reader = Reader(section)
    found = {}
    for _ in range(reader.uleb()):
        name, kind, index = reader.name(), reader.byte(), reader.uleb()
        if kind == FUNCTION_KIND:
            found[name] = index
    return found


def _redirect(section: bytes, target: str, index: int) -> bytes:
    reader = Reader(section)
    items = []
    for _ in range(reader.uleb()):
        name, kind, old = reader.name(), reader.byte(), reader.uleb()
        items.append(text(name) + bytes([kind]) + uleb(index if name == target else old))
    return vector(items)
