"""Linear models of ai.onnx.ml: a matrix product, then scores.c."""

from __future__ import annotations

import numpy as np

from nnlet.compiler.dims import Dim
from nnlet.compiler.ops import linear, scores
from nnlet.compiler.ops.cast import converted
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site


def classifier(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html

    One row of coefficients decides between two classes.
    """
    labels = scores.labels_of(s)
    transform = scores.transform_of(s)
    n = len(s.attr("intercepts", [])) or max(len(labels), 1)
    pair = n == 1 and len(labels) == 2
    if n == 1 and not pair:
        labels = [0, 1]
    if len(labels) < n:
        s.fail(f"{n} intercepts, but {len(labels)} labels")
    rows, sums, bias = _scores(s, n)
    columns = 2 if pair else n
    label = scores.label_output(s, rows)
    y = s.output(1, FP32, (rows, columns))
    s.call(
        "scores.classify_linear", (FP32, FP32), label, y, sums, bias,
        s.value_of(np.array(labels, np.int64)), rows, n, columns, transform,
    )  # fmt: skip


def regressor(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html"""
    transform = scores.transform_of(s)
    targets = int(s.attr("targets", 1))
    rows, sums, bias = _scores(s, targets)
    y = s.output(0, FP32, (rows, targets))
    if targets == 1 and transform != scores.PROBIT:
        transform = 0  # as onnxruntime: a single score has no other transform
    s.call("scores.transform", (FP32, FP32), y, sums, None, 0, bias, rows, targets, 1, transform)


def _scores(s: Site, n: int) -> tuple[Dim, Value, Value | None]:
    """Rows, the input times the coefficients [rows, n], and the intercepts if there are n."""
    rows, features = scores.rows_and_features(s)
    weights = np.array(s.attr("coefficients", []), np.float32)
    if weights.size == 0 or weights.size % n:
        s.fail(f"{weights.size} coefficients for {n} scores")
    k = weights.size // n
    s.same(features, k, "features and coefficients a score")
    x = converted(s, s.input(0), FP32)
    s.flush()
    sums = s.temporary(FP32, (rows, n))
    linear.product(
        s,
        linear.Matrices(sums, (), n, 1),
        linear.Matrices(x, (), k, 1),
        linear.Matrices(s.value_of(weights.reshape(n, k).T), (), n, 1),
        (), rows, n, k,
    )  # fmt: skip
    s.flush()
    intercepts = s.attr("intercepts", [])
    bias = s.value_of(np.array(intercepts, np.float32)) if len(intercepts) == n else None
    return rows, sums, bias
