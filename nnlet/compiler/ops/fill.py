"""Operators that make a tensor from sizes and a value: ConstantOfShape, Range, EyeLike."""

from __future__ import annotations

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.known import known_items
from nnlet.compiler.program import NUMPY, Value, datatype_of
from nnlet.compiler.reals import Real
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import BY_ONNX


def constant(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Constant.html

    Folded before it comes here, unless it holds text.
    """
    s.unsupported("constants of strings")


def constant_of_shape(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html"""
    value = s.attr("value")
    dtype = FP32 if value is None else datatype_of(value)
    y = s.output(0, dtype, s.read_sizes(0))
    zero = value is None or not np.any(value)
    s.call("fill.fill", s.bits(dtype), s.raw(y), y.size, 0 if zero else s.raw(s.value_of(value)))


def eye_like(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__EyeLike.html"""
    x = s.input(0)
    dtype = BY_ONNX[s.attr("dtype")] if "dtype" in s.node.attrs else x.dtype
    if x.rank != 2:
        s.fail(f"the input should have rank 2, not {x.rank}")
    y = s.output(0, dtype, x.dims)
    one = s.raw(s.value_of(np.array(1, NUMPY[dtype.name])))
    s.call("fill.eye", s.bits(dtype), s.raw(y), *x.dims, int(s.attr("k", 0)), one)


def range_(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Range.html"""
    start, limit, delta = (s.input(n) for n in range(3))
    dtype = start.dtype
    count = _known_count(s)
    texts = [f"{s.pointer(value)}[0]" for value in (start, limit, delta)]
    if count is None:
        count = s.size(s.invoke("range.range_count", dtype, *texts))
        s.check(f"{d.c(count)} >= 0", "the step is 0, or there are too many of them")
        s.flush()
    y = s.output(0, dtype, (count,))
    texts = [f"{s.pointer(value)}[0]" for value in (start, delta)]
    s.call("range.range", dtype, y, y.dims[0], *texts)


def _known_count(s: Site) -> Dim | None:
    """How many numbers there are, in the arithmetic of sizes."""
    numbers = [_integer(s.input(n)) for n in range(3)]
    if any(n is None for n in numbers):
        return None
    start, limit, delta = (n for n in numbers if n is not None)
    if not isinstance(delta, int) or delta == 0:
        return None
    return d.maximum(d.ceildiv(limit - start, delta), 0)


def _integer(value: Value) -> Dim | None:
    """A scalar that is known to be an integer."""
    items = known_items(value)
    if items is None or len(items) != 1:
        return None
    item = items[0]
    if isinstance(item, Real):
        return item.numerator if item.denominator == 1 else None
    return item
