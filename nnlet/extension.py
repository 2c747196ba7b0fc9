"""The guest's C: Python extension modules that componentize-py links into the component.

    guest/native/NAME.c  --zig-->  shared library  --component type-->  NAME.cpython-314-....so

An extension may import functions of the host, which takes a description of their types: a
custom section, made once from the WIT (`dev/extension`) and kept beside the source. See
docs/decisions/0008-native-extension.md.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nnlet import wasm, zig
from nnlet.errors import ToolMissing

log = logging.getLogger("nnlet")

SOURCES = Path(__file__).parent / "guest" / "native"

# The interpreter of the componentize-py that is pinned looks for modules with this ending.
SUFFIX = ".cpython-314-wasm32-wasi.so"

FLAGS = (
    *("-target", "wasm32-wasi", *zig.FLAGS, *zig.optimize(2)),
    *("-shared", "-fPIC", "-nostdlib", "-Wl,--import-symbols", "-Wl,--strip-all"),
)

COMPONENT_TYPE = "component-type"


def names() -> list[str]:
    """The modules there are."""
    return sorted(path.stem for path in SOURCES.glob("*.c"))


def build_extension(name: str) -> bytes:
    """One module. Raises CompileError, or ToolMissing without zig."""
    files = {path.name: path.read_bytes() for path in SOURCES.glob("*.h")}
    source = SOURCES / f"{name}.c"
    library = zig.compile_c({**files, source.name: source.read_bytes()}, FLAGS, f"{name}.so")
    types = source.with_suffix(".types")
    if not types.exists():
        return library  # it asks nothing of the host
    section = wasm.text(COMPONENT_TYPE) + types.read_bytes()
    parts = [*wasm.sections(library, wasm.MODULE), wasm.Section(wasm.CUSTOM, section)]
    return wasm.join(wasm.MODULE, parts)


def compiler() -> str:
    """What compiles them, for a fingerprint."""
    try:
        return f"ziglang=={zig.version()}"
    except ToolMissing:
        return "no zig"


def write_extensions(folder: Path) -> None:
    """All modules, into `folder`, from where componentize-py takes them (-p).

    Without zig there are none, and the guest does the same in Python: slower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    try:
        for name in names():
            (folder / f"{name}{SUFFIX}").write_bytes(build_extension(name))
    except ToolMissing as exc:
        log.warning("%s; without it the function is slower", exc)
