"""What a component imports and exports: interfaces, read from its binary.

An interface is a dict from the name of each of its types and functions to a text such as
`enum {cpu, gpu, tpu}` or `func(name: string) -> result<own<graph>, own<error>>`. A type that
has a name is written by that name, so equal texts mean that two components fit.

Specification: component-model/design/mvp/Binary.md (version 0x0d).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nnlet.wasm import COMPONENT, Reader, sections

Type: TypeAlias = "str | Interface"  # an instance's type is its interface
Interface: TypeAlias = dict[str, Type]

# Section numbers of a component.
CUSTOM, CORE_MODULE, INNER, INSTANCE, ALIAS, TYPE, IMPORT, EXPORT = 0, 1, 4, 5, 6, 7, 10, 11

# Sorts: what an index can be of.
CORE_SORT, FUNC, VALUE, TYPE_SORT, COMPONENT_SORT, INSTANCE_SORT = range(6)

RESOURCE = "resource"
UNREAD = "?"  # of a function whose type is not written where it is exported

_PRIMITIVES = dict(
    zip(
        range(0x7F, 0x72, -1),
        "bool s8 u8 s16 u16 s32 u32 s64 u64 f32 f64 char string".split(),
        strict=True,
    )
)


class Interfaces:
    """The interfaces at one component's border, by name."""

    def __init__(self, component: bytes) -> None:
        scope = _Scope(None)
        scope.read_component(component)
        self.imports = scope.imports
        self.exports = scope.exports


def read_external_name(reader: Reader) -> str:
    """The name of an import or export."""
    form = reader.byte()
    name = reader.name()
    if form == 2:
        reader.name()  # the rest of a version that `name` leaves out
    return name


