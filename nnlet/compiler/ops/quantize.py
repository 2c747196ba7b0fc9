"""Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.

Scale and zero point are for the whole tensor, for each index of one axis, or for each block
along it: brought into a shape that broadcasts, they are inputs of an elementwise expression.
"""

from __future__ import annotations

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.cast import conversion, requested_type
from nnlet.compiler.program import NUMPY, Value
from nnlet.compiler.site import FP32, HALF, Site
from nnlet.tensor import DATATYPES, DataType

UINT8 = DATATYPES["UINT8"]


def quantize_linear(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html"""
    x, scale, zero = s.input(0), s.input(1), s.optional(2)
    to = zero.dtype if zero is not None else UINT8
    if s.attr("output_dtype"):
        to = requested_type(s, "output_dtype")
    precision = requested_type(s, "precision") if s.attr("precision") else scale.dtype
    whole, shape = _layout(s, x, scale)
    inputs = [s.view(x, whole), _laid_out(s, scale, x, shape)]
    quotient = f"{_single(x, '@0')} / {_single(scale, '@1')}"
    if precision.name in HALF:  # rounded to it, as a division of halves is
        quotient = conversion(precision, FP32, f"nn_f32_to_{precision.c}({quotient})")
    if zero is not None:
        inputs.append(_laid_out(s, zero, x, shape))
    y = s.map(
        0, to, inputs, (FP32, quotient), *saturated(to, "$0", "@2" if zero is not None else "0")
    )
    s.alias(0, y, x.dims)


def saturated(to: DataType, quotient: str, zero: str) -> tuple[tuple[DataType, str], ...]:
    """Steps after one other: `quotient` rounded to even, plus `zero`, cut to the range of `to`."""
    info = np.iinfo(NUMPY[to.name])
    inside = f"$1 > {info.min} ? ($1 < {info.max} ? $1 : {info.max}) : {info.min}"
    return (FP32, f"ROUND(f32)({quotient}) + {zero}"), (to, f"({to.c})({inside})")


def dequantize_linear(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html"""
    x, scale, zero = s.input(0), s.input(1), s.optional(2)
    to = requested_type(s, "output_dtype") if s.attr("output_dtype") else scale.dtype
    whole, shape = _layout(s, x, scale)
    inputs = [s.view(x, whole), _laid_out(s, scale, x, shape)]
    difference = "(f32)@0"
    if zero is not None:
        inputs.append(_laid_out(s, zero, x, shape))
        difference = "(f32)@0 - (f32)@2" if x.dtype.size == 4 else "(f32)(@0 - @2)"
    product = f"({difference}) * {_single(scale, '@1')}"
    y = s.map(0, to, inputs, (FP32, product), (to, conversion(FP32, to, "$0")))
    s.alias(0, y, x.dims)


def _single(value: Value, text: str) -> str:
    """C text of an element as a float32."""
    return text if value.dtype is FP32 else conversion(value.dtype, FP32, text)


def _layout(s: Site, x: Value, scale: Value) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """Dims of x, and dims of the scale that broadcast to them.

    A blocked axis is two, [blocks, block], if the blocks are full.
    """
    block = int(s.attr("block_size", 0))
    if block < 0:
        s.fail(f"block_size is {block}")
    if scale.size == 1 and not block:
        return x.dims, ()
    axis = s.axis(1, x.rank)
    if not block:
        return x.dims, (scale.size, *[1] * (x.rank - axis - 1))
    if scale.rank != x.rank:
        s.fail(f"a scale of rank {scale.rank} for blocks of a tensor of rank {x.rank}")
    blocks = d.ceildiv(x.dims[axis], block)
    s.same(scale.dims[axis], blocks, "blocks of the scale and of the input")
    before, after = x.dims[:axis], x.dims[axis + 1 :]
    if blocks * block == x.dims[axis]:
        return (*before, blocks, block, *after), (*before, blocks, 1, *after)
    return x.dims, x.dims


def _laid_out(s: Site, value: Value, x: Value, shape: tuple[Dim, ...]) -> Value:
    """A scale or zero point in its `shape`; repeated if the last of its blocks is not full."""
    block = int(s.attr("block_size", 0))
    if not block or len(shape) != x.rank:
        return s.view(value, shape)
    axis = s.axis(1, x.rank)
    outer, inner = d.product(x.dims[:axis]), d.product(x.dims[axis + 1 :])
    full = s.temporary(value.dtype, x.dims)
    bits = s.bits(value.dtype)
    s.call("quantize.spread", bits, s.raw(full), s.raw(value), outer, x.dims[axis], inner, block)
    return full


def dynamic_quantize_linear(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html"""
    x = s.input(0)
    scale, zero = s.output(1, FP32, ()), s.output(2, UINT8, ())
    s.call("quantrange.quantization_range", (), scale, zero, x, x.size)
    s.map(0, UINT8, [x, scale, zero], (FP32, "@0 / @1"), *saturated(UINT8, "$0", "@2"))


# com.microsoft operators on dequantized elements: a, and b where there are two.
QLINEAR = {
    "com.microsoft.QLinearAdd": (2, "{a} + {b}"),
    "com.microsoft.QLinearLeakyRelu": (1, "{a} < 0 ? {alpha} * {a} : {a}"),
    "com.microsoft.QLinearMul": (2, "{a} * {b}"),
    "com.microsoft.QLinearSigmoid": (1, "SIGMOID(f32)({a})"),
}


def qlinear(s: Site) -> None:
    """Dequantize, compute, quantize: what onnxruntime's quantizer makes of Add and others.

    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
    """
    count, text = QLINEAR[s.node.op]
    to = s.input(0).dtype
    inputs: list[Value] = []
    for at in range(0, 3 * count, 3):
        inputs += [s.input(at), s.input(at + 1), _zero_point(s, at + 2, to)]
    inputs += [s.input(3 * count), _zero_point(s, 3 * count + 1, to)]
    numbers = [f"((f32)(@{at} - @{at + 2}) * @{at + 1})" for at in range(0, 3 * count, 3)]
    names = dict(zip("ab", numbers, strict=False), alpha=s.argument(float(s.attr("alpha", 0.01))))
    quotient = f"({text.format(**names)}) / @{3 * count}"
    s.map(0, to, inputs, (FP32, quotient), *saturated(to, "$0", f"@{3 * count + 1}"))


def _zero_point(s: Site, index: int, dtype: DataType) -> Value:
    zero = s.optional(index)
    return zero if zero is not None else s.value_of(np.zeros((), NUMPY[dtype.name]))
