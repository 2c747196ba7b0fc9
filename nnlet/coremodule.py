"""A core Wasm module as lists, read as far as linking needs it.

Specification: https://webassembly.github.io/spec/core/binary/modules.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from nnlet.wasm import (
    CUSTOM,
    DATA,
    FUNCTION_KIND,
    GLOBAL_KIND,
    IMPORT,
    MEMORY,
    MEMORY_KIND,
    MODULE,
    TABLE_KIND,
    Reader,
    sections,
)

# The other sections.
TYPE, FUNCTION, TABLE, GLOBAL, EXPORT, ELEMENT, CODE = 1, 3, 4, 6, 7, 9, 10

I32_CONST, GLOBAL_GET, I32_ADD, END = 0x41, 0x23, 0x6A, 0x0B
FUNCTION_TYPE = 0x60


class Import(NamedTuple):
    """What a module takes: from where, under which name, of which kind and form."""

    module: str
    name: str
    kind: int
    form: bytes


class Constant(NamedTuple):
    """A constant expression: the sum of a number and of globals."""

    number: int
    globals: tuple[int, ...] = ()


class Global(NamedTuple):
    """Its type with mutability, and its first value."""

    form: bytes
    value: Constant


class Elements(NamedTuple):
    """Functions to be put into a table from `start` on."""

    table: int
    start: Constant
    functions: list[int]


@dataclass
class CoreModule:
    """Its lists hold what is its own: what is imported is numbered before."""

    types: list[bytes] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)  # the type of each
    tables: list[bytes] = field(default_factory=list)
    memories: list[bytes] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)  # kind and index
    elements: list[Elements] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    data: bytes = b""  # the section as it is

    def imported(self, kind: int) -> list[Import]:
        """Its imports of one kind."""
        return [item for item in self.imports if item.kind == kind]


def read_module(binary: bytes) -> CoreModule:
    """Read `binary`. ValueError for what is not known here."""
    module = CoreModule()
    for number, body in sections(binary, MODULE):
        if number == DATA:
            module.data = body
        elif number in _READ:
            reader = Reader(body)
            for _ in range(reader.uleb()):
                _READ[number](reader, module)
        elif number != CUSTOM:
            raise ValueError(f"a core module with a section {number}")
    return module


def _read_type(reader: Reader, module: CoreModule) -> None:
    start = reader.at
    if reader.byte() != FUNCTION_TYPE:
        raise ValueError("a type that is not a function's")
    for _ in ("parameters", "results"):
        reader.take(reader.uleb())
    module.types.append(reader.data[start : reader.at])


def _read_import(reader: Reader, module: CoreModule) -> None:
    origin, name, kind = reader.name(), reader.name(), reader.byte()
    start = reader.at
    if kind == FUNCTION_KIND:
        reader.uleb()
    elif kind == GLOBAL_KIND:
        reader.take(2)
    elif kind in (TABLE_KIND, MEMORY_KIND):
        _read_limits(reader, kind)
    else:
        raise ValueError(f"an import of the unknown kind {kind}")
    module.imports.append(Import(origin, name, kind, reader.data[start : reader.at]))


def _read_limits(reader: Reader, kind: int) -> bytes:
    start = reader.at
    if kind == TABLE_KIND:
        reader.byte()  # the type of its elements
    if reader.byte() & 1:
        reader.uleb()
    reader.uleb()
    return reader.data[start : reader.at]


def _read_function(reader: Reader, module: CoreModule) -> None:
    module.functions.append(reader.uleb())


def _read_table(reader: Reader, module: CoreModule) -> None:
    module.tables.append(_read_limits(reader, TABLE_KIND))


def _read_memory(reader: Reader, module: CoreModule) -> None:
    module.memories.append(_read_limits(reader, MEMORY_KIND))


def _read_global(reader: Reader, module: CoreModule) -> None:
    module.globals.append(Global(reader.take(2), _read_constant(reader)))


def _read_constant(reader: Reader) -> Constant:
    number, terms = 0, []
    while (code := reader.byte()) != END:
        if code == I32_CONST:
            number += reader.sleb()
        elif code == GLOBAL_GET:
            terms.append(reader.uleb())
        elif code != I32_ADD:
            raise ValueError(f"a constant expression with instruction {code:#x}")
    return Constant(number, tuple(terms))


def _read_export(reader: Reader, module: CoreModule) -> None:
    name = reader.name()
    module.exports[name] = reader.byte(), reader.uleb()


def _read_elements(reader: Reader, module: CoreModule) -> None:
    form = reader.uleb()
    if form not in (0, 2):
        raise ValueError(f"elements of form {form}")
    table = reader.uleb() if form == 2 else 0
    start = _read_constant(reader)
    if form == 2:
        reader.byte()  # what they are: functions
    module.elements.append(Elements(table, start, [reader.uleb() for _ in range(reader.uleb())]))


def _read_body(reader: Reader, module: CoreModule) -> None:
    module.bodies.append(reader.take(reader.uleb()))


_READ = {
    TYPE: _read_type,
    IMPORT: _read_import,
    FUNCTION: _read_function,
    TABLE: _read_table,
    MEMORY: _read_memory,
    GLOBAL: _read_global,
    EXPORT: _read_export,
    ELEMENT: _read_elements,
    CODE: _read_body,
}
