"""ONNX itself: checked, external data folded in, its opset brought up, labels as indices.

Nothing is known of the model but its tensors. Inputs [N], or [N, 1], are columns of their own
name; one input [N, K] takes the sample's K columns in order. What onnxruntime answers is what
the compiled model must answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from nnlet.convert.converted import Converted, Precision
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.model import load_onnx


def read(path: Path) -> onnx.ModelProto:
    """The model in the file, with weights that stand in files of their own. Raises ModelError."""
    return load_onnx(path)


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    raise ConvertError("next commit")
