"""JSON in: bounded, strict, and with the place of every mistake.

`native` (native/nnlet_json.c, linked into the component where a C compiler is at hand) reads
and prints a tensor's numbers 5 to 20 times faster. It only ever says yes: what it does not
take, the Python here judges, so answers and errors are the same with and without it.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii
from typing import Any

try:
    import nnlet_json
except ImportError:
    nnlet_json = None

from nnlet.errors import HTTPError

native: Any = nnlet_json

# Python's parser calls itself for every level. In the guest's stack it gets through 1,000
# levels and traps before 2,000, which kills the instance; a tensor has eight at most.
MAX_DEPTH = 32

_SPACE = " \t\r\n"
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")
_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]+|\\.)*"|-?Infinity|NaN', re.DOTALL)


class _Constant(ValueError):
    """NaN, Infinity or -Infinity: Python reads them, JSON has none."""


def _refuse_constant(constant: str) -> Any:
    raise _Constant(constant)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def parse(body: bytes) -> Any:
    """The value that `body` holds. HTTPError 400 says what is wrong and where."""
    _check_depth(body)
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise HTTPError(
            400, f"the body is not UTF-8: byte {exc.start} is 0x{body[exc.start]:02x}"
        ) from exc
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _decoder.raw_decode(text, start)
    except json.JSONDecodeError as exc:
        raise _malformed(exc.msg, text, exc.pos) from exc
    except _Constant as exc:
        constant = str(exc)
        raise _malformed(f"{constant} is no JSON number", text, _find(constant, text)) from exc
    except ValueError as exc:  # the only one left: Python limits the digits of an integer
        raise HTTPError(400, "malformed JSON: an integer has thousands of digits") from exc
    rest = text[end:].lstrip(_SPACE)
    if rest:
        raise _malformed("Extra data", text, len(text) - len(rest))
    return value


def _malformed(what: str, text: str, position: int) -> HTTPError:
    if not text.strip(_SPACE):
        return HTTPError(400, "malformed JSON: the body is empty")
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return HTTPError(400, f"malformed JSON: {what} at line {line}, column {column}")


def _find(constant: str, text: str) -> int:
    """Where `constant` stands outside of strings."""
    found = (m.start() for m in _STRING_OR_CONSTANT.finditer(text) if m[0] == constant)
    return next(found, 0)


def _check_depth(body: bytes) -> None:
    """Refuse nesting beyond MAX_DEPTH, in a few passes that each run in C.

    Few brackets cannot nest deep, so most bodies cost two counts. For the others every
    pass takes away the innermost pairs, which leaves little of a tensor's rows.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = _outside_strings(body).translate(_BRACKETS, _NOT_BRACKETS)
    levels = 0
    while levels <= MAX_DEPTH and (peeled := brackets.replace(b"[]", b"")) != brackets:
        brackets = peeled
        levels += 1
    # An opening bracket that is left never closes: a level, too.
    if levels + brackets.count(b"[") > MAX_DEPTH:
        raise HTTPError(400, f"malformed JSON: nested more than {MAX_DEPTH} levels deep")


def _outside_strings(body: bytes) -> bytes:
    """`body` without its strings: they may hold brackets that open and close nothing."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2])


def quote(text: str) -> str:
    """A JSON string in ASCII."""
    return encode_basestring_ascii(text)
