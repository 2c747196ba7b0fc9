"""Converted: what every converter hands on, whatever library the model came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from nnlet.signature import AnswerSpec, ColumnSpec

Array = np.ndarray[Any, np.dtype[Any]]
Precision = Literal["FP32", "FP64"]

FLOATS: dict[Precision, str] = {"FP32": "float32", "FP64": "float64"}  # NumPy's names


@dataclass(frozen=True)
class Converted:
    """A model as ONNX, and what is needed to check and to describe it.

    `feeds` is the sample as the ONNX inputs by name; `expected` the library's own answers to
    it, by output name and in the shape of the output: labels as indices into their classes,
    everything else as the library gives it (float64 is compared with float32 by tolerance).
    `made_by` names class and library with version. `notes` are choices that a person should
    know of, one sentence each.
    """

    proto: onnx.ModelProto
    columns: tuple[ColumnSpec, ...]
    answer: tuple[AnswerSpec, ...]
    feeds: Mapping[str, Array]
    expected: Mapping[str, Array]
    made_by: str
    precision: Precision = "FP32"
    notes: tuple[str, ...] = ()
