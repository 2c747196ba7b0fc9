"""Softmax family: https://onnx.ai/onnx/operators/onnx__Softmax.html"""

from __future__ import annotations

from nnlet.compiler.dims import Dim, product
from nnlet.compiler.site import Site


def softmax(s: Site) -> None:
    """Softmax, LogSoftmax and Hardmax along one axis; before opset 13 along all from it on."""
    x = s.input(0)
    axis = s.axis(-1 if s.opset >= 13 else 1, x.rank)
    last = axis + 1 if s.opset >= 13 else x.rank
    sizes: list[Dim] = [product(x.dims[:axis]), product(x.dims[axis:last]), product(x.dims[last:])]
    y = s.output(0, x.dtype, x.dims)
    s.call(f"softmax.{s.node.op.lower()}", x.dtype, y, x, *sizes)
