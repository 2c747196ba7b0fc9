"""The classification extension: the highest values of an output, by class.

Specification: docs/protocol/extension_classification.md of triton-inference-server/server.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from nnlet.guest.models import TensorInfo
from nnlet.guest.tensors import Tensor


class Classes:
    """The classes found in one output: strings "value:index" or "value:index:label".

    Their shape is [k], or [batch, k] for a model whose first dimension is free.
    """

    __slots__ = ("shape", "texts")

    def __init__(self, info: TensorInfo, tensor: Tensor, k: int) -> None:
        values = tensor.values()
        batched = len(info.shape) > 1 and info.shape[0] == -1
        rows = tensor.shape[0] if batched else 1
        size = len(values) // rows if rows else 0
        k = min(k, size)
        self.shape = [rows, k] if batched else [k]
        self.texts = [
            text
            for start in range(0, rows * size, size or 1)
            for text in _top(values[start : start + size], k, info.labels)
        ]

    def data(self) -> bytes:
        """As BYTES in binary form: each one's length, then itself."""
        encoded = [text.encode() for text in self.texts]
        return b"".join(struct.pack("<I", len(item)) + item for item in encoded)


def _top(values: list[Any], k: int, labels: tuple[str, ...]) -> list[str]:
    # NaN compares with nothing: it goes last. Equal values keep their order.
    ranking = [-math.inf if value != value else value for value in values]
    order = sorted(range(len(values)), key=ranking.__getitem__, reverse=True)
    return [_describe(values[index], index, labels) for index in order[:k]]


def _describe(value: Any, index: int, labels: tuple[str, ...]) -> str:
    text = f"{value:f}" if isinstance(value, float) else str(int(value))
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{text}:{index}{label}"
