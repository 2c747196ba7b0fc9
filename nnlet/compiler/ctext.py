"""C text of strings and numbers."""

from __future__ import annotations

import math
from typing import Any

from nnlet.tensor import DataType


def literal(value: Any, dtype: DataType) -> str:
    """A C literal of `value`, exact."""
    if dtype.kind == "f":
        x = float(value)
        if math.isnan(x):
            return "NN_NAN"
        if math.isinf(x):
            return "NN_INF" if x > 0 else "(-NN_INF)"
        text = repr(x) + ("" if dtype.name == "FP64" else "f")
        return text if x >= 0 and not text.startswith("-") else f"({text})"
    number = int(value)
    if number == -(2**63):
        return "INT64_MIN"
    if dtype.name == "UINT64":
        return f"{number}ull"
    text = f"{number}ll" if dtype.size == 8 or abs(number) > 2**31 - 1 else str(number)
    return text if number >= 0 else f"({text})"


def c_string(text: str) -> str:
    """`text` as a C string literal."""
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+*/.,:;()[]{}<>='!@# "
    body = "".join(chr(b) if chr(b) in plain else f"\\{b:03o}" for b in text.encode("utf-8"))
    return f'"{body}"'
