"""nnlet.shrink, on a component whose memory has a stack, static data and a heap like Python's."""

from __future__ import annotations

import struct

import pytest
import wasmtime

from nnlet.errors import BuildError
from nnlet.guest.snapshot import MARK
from nnlet.shrink import CORE_MODULE, DEAD, IMMORTAL, Chunk, chunks, shrink
from nnlet.wasm import COMPONENT, CUSTOM, MODULE, Section, join, sections, text

SIZE = 2 << 16
STACK, STATIC, HEAP = 1024, 2048, 8192  # where the stack ends, static data and heap begin
KIND, OTHER_KIND = 0x111110, 0x222220  # addresses of types


class Heap:
    """Chunks as dlmalloc lays them out, to be put at HEAP."""

    def __init__(self) -> None:
        self.memory = bytearray(SIZE)
        self.at = HEAP + 8
        self.used = True

    def add(self, payload: bytes, used: bool = True) -> int:
        """A chunk with this in it; where its payload begins."""
        size = (len(payload) + 8 + 7) // 8 * 8 + 8
        struct.pack_into("<I", self.memory, self.at + 4, size | self.used | used << 1)
        place = self.at + 8
        self.memory[place : place + len(payload)] = payload
        self.at += size
        self.used = used
        return place

    def end(self) -> bytes:
        """All of the memory, with the mark after the last chunk that dlmalloc leaves."""
        struct.pack_into("<I", self.memory, self.at + 4, 56 | self.used)
        return bytes(self.memory)


def thing(count: int = 1, kind: int = KIND) -> bytes:
    return struct.pack("<II", count, kind) + b"its value"


def listing(*objects: tuple[int, int]) -> bytes:
    """A bytes object with what the guest writes down."""
    numbers = [len(objects), *(number for pair in objects for number in pair)]
    content = MARK + struct.pack(f"<{len(numbers)}I", *numbers)
    return struct.pack("<IIII", 1, KIND, len(content), 0) + content + b"\0"


def module(memory: bytes, more: str = "") -> bytes:
    """A module with this memory in one segment, as componentize-py makes one."""
    content = "".join(f"\\{byte:02x}" for byte in memory)
    return bytes(
        wasmtime.wat2wasm(
            f"""(module $named
              (memory (export "memory") {SIZE >> 16})
              (global (export "__stack_pointer") (mut i32) (i32.const {STACK}))
              (global (export "__heap_base") (mut i32) (i32.const {HEAP}))
              (func $answer (export "answer") (result i32) (i32.const 42))
              {more}
              (data (i32.const 0) "{content}"))"""
        )
    )


def component(*modules: bytes) -> bytes:
    parts = [Section(CUSTOM, text("producers") + b"none")]
    return join(COMPONENT, [*parts, *(Section(CORE_MODULE, module) for module in modules)])


def only_module(component: bytes) -> bytes:
    (part,) = sections(component, COMPONENT)
    return part.body


def instantiate(module: bytes) -> tuple[wasmtime.Store, wasmtime.InstanceExports]:
    store = wasmtime.Store()
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, module), []).exports(store)


def initial_memory(module: bytes) -> bytes:
    store, exported = instantiate(module)
    memory = exported["memory"]
    assert isinstance(memory, wasmtime.Memory)
    return bytes(memory.read(store))


def shrunk(heap: Heap) -> bytes:
    """What an instance finds in its memory afterwards."""
    return initial_memory(only_module(shrink(component(module(heap.end())))))


def count_at(memory: bytes, place: int) -> int:
    (count,) = struct.unpack_from("<I", memory, place)
    return int(count)


def test_the_heap_is_read_chunk_by_chunk_up_to_what_is_none() -> None:
    heap = Heap()
    places = [heap.add(b"one"), heap.add(b"x" * 40, used=False), heap.add(b"two")]
    read = list(chunks(bytearray(heap.end()), HEAP))
    end = (heap.at + 8, False)  # what dlmalloc leaves behind the last one
    used = zip(places, (True, False, True), strict=True)
    assert [(chunk.at + 8, chunk.used) for chunk in read] == [*used, end]


