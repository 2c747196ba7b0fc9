"""From raw scores to labels and post transforms: what scores.c says, as plain ONNX.

Scores are FLOAT [rows, n] or, of one class, [rows, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from nnlet.compiler.ops import scores
from nnlet.plain.builder import Builder, ints, real

NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT = range(len(scores.TRANSFORMS))
LABELS = "its labels are strings: export it with integer labels, or drop this output"


def label(b: Builder, index: str, labels: Sequence[int]) -> None:
    """Output 0: the labels [n] at `index`, INT32 [rows]. wasi-nn has no strings: string labels
    go nowhere."""
    if b.attr("classlabels_strings"):
        return
    if list(labels) == list(range(len(labels))):
        chosen = b.cast(index, TensorProto.INT64)
    else:
        chosen = b.op("Gather", b.integers(labels, "label"), index)
    b.result(0, chosen, TensorProto.INT64, 1)


def choice(b: Builder, is_second: str) -> str:
    """BOOL [rows, 1] as a place in two labels: INT32 [rows]."""
    return b.op("Squeeze", b.cast(is_second, TensorProto.INT32), ints(1))


def transform(b: Builder, x: str, kind: int) -> str:
    """The post transform of each row."""
    if kind == LOGISTIC:
        return b.op("Sigmoid", x)
    if kind == SOFTMAX:
        return b.op("Softmax", x, axis=-1)
    if kind == SOFTMAX_ZERO:
        return _softmax_zero(b, x)
    return _probit(b, x) if kind == PROBIT else x


def pair(b: Builder, score: str, kind: int, is_probability: bool) -> str:
    """[rows, 2] from the score [rows, 1] of the second of two classes, of which a probability
    has its complement beside it and any other score its negative."""
    if kind == PROBIT:
        first, second = _probit(b, score), b.op("Mul", score, real(0))
    elif kind == LOGISTIC:
        first, second = b.op("Sigmoid", b.op("Neg", score)), b.op("Sigmoid", score)
    else:
        other = b.op("Sub", real(1), score) if is_probability else b.op("Neg", score)
        first, second = other, score
    return b.op("Concat", first, second, axis=1)


def _softmax_zero(b: Builder, x: str) -> str:
    """Softmax that keeps what is about 0 out of the sum."""
    highest = b.reduce("ReduceMax", x, 1)
    powers = b.op("Exp", b.op("Sub", x, highest))
    counted = b.op("Greater", b.op("Abs", x), real(1e-7))
    total = b.reduce("ReduceSum", b.op("Where", counted, powers, real(0)), 1)
    small = b.op("Mul", x, b.op("Exp", b.op("Neg", highest)))
    return b.op("Div", b.op("Where", counted, powers, small), total)


def _probit(b: Builder, p: str) -> str:
    """The quantile function of the normal distribution, by Winitzki's inverse of erf, in a form
    that FLOAT can bear: sqrt(v^2 - l / k) - v is (-l / k) / (sqrt(v^2 - l / k) + v)."""
    k = 0.147
    x = b.op("Sub", b.op("Mul", p, real(2)), real(1))
    minus_square = b.op("Neg", b.op("Mul", x, x))
    # log(1 + z) as log(u) z / (u - 1) with u = 1 + z: right where z is small, too.
    u = b.op("Add", minus_square, real(1))
    is_one = b.op("Equal", u, real(1))
    below = b.op("Where", is_one, real(1), b.op("Sub", u, real(1)))
    log = b.op("Div", b.op("Mul", b.op("Log", u), minus_square), below)
    log = b.op("Where", is_one, minus_square, log)
    part = b.op("Div", b.op("Neg", log), real(k))
    v = b.op("Add", real(2 / (3.14159 * k)), b.op("Mul", log, real(0.5)))
    root = b.op("Sqrt", b.op("Add", b.op("Mul", v, v), part))
    erf = b.op("Sqrt", b.op("Div", part, b.op("Add", root, v)))
    signed = b.op("Where", b.op("Less", x, real(0)), b.op("Neg", erf), erf)
    return b.op("Mul", signed, real(1.41421356))


def add_base(b: Builder, x: str, base: Sequence[float], n: int) -> str:
    """x [rows, n] plus the base values, of which there may be fewer."""
    if not base:
        return x
    return b.op("Add", x, np.array([[*base, *[0.0] * (n - len(base))]], np.float32))
