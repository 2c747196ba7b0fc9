"""A small reader and writer of Wasm binaries: LEB128, sections, imports, data segments.

Specification: https://webassembly.github.io/spec/core/binary/ and, for components, which share
the outer form, component-model/design/mvp/Binary.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

MODULE = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"

# Section numbers of a core module.
CUSTOM, IMPORT, MEMORY, EXPORT, DATA, DATA_COUNT = 0, 2, 5, 7, 11, 12

# Kinds of imports and exports.
FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND = range(4)

# Runs of zeros at least this long are left out of data segments; memory is zero already.
MIN_GAP = 1024
# Engines accept at most 100,000 segments in a module.
MAX_SEGMENTS = 10_000


class Section(NamedTuple):
    """One section: its number and its content without the length."""

    number: int
    body: bytes


def uleb(value: int) -> bytes:
    """`value` as unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sleb(value: int) -> bytes:
    """`value` as signed LEB128."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


class Reader:
    """Reads a section's content from front to back. ValueError where it ends too early."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise ValueError(f"Wasm binary ends within something of {count} bytes at {self.at}")
        part = self.data[self.at : end]
        self.at = end
        return part

    def uleb(self) -> int:
        """The next unsigned LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise ValueError(f"number too long at {self.at}")

    def sleb(self) -> int:
        """The next signed LEB128."""
        start = self.at
        value = self.uleb()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) else value

    def name(self) -> str:
        """The next length and that many bytes of UTF-8."""
        return self.take(self.uleb()).decode()


def sections(binary: bytes, kind: bytes) -> Iterator[Section]:
    """The sections of a MODULE or COMPONENT, in order. ValueError for anything else."""
    if binary[:8] != kind:
        raise ValueError(f"not a Wasm {'module' if kind == MODULE else 'component'}")
    reader = Reader(binary, 8)
    while reader.more():
        number = reader.byte()
        yield Section(number, reader.take(reader.uleb()))


def join(kind: bytes, parts: Iterable[Section]) -> bytes:
    """A MODULE or COMPONENT of these sections."""
    out = [kind]
    for number, body in parts:
        out += [bytes([number]), uleb(len(body)), body]
    return b"".join(out)


def vector(items: Iterable[bytes]) -> bytes:
    """A count and the items."""
    listed = list(items)
    return uleb(len(listed)) + b"".join(listed)


def text(value: str) -> bytes:
    """A length and UTF-8."""
    encoded = value.encode()
    return uleb(len(encoded)) + encoded


def imports(module: bytes) -> list[tuple[str, str]]:
    """Module and name of what a core module imports, up to the first that is no function."""
    found = []
    for section in sections(module, MODULE):
        if section.number != IMPORT:
            continue
        reader = Reader(section.body)
        for _ in range(reader.uleb()):
            found.append((reader.name(), reader.name()))
            if reader.byte() != 0:
                return found
            reader.uleb()  # its type
    return found


def imported_functions(section: bytes) -> int:
    """How many functions an import section holds. They are numbered before all others."""
    reader = Reader(section)
    count = 0
    for _ in range(reader.uleb()):
        reader.name(), reader.name()
        kind = reader.byte()
        count += kind == FUNCTION_KIND
        _skip_import(reader, kind)
    return count


def _skip_import(reader: Reader, kind: int) -> None:
    if kind == FUNCTION_KIND:
        reader.uleb()  # type
    elif kind == GLOBAL_KIND:
        reader.take(2)  # value type, mutability
    elif kind in (TABLE_KIND, MEMORY_KIND):
        if kind == TABLE_KIND:
            reader.byte()  # the type of its elements
        if reader.byte() & 1:
            reader.uleb()
        reader.uleb()
    else:
        raise ValueError(f"an import of the unknown kind {kind}")


def renamed(module: bytes, names: Mapping[str, str]) -> bytes:
    """A core module with other names for what it imports (functions only) and exports.

    Names that are not in `names` stay. ValueError where it imports anything else.
    """
    parts = []
    for number, body in sections(module, MODULE):
        reader, items = Reader(body), []
        if number == IMPORT:
            for _ in range(reader.uleb()):
                pair = reader.name(), reader.name()
                if reader.byte() != FUNCTION_KIND:
                    raise ValueError(f"{pair} is no function")
                items.append(
                    b"".join(text(names.get(n, n)) for n in pair) + b"\0" + uleb(reader.uleb())
                )
        elif number == EXPORT:
            for _ in range(reader.uleb()):
                name, kind = reader.name(), reader.take(1)
                items.append(text(names.get(name, name)) + kind + uleb(reader.uleb()))
        parts.append(Section(number, vector(items) if items else body))
    return join(MODULE, parts)


def memory_pages(module: bytes) -> int:
    """The initial size of a core module's own memory, in pages of 64 KiB; 0 without one."""
    for section in sections(module, MODULE):
        if section.number == MEMORY:
            reader = Reader(section.body)
            reader.uleb()  # how many
            reader.byte()  # whether there is a maximum
            return reader.uleb()
    return 0


def add_data(module: bytes, address: int, blob: bytes) -> bytes:
    """`module` with `blob` in its initial memory at `address`.

    The new segments come last, so instructions that name old ones by number still do.
    """
    segments = [segment(address + start, part) for start, part in _used_parts(blob)]
    if not segments:
        return module
    grown, done = [], False
    for number, body in sections(module, MODULE):
        if number in (DATA, DATA_COUNT):
            reader = Reader(body)
            count = uleb(reader.uleb() + len(segments))
            done = done or number == DATA
            rest = [body[reader.at :], *segments] if number == DATA else []
            body = b"".join([count, *rest])
        grown.append(Section(number, body))
    if not done:
        raise ValueError("the module has no data section to add to")
    return join(MODULE, grown)


def segment(address: int, data: bytes) -> bytes:
    """An active segment of memory 0: flag 0, i32.const ADDRESS, end, bytes."""
    signed = address - (1 << 32) if address >= 1 << 31 else address
    return b"\x00\x41" + sleb(signed) + b"\x0b" + uleb(len(data)) + data


def _used_parts(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """Offsets and bytes of what is not a long run of zeros, in steps of one gap."""
    gap = max(MIN_GAP, -(-len(blob) // MAX_SEGMENTS))
    padded = np.frombuffer(blob + bytes(-len(blob) % gap), np.uint8).reshape(-1, gap)
    used = padded.any(axis=1)
    edges = np.flatnonzero(np.diff(used, prepend=False, append=False)) * gap
    for start, end in edges.reshape(-1, 2).tolist():
        yield start, blob[start : min(end, len(blob))]
