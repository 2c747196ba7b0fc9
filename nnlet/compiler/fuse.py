"""fuse: passes Program -> Program that merge steps, so that fewer tensors exist.

A chain of elementwise steps becomes one loop nest: each intermediate is a register.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from nnlet.compiler.program import Block, Call, Map, Program, Step, Value, walk

MAX_LETS = 64  # longer loop bodies spill registers and compile slowly
MAX_INPUTS = 12


def fuse_maps(program: Program) -> Program:
    """Merges each Map into the Map that is its only reader."""
    uses: Counter[str] = Counter()
    for step in walk(program.steps):
        uses.update(step.reads)
        for block in (part for part in getattr(step, "code", ()) if not isinstance(part, str)):
            uses.update(block.keeps)
    uses.update(value.storage for _, value in program.outputs)
    return replace(program, steps=_fuse(program.steps, uses))


def _fuse(steps: list[Step], uses: Counter[str]) -> list[Step]:
    result: list[Step | None] = []
    made: dict[str, int] = {}  # storage -> index in result of the Map that fills it
    for step in steps:
        if isinstance(step, Call):
            result.append(_fuse_blocks(step, uses))
            continue
        for value in step.inputs:
            at = made.get(value.storage)
            producer = result[at] if at is not None else None
            if isinstance(producer, Map) and uses[value.storage] == 1:
                merged = _merge(producer, step, value)
                if merged is not None:
                    assert at is not None
                    step, result[at] = merged, None
        made[step.output.storage] = len(result)
        result.append(step)
    return [s for s in result if s is not None]


def _fuse_blocks(step: Call, uses: Counter[str]) -> Call:
    code = tuple(
        part if isinstance(part, str) else replace(part, steps=_fuse(part.steps, uses))
        for part in step.code
    )
    return replace(step, code=code)


def _merge(first: Map, then: Map, link: Value) -> Map | None:
    """One Map that does `first`, then `then`, which reads it as `link`; None if it cannot."""
    if first.output.dims != then.output.dims or len(first.lets) + len(then.lets) > MAX_LETS:
        return None
    links = [n for n, v in enumerate(then.inputs) if v.storage == link.storage]
    if any(then.inputs[n].dims != first.output.dims for n in links):
        return None
    inputs = list(first.inputs)
    place: dict[int, str] = {n: f"${len(first.lets) - 1}" for n in links}
    for n, value in enumerate(then.inputs):
        if n in place:
            continue
        known = next((k for k, v in enumerate(inputs) if _same(v, value)), None)
        if known is None:
            known = len(inputs)
            inputs.append(value)
        place[n] = f"@{known}"
    if len(inputs) > MAX_INPUTS:
        return None
    shift = len(first.lets)
    lets = [
        (ctype, re.sub(r"@(\d+)|\$(\d+)", lambda m: _renumber(m, place, shift), text))
        for ctype, text in then.lets
    ]
    note = f"{first.note}, {then.note}"
    return Map(note, then.output, tuple(inputs), (*first.lets, *lets))


def _same(a: Value, b: Value) -> bool:
    return a.storage == b.storage and a.dims == b.dims and a.offset == b.offset


def _renumber(match: re.Match[str], place: dict[int, str], shift: int) -> str:
    if match[1] is not None:
        return place[int(match[1])]
    return f"${int(match[2]) + shift}"


def drop_unread(program: Program) -> Program:
    """Removes steps whose outputs nobody reads, unless they set sizes, which others may use."""
    needed = {value.storage for _, value in program.outputs}
    return replace(program, steps=_needed_steps(program.steps, needed))


def _needed_steps(steps: list[Step], needed: set[str]) -> list[Step]:
    """Those that fill storages in `needed`, to which it adds what they read."""
    kept: list[Step] = []
    for step in reversed(steps):
        outputs = {v.storage for v in step.outputs}
        if not outputs or outputs & needed or _sets_sizes(step):
            needed |= step.reads
            kept.append(_needed_parts(step, needed) if isinstance(step, Call) else step)
    return kept[::-1]


def _needed_parts(step: Call, needed: set[str]) -> Call:
    code = list(step.code)
    for n, part in reversed(list(enumerate(code))):
        if isinstance(part, Block):
            needed |= part.keeps
            code[n] = replace(part, steps=_needed_steps(part.steps, needed))
    return replace(step, code=tuple(code))


def _sets_sizes(step: Step) -> bool:
    lines: list[str] = []
    for part in step.code if isinstance(step, Call) else ():
        lines += [part] if isinstance(part, str) else part.tail
    return any(re.match(r"r\d+ = ", line) for line in lines)
