"""Small ONNX models for tests, from ONNX's own text format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import numpy_helper


def model(
    graph: str, *, opset: int = 21, constants: Mapping[str, Any] | None = None, ml: int = 5
) -> onnx.ModelProto:
    """The model whose graph is `graph` in onnx.parser's syntax; `constants` become initializers.

    Example: `f (float[n, 3] x) => (float[n, 3] y) { y = Relu (x) }`
    """
    header = f'<ir_version: 10, opset_import: ["" : {opset}, "ai.onnx.ml" : {ml}]>'
    proto = onnx.parser.parse_model(f"{header} {graph}")
    for name, array in (constants or {}).items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return proto