def test_a_heap_that_is_none_is_left_alone() -> None:
    memory = bytearray(range(256)) * (SIZE // 256)
    assert list(chunks(memory, HEAP)) == []


def test_a_heap_is_read_until_two_chunks_contradict_each_other() -> None:
    heap = Heap()
    heap.add(b"one")
    heap.add(b"two")
    heap.used = False  # the next one will say that "two" is free
    heap.add(b"three")
    read = list(chunks(bytearray(heap.end()), HEAP))
    assert read == [Chunk(HEAP + 8, 24, True)]


def test_living_objects_become_immortal() -> None:
    heap = Heap()
    plain, tracked = heap.add(thing(3)), heap.add(bytes(8) + thing(1)) + 8
    attributed = heap.add(bytes(16) + thing(2)) + 16
    heap.add(listing((plain, KIND), (tracked, KIND), (attributed, KIND)))
    memory = shrunk(heap)
    for place in (plain, tracked, attributed):
        assert memory[place : place + 17] == thing(IMMORTAL)


def test_what_is_no_living_object_any_more_keeps_its_bytes() -> None:
    heap = Heap()
    replaced = heap.add(thing(1, OTHER_KIND))
    # Of objects to be used again: the address of the next one, or none, is in the count's place.
    waiting, last = heap.add(thing(0x300000)), heap.add(thing(0))
    within = heap.add(bytes(32) + thing(1)) + 32
    unlisted = heap.add(thing(1))
    freed = heap.add(thing(1), used=False)
    known = [(place, KIND) for place in (replaced, waiting, last, within, freed, STATIC, SIZE)]
    heap.add(listing(*known))
    memory = shrunk(heap)
    for place in (replaced, waiting, last, within, unlisted):
        assert memory[place : place + 17] == heap.memory[place : place + 17]
    assert count_at(memory, freed) == 1


def test_the_list_of_objects_is_cleared() -> None:
    heap = Heap()
    place = heap.add(thing())
    listed = heap.add(listing((place, KIND)))
    memory = shrunk(heap)
    assert MARK not in memory
    assert memory[listed : listed + 16] == heap.memory[listed : listed + 16]
    assert not any(memory[listed + 16 : listed + 16 + len(MARK) + 12])


@pytest.mark.parametrize(("size", "links"), [(24, 8), (100, 8), (600, 24)])
def test_free_memory_becomes_zero_but_for_its_links(size: int, links: int) -> None:
    heap = Heap()
    free = heap.add(b"x" * size, used=False)
    heap.add(b"y" * 40)
    used = heap.add(listing((0, 0)))
    memory = shrunk(heap)
    assert memory[free : free + size] == b"x" * links + bytes(size - links)
    assert memory[free + size + 16 : used] == heap.memory[free + size + 16 : used]


def test_the_stack_becomes_zero_and_static_data_stays() -> None:
    heap = Heap()
    heap.memory[0:STACK] = b"s" * STACK
    heap.memory[STACK:HEAP] = b"d" * (HEAP - STACK)
    heap.add(listing((0, 0)))
    memory = shrunk(heap)
    assert memory[:HEAP] == bytes(STACK) + b"d" * (HEAP - STACK)


def test_code_of_modules_that_python_imports_at_its_start_becomes_zero() -> None:
    heap = Heap()
    place, rows = STATIC, b""
    codes = {}
    for name in ("os", "_collections_abc", "runpy", "_frozen_importlib"):
        label, code = b"\0" + name.encode() + b"\0", b"c" + name.encode() * 20
        heap.memory[place : place + len(label) + len(code)] = label + code
        codes[name] = slice(place + len(label), place + len(label) + len(code))
        gap = bytes(16) if name == "_frozen_importlib" else b""  # its table is another
        rows += gap + struct.pack("<4I", place + 1, place + len(label), len(code), 0)
        place += len(label) + len(code)
    heap.memory[4096 : 4096 + len(rows)] = rows
    heap.add(listing((0, 0)))
    memory = shrunk(heap)
    kept = {name for name, where in codes.items() if any(memory[where])}
    assert kept == {"runpy"}
    assert memory[4096 : 4096 + len(rows)] == rows


def test_zeros_are_not_stored() -> None:
    heap = Heap()
    heap.add(listing((0, 0)))
    heap.add(bytes(50_000))
    place = heap.add(b"the end")
    before = component(module(heap.end()))
    after = shrink(before)
    assert len(after) < 1000 < 50_000 < len(before)
    assert initial_memory(only_module(after))[place : place + 8] == b"the end\0"


def test_custom_sections_are_dropped_everywhere() -> None:
    heap = Heap()
    heap.add(listing((0, 0)))
    other = bytes(wasmtime.wat2wasm("(module $other (func $f))"))
    after = shrink(component(module(heap.end()), other))
    parts = list(sections(after, COMPONENT))
    assert [part.number for part in parts] == [CORE_MODULE, CORE_MODULE]
    for part in parts:
        assert CUSTOM not in [inner.number for inner in sections(part.body, MODULE)]


def test_code_of_the_interpreters_start_is_dropped_and_other_code_runs() -> None:
    heap = Heap()
    heap.add(listing((0, 0)))
    exported, named = DEAD
    body = "(i32.const 7) (drop)" * 100
    more = f"""(func $a (export "{exported}") {body})
               (func ${named} {body})
               (func (export "start") (call ${named}))"""
    before = component(module(heap.end(), more))
    after = shrink(before)
    store, exports = instantiate(only_module(after))
    answer, start, relocate = exports["answer"], exports["start"], exports[exported]
    assert isinstance(answer, wasmtime.Func) and answer(store) == 42
    for dead in (start, relocate):
        assert isinstance(dead, wasmtime.Func)
        with pytest.raises(wasmtime.Trap, match="unreachable"):
            dead(store)
    assert after.count(b"\x41\x07\x1a") == 0 < before.count(b"\x41\x07\x1a")


def test_the_same_component_comes_out_of_the_same_component() -> None:
    heap = Heap()
    heap.add(listing((heap.add(thing()), KIND)))
    made = component(module(heap.end()))
    assert shrink(made) == shrink(made)


def test_a_component_without_memory_is_an_error() -> None:
    other = bytes(wasmtime.wat2wasm("(module)"))
    with pytest.raises(BuildError, match="0 modules of the component have memory, expected one"):
        shrink(component(other))


def test_a_memory_without_the_list_is_an_error() -> None:
    heap = Heap()
    heap.add(b"nothing")
    with pytest.raises(BuildError, match="holds no list of objects"):
        shrink(component(module(heap.end())))
