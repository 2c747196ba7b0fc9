"""CSV as RFC 4180 has it: text to rows of fields, and back.

The csv module is in every component anyway: componentize-py's own modules bring it along.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from nnlet.errors import HTTPError

_MARK = b"\xef\xbb\xbf"  # Excel begins a file of UTF-8 with it


def read(body: bytes) -> list[list[str]]:
    """All rows but blank ones. HTTPError 400 says what is wrong, and where."""
    try:
        text = body.removeprefix(_MARK).decode()
    except UnicodeDecodeError as exc:
        line = body.count(b"\n", 0, exc.start) + 1
        raise HTTPError(
            400, f"the CSV is not UTF-8: byte 0x{body[exc.start]:02x} in line {line}"
        ) from exc
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as exc:
        raise HTTPError(400, f"malformed CSV: {exc} in line {reader.line_num}") from exc


def write(rows: Iterable[Sequence[str]]) -> str:
    """A text of one line a row."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
