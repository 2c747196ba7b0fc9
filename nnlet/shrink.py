"""Makes a component of componentize-py's small, and its instances quick to start.

Most of such a component is the interpreter's memory as it was at the end of the build. Here

- what is free in that memory becomes zero, and zeros are not stored;
- living Python objects become immortal: an instance that only uses one then writes no count
  of references into it, so the memory page it lies in need not be copied;
- code that only ran before the snapshot, names of functions and notes of tools are dropped.

Layouts that are taken for granted: the heap of dlmalloc, which wasi-libc uses, and objects of
CPython 3.14 for 32-bit machines. Both are checked as they are read; where the heap is not as
expected, the rest of it stays as it is.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from nnlet.errors import BuildError
from nnlet.guest.snapshot import MARK
from nnlet.wasm import (
    COMPONENT,
    CUSTOM,
    DATA,
    DATA_COUNT,
    FUNCTION_KIND,
    GLOBAL_KIND,
    IMPORT,
    MODULE,
    Reader,
    Section,
    imported_functions,
    join,
    memory_pages,
    sections,
    segment,
    uleb,
    vector,
)

# Section numbers.
CORE_MODULE = 1  # of a component
GLOBAL, EXPORT, CODE = 6, 7, 10  # of a core module

PAGE = 1 << 16
I32_CONST, END = 0x41, 0x0B
FUNCTION_NAMES = 1  # of the subsections of a custom section "name"

# A segment costs about 7 bytes, and engines take 100,000 of them in a module.
MIN_GAP = 32

# Only the interpreter's start runs these; it is over. They are a tenth of all code.
DEAD = ("__wasm_apply_data_relocs", "_PyUnicode_InitStaticStrings")
UNREACHABLE = b"\x00\x00\x0b"  # no locals, unreachable, end

# dlmalloc: a chunk begins with the size of the chunk before it, if that one is free, and with
# its own size, whose lowest bits are flags. What malloc returns begins after these two.
HEADER = 8
PREVIOUS_USED, USED, FLAGS = 1, 2, 7
# A free chunk holds links behind its header: two, and three more numbers in a large one.
LINKS, LARGE_LINKS, LARGE = 8, 24, 256

# CPython: an object begins with its count of references and its type, after up to 16 bytes of
# the collector's and of its attributes'. A count from 2^30 on means immortal. Where a freed
# object waits to be used again, the address of the next one takes the place of the count.
BEFORE_OBJECT = (0, 8, 16)
IMMORTAL = 5 << 28
LOWEST_ADDRESS = 1 << 20

# CPython carries the modules that its own start imports as marshalled code, in two tables of
# name, code, length and a flag. They are imported, so that copy is of no more use.
FROZEN = (
    *("_frozen_importlib", "_frozen_importlib_external", "zipimport", "abc", "codecs", "io"),
    *("_collections_abc", "_sitebuiltins", "genericpath", "posixpath", "os", "site", "stat"),
)
FROZEN_ROW = struct.Struct("<4I")
MARSHALLED_CODE = b"c"


def shrink(component: bytes) -> bytes:
    """The same component, smaller and quicker. BuildError if it is not made as we know it."""
    try:
        return _shrunk(component)
    except (ValueError, LookupError, struct.error) as exc:
        raise _unknown(f"the component reads as none ({type(exc).__name__}: {exc})") from exc


def _shrunk(component: bytes) -> bytes:
    parts = []
    snapshots = 0
    for part in sections(component, COMPONENT):
        if part.number == CORE_MODULE:
            module = strip(part.body)
            if memory_pages(module):
                module = _shrink_snapshot(module)
                snapshots += 1
            part = Section(CORE_MODULE, module)
        if part.number != CUSTOM:
            parts.append(part)
    if snapshots != 1:
        raise _unknown(f"{snapshots} modules of the component have memory, expected one")
    return join(COMPONENT, parts)


def _unknown(what: str) -> BuildError:
    return BuildError(
        f"{what}: is this another version of componentize-py than the one that is pinned? "
        "(see nnlet/shrink.py)"
    )


# Code


def strip(module: bytes) -> bytes:
    """A core module without custom sections and without the code of DEAD."""
    parts = list(sections(module, MODULE))
    dead = _dead(parts)
    return join(
        MODULE,
        [
            Section(CODE, _without(dead, part.body)) if part.number == CODE else part
            for part in parts
            if part.number != CUSTOM
        ],
    )


def _dead(parts: Iterable[Section]) -> set[int]:
    """Which functions of its own a module is better off without, counted from its first."""
    imported = 0
    found = set()
    for number, body in parts:
        if number == IMPORT:
            imported = imported_functions(body)
        elif number == EXPORT:
            found |= {
                i for name, kind, i in exports(body) if kind == FUNCTION_KIND and name in DEAD
            }
        elif number == CUSTOM:
            found |= {i for i, name in _function_names(body) if name in DEAD}
    return {index - imported for index in found if index >= imported}


def exports(section: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, kind and index of each export."""
    reader = Reader(section)
    for _ in range(reader.uleb()):
        yield reader.name(), reader.byte(), reader.uleb()


