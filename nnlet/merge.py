"""Core modules that share a memory -> one core module, with only the functions that can run.

A global that nobody sets is its value: the addresses of a dynamic library become constants. A
function that does nothing but call another through a known place of the table is that other one:
so are functions of a library called that is loaded later, or that another one may replace.

Specification: https://webassembly.github.io/spec/core/binary/; tool-conventions/DynamicLinking.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nnlet import instructions as to
from nnlet.coremodule import (
    CODE,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    I32_CONST,
    TABLE,
    TYPE,
    Constant,
    CoreModule,
)
from nnlet.instructions import Reference, references
from nnlet.wasm import (
    DATA,
    FUNCTION_KIND,
    GLOBAL_KIND,
    IMPORT,
    MEMORY,
    MEMORY_KIND,
    MODULE,
    TABLE_KIND,
    Reader,
    Section,
    join,
    sleb,
    text,
    uleb,
    vector,
)

CALL_INDIRECT, GLOBAL_GET, GLOBAL_SET, END = 0x11, 0x23, 0x24, 0x0B

# A body without locals of its own: parameters, a place, a call through a table.
_LEB = rb"[\x80-\xff]*[\x00-\x7f]"
_STUB = re.compile(rb"\x00((?:\x20%b)*)\x41(%b)\x11(%b)(%b)\x0b" % (_LEB, _LEB, _LEB, _LEB))
_ADD_CONSTANT = re.compile(rb"\x41(%b)\x6a" % _LEB)


class Own(NamedTuple):
    """What one of the modules defines: which module, of which kind, and which of these."""

    part: int
    kind: int
    number: int


class Host(NamedTuple):
    """A function that is imported in the end, too."""

    number: int


Thing = Own | Host


def own(thing: Thing) -> Own:
    """What has to be one of the modules', and no host's. ValueError if it is not."""
    if isinstance(thing, Host):
        raise ValueError("a module uses something of the host's that is no function")
    return thing


@dataclass
class Part:
    """A module, and what it gets for each of its imports."""

    module: CoreModule
    given: list[Thing]

    def __post_init__(self) -> None:
        pairs = list(zip(self.module.imports, self.given, strict=True))
        self._imported = {
            kind: [thing for item, thing in pairs if item.kind == kind] for kind in range(4)
        }

    def thing(self, number: int, kind: int, index: int) -> Thing:
        """What an index of this module means, if it is the part of this number."""
        imported = self._imported[kind]
        if index < len(imported):
            return imported[index]
        return Own(number, kind, index - len(imported))


class Merged(NamedTuple):
    """A module; what it imports as "" "0", "" "1" and so on; which functions are left in it.

    `starts` says where in its one table the table of a part begins.
    """

    binary: bytes
    hosts: list[Host]
    functions: list[Own]
    starts: dict[Own, int]


class Stub(NamedTuple):
    """A function that hands its arguments on: to what lies in a table at a place."""

    arguments: bytes
    place: int
    type: int
    table: Own


Places = dict[tuple[Thing, int], Thing]  # what lies in a table, and where


def merge(parts: Sequence[Part], exports: dict[str, Own], known: Places) -> Merged:
    """One module of all parts, that exports what is named.

    `known` is what tables of the parts hold beside what the parts themselves put there.
    """
    return _Merge(parts, exports, known).merged()


class _Merge:
    def __init__(self, parts: Sequence[Part], exports: dict[str, Own], known: Places) -> None:
        self.parts = parts
        self.exports = exports
        self.starts = self._starts()
        self.places = self._places()
        self.known = known | self.places
        self.references: dict[Own, list[Reference]] = {}
        self.set: set[Own] = set()
        self.hosts: set[Host] = set()
        self._follow()
        self.types: dict[bytes, int] = {}
        hosts, functions = sorted(self.hosts), sorted(self.references)
        things: list[Thing] = [*hosts, *functions]
        self.functions = {thing: number for number, thing in enumerate(things)}
        self.globals = {thing: i for i, thing in enumerate(sorted(self.set))}

    def _own(self, kind: int) -> list[Own]:
        lists = {TABLE_KIND: "tables", MEMORY_KIND: "memories"}
        return [
            Own(number, kind, index)
            for number, part in enumerate(self.parts)
            for index in range(len(getattr(part.module, lists[kind])))
        ]

    # What there is

    def _starts(self) -> dict[Own, int]:
        """Where each table begins in the one: the largest, which addresses point into, at 0.

        Engines that keep room for instances ready (wasmtime's pooling allocator) take modules
        with one table only.
        """
        starts, end = {}, 0
        for table in sorted(self._own(TABLE_KIND), key=self._size, reverse=True):
            starts[table] = end
            end += self._size(table)
        self.places_in_all = end
        return starts

    def _size(self, table: Own) -> int:
        reader = Reader(self.parts[table.part].module.tables[table.number])
        reader.take(2)  # of functions; whether it may grow, which nobody does: instructions.py
        return reader.uleb()

    def value(self, thing: Thing) -> int:
        """The first value of a global."""
        part, _, number = own(thing)
        return self.constant(part, self.parts[part].module.globals[number].value)

    def constant(self, part: int, constant: Constant) -> int:
        """What a constant expression of a part comes to."""
        things = (self.parts[part].thing(part, GLOBAL_KIND, i) for i in constant.globals)
        return (constant.number + sum(map(self.value, things))) % (1 << 32)

    def _places(self) -> Places:
        """What lies where in the tables, as the modules put it there."""
        return {
            (table, start + offset): self.parts[number].thing(number, FUNCTION_KIND, index)
            for number, table, start, functions in self._elements()
            for offset, index in enumerate(functions)
        }

    def _elements(self) -> Iterator[tuple[int, Thing, int, list[int]]]:
        for number, part in enumerate(self.parts):
            for table, start, functions in part.module.elements:
                thing = part.thing(number, TABLE_KIND, table)
                yield number, thing, self.constant(number, start), functions

    # What can run

    def _follow(self) -> None:
        """Find every function that can be called from outside or through a table."""
        left: list[Thing] = [
            thing for thing in self.exports.values() if thing.kind == FUNCTION_KIND
        ]
        left += self.places.values()
        while left:
            thing = self.direct(left.pop())
            if isinstance(thing, Host):
                self.hosts.add(thing)
            elif thing not in self.references:
                left += self._read(thing)

    def _read(self, function: Own) -> Iterator[Thing]:
        """Note what a function refers to; the functions among it."""
        part = self.parts[function.part]
        found = list(references(part.module.bodies[function.number]))
        self.references[function] = found
        for kind, index, _, _ in found:
            if kind == to.FUNCTION:
                yield part.thing(function.part, FUNCTION_KIND, index)
            elif kind == to.GLOBAL_SET:
                self.set.add(own(part.thing(function.part, GLOBAL_KIND, index)))

    def direct(self, thing: Thing) -> Thing:
        """The function itself, or the one that it does nothing but call."""
        while isinstance(thing, Own) and (target := self._called(thing)) is not None:
            thing = target
        return thing

    def _called(self, function: Own) -> Thing | None:
        stub = self._stub(function)
        target = self.known.get((stub.table, stub.place)) if stub else None
        same = isinstance(target, Own) and self.type(target) == self.type(function)
        return target if same else None

    def _stub(self, function: Own) -> Stub | None:
        part = self.parts[function.part]
        found = _STUB.fullmatch(part.module.bodies[function.number])
        if found is None:
            return None
        arguments, place, type_, number = (Reader(group) for group in found.groups())
        parameters = self.type(function)[1]  # behind the mark of a function's type
        if list(_locals(arguments)) != list(range(parameters)):
            return None
        table = own(part.thing(function.part, TABLE_KIND, number.uleb()))
        return Stub(found[1], place.sleb() % (1 << 32), type_.uleb(), table)

    def type(self, function: Own) -> bytes:
        """As the module writes it."""
        module = self.parts[function.part].module
        return module.types[module.functions[function.number]]

    # What is written

    def merged(self) -> Merged:
        """All of it."""
        hosts = [thing for thing in self.functions if isinstance(thing, Host)]
        owns = [thing for thing in self.functions if isinstance(thing, Own)]
        bodies = [self._body(function) for function in owns]
        (memory,) = self._own(MEMORY_KIND)
        (data,) = (part.module.data for part in self.parts if part.module.data)
        imports = vector(
            text("") + text(str(i)) + bytes([FUNCTION_KIND]) + uleb(self._host_type(host))
            for i, host in enumerate(hosts)
        )
        functions = vector(uleb(self._type_number(self.type(function))) for function in owns)
        elements = vector(self._segments())
        types = vector(self.types)  # last: the others add to them
        content = {
            TYPE: types,
            IMPORT: imports,
            FUNCTION: functions,
            TABLE: vector([_table(self.places_in_all)]),
            MEMORY: vector([self.parts[memory.part].module.memories[memory.number]]),
            GLOBAL: vector(map(self._global, self.globals)),
            EXPORT: vector(self._export(name, thing) for name, thing in self.exports.items()),
            ELEMENT: elements,
            CODE: vector(uleb(len(body)) + body for body in bodies),
            DATA: data,
        }
        binary = join(MODULE, (Section(*item) for item in content.items()))
        return Merged(binary, hosts, owns, self.starts)

    def _type_number(self, form: bytes) -> int:
        return self.types.setdefault(form, len(self.types))

    def _host_type(self, host: Host) -> int:
        for part in self.parts:
            for item, given in zip(part.module.imports, part.given, strict=True):
                if given == host:
                    return self._type_number(part.module.types[Reader(item.form).uleb()])
        raise AssertionError(host)

    def _global(self, thing: Own) -> bytes:
        form = self.parts[thing.part].module.globals[thing.number].form
        return form + _constant(self.value(thing)) + bytes([END])

    def _export(self, name: str, thing: Own) -> bytes:
        number = self.functions[self.direct(thing)] if thing.kind == FUNCTION_KIND else 0
        return text(name) + bytes([thing.kind]) + uleb(number)

    def _segments(self) -> Iterator[bytes]:
        for number, table, start, functions in self._elements():
            start = (start + self.starts[own(table)]) % (1 << 32)
            things = (self.parts[number].thing(number, FUNCTION_KIND, i) for i in functions)
            listed = vector(uleb(self.functions[self.direct(thing)]) for thing in things)
            place = _constant(start) + bytes([END])
            yield b"\x00" + place + listed

    def _body(self, function: Own) -> bytes:
        stub = self._stub(function)
        if stub is not None:
            return self._moved(function, stub)
        body = self.parts[function.part].module.bodies[function.number]
        out, done = [], 0
        for reference in self.references[function]:
            out.append(body[done : reference.start])
            code, done = self._replacement(function.part, body, reference)
            out.append(code)
        return b"".join([*out, body[done:]])

    def _moved(self, function: Own, stub: Stub) -> bytes:
        """The body of a stub, which looks where its table lies now."""
        place = _constant(stub.place + self.starts[stub.table])
        type_ = uleb(self._type_number(self.parts[function.part].module.types[stub.type]))
        call = bytes([CALL_INDIRECT]) + type_ + b"\x00"
        return b"\x00" + stub.arguments + place + call + bytes([END])

    def _replacement(self, number: int, body: bytes, reference: Reference) -> tuple[bytes, int]:
        """New bytes for a reference, and where the old ones end."""
        kind, index, _, end = reference
        part = self.parts[number]
        if kind in (to.TYPE, to.BLOCK_TYPE):
            new = self._type_number(part.module.types[index])
            return (uleb(new) if kind == to.TYPE else sleb(new)), end
        if kind == to.FUNCTION:
            thing = self.direct(part.thing(number, FUNCTION_KIND, index))
            return uleb(self.functions[thing]), end
        if kind == to.TABLE:
            if self.starts[own(part.thing(number, TABLE_KIND, index))]:
                raise ValueError("a call through a table that is not the first, to no fixed place")
            return uleb(0), end
        thing = own(part.thing(number, GLOBAL_KIND, index))
        if thing in self.globals:
            code = GLOBAL_GET if kind == to.GLOBAL else GLOBAL_SET
            return bytes([code]) + uleb(self.globals[thing]), end
        value = self.value(thing)
        if added := _ADD_CONSTANT.match(body, end):
            return _constant(value + Reader(added[1]).sleb()), added.end()
        return _constant(value), end


def _locals(reader: Reader) -> Iterator[int]:
    """Which ones are read by these instructions: they do nothing else."""
    while reader.more():
        reader.byte()
        yield reader.uleb()


def _constant(value: int) -> bytes:
    """The instruction for a number of 32 bits."""
    value %= 1 << 32
    return bytes([I32_CONST]) + sleb(value - (value >> 31 << 32))


def _table(size: int) -> bytes:
    """The type of a table of functions that does not grow."""
    return b"\x70\x01" + uleb(size) + uleb(size)
