"""The instructions of a core Wasm function, as far as they name something by its number.

Specification: https://webassembly.github.io/spec/core/binary/instructions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nnlet.wasm import Reader

# What a number is an index of.
FUNCTION, TYPE, BLOCK_TYPE, TABLE = "function", "type", "block type", "table"
GLOBAL, GLOBAL_SET = "global", "global.set"

# Every instruction without such an index, by its first bytes. Most code is a run of these.
_LEB = rb"[\x80-\xff]*[\x00-\x7f]"
_PLAIN = re.compile(
    rb"(?:"
    rb"[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4\xd1]"  # control, parametric, numeric
    rb"|[\x02-\x04][\x40-\x7f]"  # blocks whose type is written out
    rb"|[\x0c\x0d\x20-\x22\x41\x42]%(leb)s"  # branches, locals, integer constants
    rb"|[\x28-\x3e]%(leb)s%(leb)s"  # loads and stores
    rb"|[\x3f\x40]\x00|\x43.{4}|\x44.{8}"  # memory size, floating-point constants
    rb"|\x1c\x01[\x40-\x7f]|\xd0."  # select of a type, null
    rb"|\xfc(?:[\x00-\x07]|\x0a\x00\x00|\x0b\x00)"  # saturating conversions, memory copy and fill
    rb"|\xfd(?:[\x00-\x0b\x5c\x5d]%(leb)s%(leb)s|[\x0c\x0d].{16}|[\x15-\x22]."  # vectors
    rb"|[\x54-\x5b]%(leb)s%(leb)s.|[\x0e-\x14\x23-\x53\x5e-\x7f]|[\x80-\xff][\x01\x02])"
    rb")*" % {b"leb": _LEB},
    re.DOTALL,
)

_ONE_INDEX = {0x10: FUNCTION, 0x12: FUNCTION, 0xD2: FUNCTION, 0x23: GLOBAL, 0x24: GLOBAL_SET}
_BLOCKS = (0x02, 0x03, 0x04)
_BRANCH_TABLE = 0x0E
_INDIRECT = (0x11, 0x13)  # a type, then a table


class Reference(NamedTuple):
    """An index in code: of what, which, and the bytes from its instruction's or its own begin."""

    kind: str
    number: int
    start: int
    end: int


def references(body: bytes) -> Iterator[Reference]:
    """All indices in a function's body, in order. ValueError for an unknown instruction.

    Those that read or change tables are unknown: merge.py relies on what lies in them.

    A reference to a global covers its whole instruction, all others only the number.
    """
    reader = Reader(body)
    for _ in range(reader.uleb()):  # locals: a count and a type
        reader.uleb(), reader.byte()
    while True:
        match = _PLAIN.match(body, reader.at)
        assert match is not None  # it matches nothing, too
        reader.at = match.end()
        if not reader.more():
            return
        yield from _indices(reader)


def _indices(reader: Reader) -> Iterator[Reference]:
    """Those of the next instruction."""
    begin = reader.at
    code = reader.byte()
    if code in _ONE_INDEX:
        kind = _ONE_INDEX[code]
        yield _index(reader, kind, begin if kind in (GLOBAL, GLOBAL_SET) else reader.at)
    elif code in _BLOCKS:
        yield _index(reader, BLOCK_TYPE, reader.at)
    elif code in _INDIRECT:
        yield _index(reader, TYPE, reader.at)
        yield _index(reader, TABLE, reader.at)
    elif code == _BRANCH_TABLE:
        for _ in range(reader.uleb() + 1):
            reader.uleb()
    else:
        raise ValueError(f"unknown instruction {reader.data[begin : begin + 3].hex(' ')}")


def _index(reader: Reader, kind: str, start: int) -> Reference:
    index = reader.uleb()
    return Reference(kind, index, start, reader.at)
