"""The C around a compiled model: memory, errors, inputs checked by name, and who calls it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "compiler" / "runtime"

# What stands between a model and any caller of it; see the top of each file.
SHARED = ("arena.c", "fail.c", "infer.c")


def headers() -> dict[str, bytes]:
    """What generated C may include, by name."""
    return {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.h"))}


def sources(caller: str) -> dict[str, bytes]:
    """The shared C files and the caller's (`component.c` or `native.c`), by name."""
    return {name: (FOLDER / name).read_bytes() for name in (*SHARED, caller)}
