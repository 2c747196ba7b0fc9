"""Linear models of ai.onnx.ml: a matrix product, then scores."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from nnlet.compiler.ops.scores import labels_of, transform_of
from nnlet.plain import scores
from nnlet.plain.builder import Builder, real


def classifier(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html

    One row of coefficients decides between two classes.
    """
    labels, transform = labels_of(b), transform_of(b)
    n = len(b.attr("intercepts", [])) or max(len(labels), 1)
    is_pair = n == 1 and len(labels) == 2
    if n == 1 and not is_pair:
        labels = [0, 1]
    if len(labels) < n:
        b.fail(f"{n} intercepts, but {len(labels)} labels")
    sums = _scores(b, n)
    if n == 1:
        index = scores.choice(b, b.op("Greater", sums, real(0)))
    else:
        index = b.first_highest(sums, n)
    scores.label(b, index, labels)
    made = (
        scores.pair(b, sums, transform, True) if is_pair else scores.transform(b, sums, transform)
    )
    b.result(1, made, TensorProto.FLOAT, 2)


def regressor(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html"""
    transform = transform_of(b)
    targets = int(b.attr("targets", 1))
    if targets == 1 and transform != scores.PROBIT:
        transform = scores.NONE  # as onnxruntime: a single score has no other transform
    made = scores.transform(b, _scores(b, targets), transform)
    b.result(0, made, TensorProto.FLOAT, 2)


def _scores(b: Builder, n: int) -> str:
    """The input times the coefficients, and the intercepts if there are n: [rows, n]."""
    weights = np.array(b.attr("coefficients", []), np.float32)
    if weights.size == 0 or weights.size % n:
        b.fail(f"{weights.size} coefficients for {n} scores")
    sums = b.op("MatMul", b.matrix(b.reals()), weights.reshape(n, -1).T)
    intercepts = np.array(b.attr("intercepts", []), np.float32)
    return b.op("Add", sums, intercepts[None]) if len(intercepts) == n else sums