def _function_names(section: bytes) -> Iterator[tuple[int, str]]:
    """Index and name of each function that a custom section names, if that is what it is for."""
    reader = Reader(section)
    if reader.name() != "name":
        return
    while reader.more():
        kind, content = reader.byte(), Reader(reader.take(reader.uleb()))
        if kind == FUNCTION_NAMES:
            for _ in range(content.uleb()):
                yield content.uleb(), content.name()


def _without(dead: set[int], section: bytes) -> bytes:
    """A code section in which the bodies of these functions are one instruction: trap."""
    reader = Reader(section)
    bodies = [reader.take(reader.uleb()) for _ in range(reader.uleb())]
    for index in dead:
        bodies[index] = UNREACHABLE
    return vector(uleb(len(body)) + body for body in bodies)


# Memory


def _shrink_snapshot(module: bytes) -> bytes:
    """The module that holds the interpreter's memory, with less in it."""
    parts = {part.number: part.body for part in sections(module, MODULE)}
    memory = read_memory(parts[DATA], memory_pages(module) * PAGE)
    pointers = _pointers(parts)
    heap = list(chunks(memory, pointers["__heap_base"]))
    immortalize(memory, heap)
    clear(memory, 0, pointers["__stack_pointer"])  # nothing runs: all of the stack is free
    clear_frozen(memory, pointers["__heap_base"])
    clear_free(memory, heap)
    segments = list(cut(bytes(memory)))
    parts[DATA] = vector(segments)
    if DATA_COUNT in parts:
        parts[DATA_COUNT] = uleb(len(segments))
    return join(
        MODULE, [Section(part.number, parts[part.number]) for part in sections(module, MODULE)]
    )


def read_memory(data: bytes, size: int) -> bytearray:
    """What memory of `size` bytes holds in the beginning, by its data section."""
    memory = bytearray(size)
    reader = Reader(data)
    for _ in range(reader.uleb()):
        if reader.take(2) != bytes([0, I32_CONST]):  # of memory 0, at a constant address
            raise _unknown("a data segment of the component is not put at a constant address")
        address = reader.sleb() % (1 << 32)
        if reader.byte() != END:
            raise _unknown("the address of a data segment of the component is computed")
        content = reader.take(reader.uleb())
        memory[address : address + len(content)] = content
    return memory


def _pointers(parts: dict[int, bytes]) -> dict[str, int]:
    """The exported globals of a module and their values."""
    reader = Reader(parts[GLOBAL])
    values = []
    for _ in range(reader.uleb()):
        reader.take(2)  # value type, mutability
        if reader.byte() != I32_CONST:
            raise _unknown("a global of the component's memory is no constant number")
        values.append(reader.sleb())
        reader.byte()  # END
    return {name: values[i] for name, kind, i in exports(parts[EXPORT]) if kind == GLOBAL_KIND}


class Chunk(NamedTuple):
    """A part of dlmalloc's heap: where it begins, its size with its header, whether it is used."""

    at: int
    size: int
    used: bool


def chunks(memory: bytearray, heap: int) -> Iterator[Chunk]:
    """The heap from its beginning, as far as it reads like one."""
    at = heap + HEADER
    while at + HEADER <= len(memory):
        head = _word(memory, at + 4)
        size, used = head & ~FLAGS, bool(head & USED)
        end = at + size
        if size < 2 * HEADER or end + HEADER > len(memory):
            return
        # The next chunk knows, too, whether this one is used.
        if bool(_word(memory, end + 4) & PREVIOUS_USED) != used:
            return
        yield Chunk(at, size, used)
        at = end


