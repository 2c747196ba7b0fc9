"""One kernel file of ops/ as a library: its functions called with NumPy arrays."""

from __future__ import annotations

import ctypes
import re
import tempfile
from pathlib import Path

import numpy as np

from nnlet import runtime, zig
from nnlet.compiler.emit import OPS
from tests.compiler.oracle import Array


class Kernels:
    """The functions of ops/FAMILY.c for one list of types, by name."""

    def __init__(self, family: str, *types: str) -> None:
        defines = [f"#define {n} {t}" for n, t in zip("TUVW", types, strict=False)]
        text = (OPS / f"{family}.c").read_text()
        # Static functions that nobody calls would be dropped.
        exported = re.sub(r"^static (?!inline)", "", text, flags=re.M)
        source = "\n".join(
            ['#include "prelude.h"', *defines, "#define NAME(f) f", exported]
        ).encode()
        flags = ["-shared", "-fPIC", "-mcpu=baseline", *zig.FLAGS, *zig.optimize(2)]
        files = {**runtime.headers(), "kernels.c": source}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "kernels.so")
            path.write_bytes(zig.compile_c(files, flags, "kernels.so"))
            self._library = ctypes.CDLL(str(path))

    def call(self, function: str, *args: Array | int | float) -> None:
        """Calls it: arrays as pointers, ints as idx, floats as f32."""
        given = [
            a.ctypes.data_as(ctypes.c_void_p)
            if isinstance(a, np.ndarray)
            else ctypes.c_float(a)
            if isinstance(a, float)
            else ctypes.c_ssize_t(a)
            for a in args
        ]
        getattr(self._library, function)(*given)
