"""Markdown that a command writes: tables, and a section of a page between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    line = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, line, *rows))


def replace_section(page: Path, name: str, text: str) -> None:
    """Put `text` between <!-- NAME: --> and <!-- :NAME --> of a page."""
    begin, end = f"<!-- {name}: -->", f"<!-- :{name} -->"
    old = page.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1:
        raise SystemExit(f"Error: {page} has no {begin} and {end}, where the tables go")
    head, rest = old.split(begin)
    tail = rest.split(end)[1]
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")