class _Scope:
    """The index spaces of one component or one instance type while it is read."""

    def __init__(self, outer: _Scope | None) -> None:
        self.outer = outer
        self.types: list[Type] = []
        self.instances: list[Interface] = []
        self.components: list[bytes] = []
        self.imports: Interface = {}
        self.exports: Interface = {}

    # Sections of a component

    def read_component(self, component: bytes) -> None:
        readers: dict[int, Callable[[Reader], None]] = {
            INSTANCE: self._instance,
            ALIAS: self._alias,
            TYPE: self._define,
            IMPORT: self._import,
            EXPORT: self._export,
        }
        for section in sections(component, COMPONENT):
            if section.number == INNER:
                self.components.append(section.body)
            elif section.number in readers:
                reader = Reader(section.body)
                for _ in range(reader.uleb()):
                    readers[section.number](reader)

    def _import(self, reader: Reader) -> None:
        name = read_external_name(reader)
        self.imports[name] = self._described(reader)

    def _export(self, reader: Reader) -> None:
        name = read_external_name(reader)
        sort, index = self._sort(reader), reader.uleb()
        found = self._lookup(sort, index)
        if reader.byte():  # a type is written as well: it tells more than the index
            found = self._described(reader, name)
        elif sort == INSTANCE_SORT:
            self.instances.append(self.instances[index])
        elif sort == TYPE_SORT:
            self.types.append(name)
        self.exports[name] = found

    def _instance(self, reader: Reader) -> None:
        if reader.byte() == 0:  # an instance of a component
            inner = _Scope(self)
            inner.read_component(self.components[reader.uleb()])
            self.instances.append(inner.exports)
            for _ in range(reader.uleb()):
                reader.name(), self._sort(reader), reader.uleb()
            return
        interface: Interface = {}
        for _ in range(reader.uleb()):
            name = read_external_name(reader)
            interface[name] = self._lookup(self._sort(reader), reader.uleb())
        self.instances.append(interface)

    def _lookup(self, sort: int, index: int) -> Type:
        if sort == INSTANCE_SORT:
            return self.instances[index]
        return self.types[index] if sort == TYPE_SORT else UNREAD

    # What components and instance types have in common

    def _sort(self, reader: Reader) -> int:
        sort = reader.byte()
        if sort == CORE_SORT:
            reader.byte()
        return sort

    def _alias(self, reader: Reader) -> None:
        sort, target = self._sort(reader), reader.byte()
        if target == 2:
            depth, index = reader.uleb(), reader.uleb()
            found = self._around(depth)._lookup(sort, index)
        else:
            instance, name = reader.uleb(), reader.name()
            # What is exported by a core instance is of a core sort, which nothing here needs.
            found = self.instances[instance][name] if target == 0 else UNREAD
        if sort == TYPE_SORT:
            self.types.append(found)
        elif sort == INSTANCE_SORT:
            self.instances.append(_interface(found))

    def _around(self, depth: int) -> _Scope:
        if depth == 0:
            return self
        if self.outer is None:
            raise ValueError("an alias reaches beyond the component")
        return self.outer._around(depth - 1)

    def _described(self, reader: Reader, name: str | None = None) -> Type:
        """What an import or export is; it takes the next index of its sort.

        A type that is exported as `name` is written so by what refers to it afterwards.
        """
        sort = self._sort(reader)
        if sort == TYPE_SORT:
            found = RESOURCE if reader.byte() else self.types[reader.uleb()]
            self.types.append(name or found)
            return found
        found = self.types[reader.uleb()]
        if sort == INSTANCE_SORT:
            self.instances.append(_interface(found))
        return found

    # Types

    def _define(self, reader: Reader) -> None:
        self.types.append(self._type(reader))

    def _type(self, reader: Reader) -> Type:
        code = reader.byte()
        if code in _PRIMITIVES:
            return _PRIMITIVES[code]
        if code not in _TYPES:
            raise ValueError(f"component type 0x{code:02x} at {reader.at} is not known here")
        return _TYPES[code](self, reader)

    def _value(self, reader: Reader) -> str:
        """A value type: a primitive, which is a negative number, or a type's index."""
        value = reader.sleb()
        return _PRIMITIVES[value & 0x7F] if value < 0 else _text(self.types[value])

    def _handle(self, reader: Reader) -> str:
        return _text(self.types[reader.uleb()])

    def _maybe(self, reader: Reader) -> str:
        return self._value(reader) if reader.byte() else "_"

    def _fields(self, reader: Reader, value: Callable[[Reader], str]) -> str:
        return ", ".join(f"{reader.name()}: {value(reader)}" for _ in range(reader.uleb()))

    def _variant(self, reader: Reader) -> str:
        cases = []
        for _ in range(reader.uleb()):
            cases.append(f"{reader.name()}: {self._maybe(reader)}")
            reader.byte()  # always 0
        return f"variant {{{', '.join(cases)}}}"

    def _names(self, reader: Reader) -> str:
        return "{" + ", ".join(reader.name() for _ in range(reader.uleb())) + "}"

    def _function(self, reader: Reader) -> str:
        parameters = self._fields(reader, self._value)
        if reader.byte() == 0:
            return f"func({parameters}) -> {self._value(reader)}"
        reader.byte()  # no result, a count of 0
        return f"func({parameters})"

    def _resource(self, reader: Reader) -> str:
        reader.byte()  # its representation, i32
        if reader.byte():
            reader.uleb()  # its destructor
        return RESOURCE

    def _declarations(self, reader: Reader) -> Interface:
        """An instance type, or a component type, of which only exports are kept."""
        scope = _Scope(self)
        for _ in range(reader.uleb()):
            kind = reader.byte()
            if kind == 1:
                scope._define(reader)
            elif kind == 2:
                scope._alias(reader)
            elif kind in (3, 4):
                name = read_external_name(reader)
                found = scope._described(reader, name)
                if kind == 4:
                    scope.exports[name] = found
            else:
                raise ValueError(f"declaration {kind} at {reader.at} is not known here")
        return scope.exports


def _text(found: Type) -> str:
    if isinstance(found, str):
        return found
    raise ValueError("a value has the type of an instance")


def _interface(found: Type) -> Interface:
    if isinstance(found, str):
        raise ValueError(f"an instance has the type {found!r}")
    return found


_TYPES: dict[int, Callable[[_Scope, Reader], Type]] = {
    0x72: lambda s, r: f"record {{{s._fields(r, s._value)}}}",
    0x71: _Scope._variant,
    0x70: lambda s, r: f"list<{s._value(r)}>",
    0x6F: lambda s, r: f"tuple<{', '.join(s._value(r) for _ in range(r.uleb()))}>",
    0x6E: lambda s, r: f"flags {s._names(r)}",
    0x6D: lambda s, r: f"enum {s._names(r)}",
    0x6B: lambda s, r: f"option<{s._value(r)}>",
    0x6A: lambda s, r: f"result<{s._maybe(r)}, {s._maybe(r)}>",
    0x69: lambda s, r: f"own<{s._handle(r)}>",
    0x68: lambda s, r: f"borrow<{s._handle(r)}>",
    0x66: lambda s, r: f"stream<{s._maybe(r)}>",
    0x65: lambda s, r: f"future<{s._maybe(r)}>",
    0x43: lambda s, r: f"async {s._function(r)}",
    0x42: _Scope._declarations,
    0x41: _Scope._declarations,
    0x40: _Scope._function,
    0x3F: _Scope._resource,
}
