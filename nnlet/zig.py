"""The only caller of zig: a C compiler for Wasm and for this machine, from PyPI.

`compile_c` is a pure function of its arguments, so its results are kept by content in the
cache folder: `$NNLET_CACHE`, else `nnlet` in the user's cache (`$XDG_CACHE_HOME` or
`~/.cache`), which outlives `build/` and serves every project. zig keeps the C libraries that
it builds there too: some 20 s for the first call ever, per target. Removing the folder is safe.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnlet.errors import CompileError, ToolMissing

log = logging.getLogger("nnlet")

KEPT_SECONDS = 30 * 24 * 3600  # a result that nobody asked for in this time is removed
SHOWN_LINES = 12  # of what zig says about an error

# What zig sees of the environment: variables such as CPATH would change its results.
ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")

# How all C of nnlet is compiled.
FLAGS = (
    "-std=gnu11",
    "-ffp-contract=off",  # a*b+c rounds twice, on every machine: answers match a reference
    "-fno-math-errno",  # sqrtf is one instruction
    "-fwrapv",  # sums and products of sizes that overflow wrap, so that checks of them hold
    "-fno-strict-aliasing",  # the arena gives the same bytes to values of several types
    "-fno-ident",  # no compiler name in the result
)


def optimize(level: int | str) -> tuple[str, ...]:
    """Flags for clang's -O`level`.

    `zig cc` itself turns 1 and 3 into 2, and builds its libraries once more for 0 and s. So it
    sees 2 here, and clang takes the last that it is given.
    """
    return "-O2", "-Xclang", f"-O{level}"


def cache_folder() -> Path:
    """Where compiled files are kept; see the top of this file."""
    if own := os.environ.get("NNLET_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnlet"


def compile_c(files: Mapping[str, bytes], flags: Sequence[str], output: str) -> bytes:
    """The file `output` that `zig cc FLAGS -o OUTPUT *.c *.o` makes of `files`.

    `files` maps plain names to contents: what ends in .c or .o is compiled and linked, in
    order; the rest is there to be included. Raises CompileError, or ToolMissing without zig.
    """
    kept = _results() / f"{_key(version(), files, flags, output)}-{output}"
    try:
        data = kept.read_bytes()
        os.utime(kept)
        return data
    except FileNotFoundError:
        data = _compile(files, flags, output)
    _keep(kept, data)
    return data


def _results() -> Path:
    folder = cache_folder() / "c"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CompileError(
            f"cannot make the cache folder {folder}: {exc.strerror}: name another in NNLET_CACHE"
        ) from exc
    return folder


def version() -> str:
    """The compiler's version. Raises ToolMissing without zig."""
    if importlib.util.find_spec("ziglang") is None:
        raise ToolMissing(
            "the C compiler zig is missing: install it with 'python -m pip install ziglang==0.17.1'"
        )
    return importlib.metadata.version("ziglang")


def _key(version: str, files: Mapping[str, bytes], flags: Sequence[str], output: str) -> str:
    """A digest of everything that the result depends on."""
    digest = hashlib.sha256()
    texts = [version, sys.platform, platform.machine(), output, *flags]
    named = [part for name, data in files.items() for part in (name.encode(), data)]
    for part in (*(text.encode() for text in texts), *named):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def _compile(files: Mapping[str, bytes], flags: Sequence[str], output: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="nnlet-") as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        inputs = [name for name in files if name.endswith((".c", ".o"))]
        _zig(["cc", *flags, "-I.", "-o", output, *inputs], folder)
        return Path(folder, output).read_bytes()


def _zig(arguments: Sequence[str], folder: str) -> None:
    """Run zig in `folder`. Objects of this one call die with it; libraries are kept."""
    libraries = cache_folder() / "zig"
    if not libraries.exists():
        log.info("first use of zig: it builds its C library, which takes some 20 s")
    environment = {
        **{name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "ZIG_GLOBAL_CACHE_DIR": str(libraries.absolute()),
        "ZIG_LOCAL_CACHE_DIR": str(Path(folder, ".zig-cache")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        lines = (done.stderr.strip() or f"it stopped with {done.returncode}").splitlines()
        raise CompileError("\n".join(["zig could not compile the generated C:", *_first(lines)]))


def _first(lines: list[str]) -> list[str]:
    """The errors ahead of the warnings, as many lines as a reader takes."""
    start = next((i for i, line in enumerate(lines) if "error:" in line), 0)
    return lines[start : start + SHOWN_LINES]


def _keep(path: Path, data: bytes) -> None:
    """Write whole or not at all, since others may read now; drop what nobody asks for."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
    oldest = time.time() - KEPT_SECONDS
    for other in path.parent.iterdir():
        try:
            if other.stat().st_mtime < oldest:
                other.unlink()
        except FileNotFoundError:
            continue  # another process was faster
