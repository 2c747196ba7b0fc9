"""Matrix products and convolutions of quantized integers.

With constant weights and parameters they are those of integer.py. Else both factors become
32-bit integers with their zero points taken off; the sums are unsigned, so that they wrap, and
read as signed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nnlet.compiler.dims import Dim
from nnlet.compiler.ops import integer
from nnlet.compiler.ops.conv import convolve
from nnlet.compiler.ops.linear import multiply
from nnlet.compiler.ops.quantize import saturated
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES

INT32 = DATATYPES["INT32"]
UINT32 = DATATYPES["UINT32"]


def matmul_integer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MatMulInteger.html"""
    a = _centered(s, s.input(0), _per_row(s, s.optional(2)))
    b = _centered(s, s.input(1), s.optional(3))
    s.map(0, INT32, [multiply(s, a, b, _sums(s))], (INT32, "(i32)@0"))


def qlinear_matmul(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html"""
    known = integer.Parameters.of(s, (0, 1, 2), (3, 4, 5), (6, 7), 8, 1)
    if known and integer.multiply(s, s.input(0), known.weights, known):
        return
    a = _centered(s, s.input(0), _per_row(s, s.input(2)))
    b = _centered(s, s.input(3), s.input(5))
    scales = [_per_row(s, s.input(1)), s.input(4), _per_row(s, s.input(6))]
    _requantize(s, multiply(s, a, b, _sums(s)), scales, _per_row(s, s.input(7)))


def conv_integer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ConvInteger.html"""
    x = _centered(s, s.input(0), s.optional(2))
    w = _centered(s, s.input(1), _per_filter(s, s.optional(3), s.input(1).rank))
    s.map(0, INT32, [convolve(s, x, w, None, _sums(s))], (INT32, "(i32)@0"))


def qlinear_conv(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__QLinearConv.html"""
    known = integer.Parameters.of(s, (0, 1, 2), (3, 4, 5), (6, 7), 8, 0)
    if known and integer.convolve(s, s.input(0), s.input(3), known):
        return
    rank = s.input(0).rank
    x = _centered(s, s.input(0), s.input(2))
    w = _centered(s, s.input(3), _per_filter(s, s.input(5), rank))
    bias = _centered(s, s.input(8), None) if s.has_input(8) else None
    scales = [s.input(1), _per_filter(s, s.input(4), rank - 1), s.input(6)]
    _requantize(s, convolve(s, x, w, bias, _sums(s)), scales, s.input(7))


def qgemm(s: Site) -> None:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md

    In the form that quantized.py makes of Gemm: constant weights, an 8-bit result.
    """
    trans_b = bool(s.attr("transB", 0))
    known = integer.Parameters.of(s, (0, 1, 2), (3, 4, 5), (7, 8), 6, 0 if trans_b else 1)
    if s.attr("transA", 0) or float(s.attr("alpha", 1.0)) != 1 or not known:
        s.unsupported("transA, alpha, or parameters that are not constant")
    b = known.weights.T if trans_b else known.weights
    if not integer.multiply(s, s.input(0), b, known):
        s.unsupported(f"weights of shape {list(b.shape)}")


def _centered(s: Site, x: Value, zero: Value | None) -> Value:
    """x - zero as 32 bits; done now if both are constant."""
    content, taken = x.content, np.zeros((), np.int32) if zero is None else zero.content
    if content is not None and taken is not None:
        difference = content.astype(np.int32) - taken.astype(np.int32)
        return s.value_of(difference.astype(np.uint32))
    if zero is None:
        return s.elementwise(UINT32, [x], (UINT32, "(u32)@0"))
    return s.elementwise(UINT32, [x, zero], (UINT32, "(u32)(@0 - @1)"))


def _per_row(s: Site, parameter: Value | None) -> Value | None:
    """A vector has an element a row: it repeats along columns."""
    if parameter is None or parameter.rank != 1 or parameter.size == 1:
        return parameter
    return s.view(parameter, (parameter.size, 1))


def _per_filter(s: Site, parameter: Value | None, rank: int) -> Value | None:
    """A vector has an element a filter: it repeats along the `rank` - 1 dims behind."""
    if parameter is None or parameter.rank != 1 or parameter.size == 1:
        return parameter
    return s.view(parameter, (parameter.size, *[1] * (rank - 1)))


def _sums(s: Site) -> Callable[[Sequence[Dim]], Value]:
    """What makes room for the sums, by their dims."""
    return lambda dims: s.temporary(UINT32, dims)


def _requantize(s: Site, sums: Value, scales: Sequence[Value | None], zero: Value | None) -> None:
    """Output 0 is sums * a_scale * b_scale / y_scale + zero, rounded, in the type of `zero`."""
    if zero is None:
        s.fail("the zero point of the result is missing")
    inputs = [sums, *(v for v in scales if v is not None), zero]
    steps = saturated(zero.dtype, "$0", "@4")
    s.map(0, zero.dtype, inputs, (FP32, "(f32)(i32)@0 * (@1 * @2 / @3)"), *steps)
