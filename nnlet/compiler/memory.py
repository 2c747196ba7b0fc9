"""memory: Program -> Plan: where each storage lies and how long.

Storages of known size share one arena: two that never live at once may overlap. Storages
whose size only the run knows are taken from the heap before the step that fills them and
given back after the last that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from nnlet.compiler.program import Call, Program, Step, Value, blocks, reads, walk

ALIGN = 64  # a cache line


@dataclass(frozen=True)
class Plan:
    """`offsets`: storage -> byte offset in the arena. `owned`: storage -> output index, for
    storages that are allocated as a model output. The rest of the pointers is dynamic."""

    offsets: dict[str, int]
    arena: int
    owned: dict[str, int]


def plan(program: Program) -> Plan:
    """Places every storage; the arena is the smallest that first-fit by size finds."""
    owned = _owned_outputs(program)
    spans = _spans(program)
    elsewhere = _late(program).union(owned)
    sizes = {
        name: _aligned(value)
        for name, value in program.pointers.items()
        if name in spans and name not in elsewhere and isinstance(value.size, int)
    }
    offsets: dict[str, int] = {}
    # Large ones first: small ones then fill the gaps between them.
    for name in sorted(sizes, key=lambda n: (-sizes[n], n)):
        offsets[name] = _first_fit(name, sizes, spans, offsets)
    arena = max((offsets[n] + sizes[n] for n in offsets), default=0)
    return Plan(offsets, arena, owned)


def _late(program: Program) -> frozenset[str]:
    """The storages for which the steps' own code takes memory."""
    steps = walk(program.steps)
    return frozenset().union(*(step.late for step in steps if isinstance(step, Call)))


def _aligned(value: Value) -> int:
    assert isinstance(value.size, int)
    return -(-max(value.size, 1) * value.dtype.size // ALIGN) * ALIGN


def _owned_outputs(program: Program) -> dict[str, int]:
    """Outputs that can be computed in place: whole storages, made at the top level, once."""
    made = {v.storage for step in program.steps for v in step.outputs} - _late(program)
    owned: dict[str, int] = {}
    for n, (_, value) in enumerate(program.outputs):
        whole = value.offset == 0 and value.size == program_size(program, value)
        crosses = value.dtype.name == value.dtype.carrier
        if value.storage in made and value.storage not in owned and whole and crosses:
            owned[value.storage] = n
    return owned


def program_size(program: Program, value: Value) -> object:
    """The number of elements of the storage that `value` lies in."""
    pointer = program.pointers.get(value.storage)
    return None if pointer is None else pointer.size


def _spans(program: Program) -> dict[str, tuple[int, int]]:
    """When each storage must keep its bytes: first and last tick of a clock that moves on with
    every step, those in blocks included. What is made outside of a block and read inside lives
    until the block's step ends: a loop comes back to it."""
    spans: dict[str, tuple[int, int]] = {}
    clock = count()

    def touch(names: Iterable[str], now: int) -> None:
        for name in names:
            if name in spans:
                spans[name] = (spans[name][0], now)

    def visit(steps: Sequence[Step]) -> None:
        for step in steps:
            now = next(clock)
            own = [v.storage for v in (*step.outputs, *step.scratch)]
            for name in own:
                spans[name] = (now, now)
            inside = {
                v.storage
                for block in blocks(step)
                for inner in walk(block.steps)
                for v in (*inner.outputs, *inner.scratch)
            }
            for block in blocks(step):
                visit(block.steps)
                touch(block.keeps, next(clock))
            touch((*own, *(reads(step) - inside)), next(clock))

    visit(program.steps)
    touch((value.storage for _, value in program.outputs), next(clock))
    return spans


def _first_fit(
    name: str,
    sizes: dict[str, int],
    spans: dict[str, tuple[int, int]],
    offsets: dict[str, int],
) -> int:
    start, end = spans[name]
    busy = sorted(
        (offsets[other], offsets[other] + sizes[other])
        for other in offsets
        if spans[other][0] <= end and start <= spans[other][1]
    )
    at = 0
    for low, high in busy:
        if at + sizes[name] <= low:
            break
        at = max(at, high)
    return at


def last_reads(steps: list[Step], keeps: frozenset[str]) -> list[frozenset[str]]:
    """For each step, the storages made in this list that nothing after it reads.

    `keeps` are read after the list's end.
    """
    made = {v.storage for step in steps for v in step.outputs}
    alive = set(keeps)
    result: list[frozenset[str]] = []
    for step in reversed(steps):
        touched = (reads(step) | {v.storage for v in step.outputs}) & made
        result.append(frozenset(touched - alive))
        alive |= touched
    return result[::-1]