def immortalize(memory: bytearray, heap: list[Chunk]) -> int:
    """Make the objects immortal that the guest wrote down; how many. The list is cleared."""
    place, objects = _objects(memory, heap)
    starts = [chunk.at for chunk in heap]
    made = 0
    for address, kind in objects:
        index = bisect.bisect_right(starts, address) - 1
        if index < 0 or not _is_object(memory, heap[index], address, kind):
            continue  # static, which is immortal already; or gone since
        struct.pack_into("<I", memory, address, IMMORTAL)
        made += 1
    clear(memory, place, place + len(MARK) + 4 + 8 * len(objects))
    return made


def _objects(memory: bytearray, heap: list[Chunk]) -> tuple[int, list[tuple[int, int]]]:
    """Where the guest wrote down its living objects; each one's address and type."""
    for chunk in heap:
        # As the content of a bytes object: of this size, to tell it from the mark alone.
        place = memory.find(MARK, chunk.at, chunk.at + 64) if chunk.used else -1
        if place >= 0:
            (count,) = struct.unpack_from("<I", memory, place + len(MARK))
            if count and 8 * count < chunk.size < 8 * count + 128:
                numbers = struct.unpack_from(f"<{2 * count}I", memory, place + len(MARK) + 4)
                return place, list(zip(numbers[::2], numbers[1::2], strict=True))
    raise _unknown("the component's memory holds no list of objects, expected one")


def _is_object(memory: bytearray, chunk: Chunk, address: int, kind: int) -> bool:
    """Whether an object of this type is there and mortal."""
    return (
        chunk.used
        and address - chunk.at - HEADER in BEFORE_OBJECT
        and _word(memory, address + 4) == kind
        and 0 < _word(memory, address) < LOWEST_ADDRESS
    )


def clear_frozen(memory: bytearray, end: int) -> None:
    """Clear the code of FROZEN, which lies before `end` with all that is static."""
    static = bytes(memory[:end])
    for row in _frozen_rows(static):
        name, code, length = row
        if name in FROZEN:
            clear(memory, code, code + length)


def _frozen_rows(static: bytes) -> Iterator[tuple[str, int, int]]:
    """The rows of both tables: each is found by one name and read on to both sides."""
    for known in ("_frozen_importlib", "_collections_abc"):
        address = struct.pack("<I", static.find(f"\0{known}\0".encode()) + 1)
        place = static.find(address)
        while place >= 0 and _frozen_row(static, place) is None:
            place = static.find(address, place + 1)
        for step in (FROZEN_ROW.size, -FROZEN_ROW.size):
            at = place if step > 0 else place + step
            while place >= 0 and (row := _frozen_row(static, at)) is not None:
                yield row
                at += step


def _frozen_row(static: bytes, at: int) -> tuple[str, int, int] | None:
    """Name, and where the code lies and its length; None if `at` is no row."""
    if not 0 <= at <= len(static) - FROZEN_ROW.size:
        return None
    name, code, length, flag = FROZEN_ROW.unpack_from(static, at)
    text = static[name : static.find(b"\0", name)].decode("ascii", "replace")
    fits = name and text.replace(".", "_").isidentifier() and flag in (0, 1)
    if not fits or static[code : code + 1] != MARSHALLED_CODE or code + length > len(static):
        return None
    return text, code, length


def clear_free(memory: bytearray, heap: Iterable[Chunk]) -> None:
    """Make free chunks zero, but for their links."""
    for at, size, used in heap:
        if not used:
            links = LARGE_LINKS if size >= LARGE else LINKS
            clear(memory, at + HEADER + links, at + size)


def clear(memory: bytearray, start: int, end: int) -> None:
    """Make a part of memory zero."""
    memory[start:end] = bytes(max(0, end - start))


def cut(memory: bytes) -> Iterator[bytes]:
    """The data segments of memory, without long runs of zeros."""
    used = np.flatnonzero(np.frombuffer(memory, np.uint8))
    if len(used) == 0:
        return
    gaps = np.flatnonzero(np.diff(used) > MIN_GAP)
    starts = [int(used[0]), *(used[gaps + 1]).tolist()]
    ends = [*(used[gaps] + 1).tolist(), int(used[-1]) + 1]
    for start, end in zip(starts, ends, strict=True):
        yield segment(start, memory[start:end])


def _word(memory: bytearray, at: int) -> int:
    return int.from_bytes(memory[at : at + 4], "little")
