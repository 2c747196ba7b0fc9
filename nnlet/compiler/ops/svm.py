"""Support vector machines of ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnlet.compiler.ops import scores
from nnlet.compiler.ops.cast import converted
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site

FloatArray = npt.NDArray[np.float32]
KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")  # svm.c counts so


def regressor(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_SVMRegressor.html

    Without support vectors the coefficients are those of the features. As in onnxruntime there
    is no post transform.
    """
    coefficients = _floats(s, "coefficients")
    rho = _floats(s, "rho")
    vectors = int(s.attr("n_supports", 0))
    rows, _ = scores.rows_and_features(s)
    x = converted(s, s.input(0), FP32)
    if len(rho) == 0 or len(coefficients) == 0 or (vectors and len(coefficients) != vectors):
        s.fail(f"{len(coefficients)} coefficients and {len(rho)} rho for {vectors} vectors")
    if vectors:
        kind = str(s.attr("kernel_type", "LINEAR"))
        kernel = _kernel(s, x, _floats(s, "support_vectors"), vectors, kind)
        weights = coefficients
    else:
        kernel = _kernel(s, x, coefficients, 1, "LINEAR")
        vectors, weights = 1, np.ones(1, np.float32)
    y = s.output(0, FP32, (rows, 1))
    s.call(
        "svm.svm_regress", (), y, kernel, s.value_of(weights), rows, vectors, float(rho[0]),
        bool(s.attr("one_class", 0)),
    )  # fmt: skip


def classifier(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html"""
    labels = scores.labels_of(s)
    counts = [int(n) for n in s.attr("vectors_per_class", [])]
    coefficients, rho = _floats(s, "coefficients"), _floats(s, "rho")
    if not labels or len(coefficients) == 0 or len(rho) == 0:
        s.fail("labels, coefficients and rho are needed")
    x = converted(s, s.input(0), FP32)
    if sum(counts):
        _by_vectors(s, x, labels, counts, coefficients, rho)
    else:
        _linear(s, x, labels, coefficients, float(rho[0]))


def _by_vectors(
    s: Site,
    x: Value,
    labels: Sequence[int],
    counts: Sequence[int],
    coefficients: FloatArray,
    rho: FloatArray,
) -> None:
    """One classifier for each two classes: they vote, and may be calibrated to probabilities."""
    rows, _ = scores.rows_and_features(s)
    transform = scores.transform_of(s)
    classes, vectors = len(labels), sum(counts)
    pairs = classes * (classes - 1) // 2
    prob_a, prob_b = _floats(s, "prob_a"), _floats(s, "prob_b")
    if len(counts) != classes or min(counts) < 0:
        s.fail(f"vectors_per_class has {len(counts)} entries for {classes} classes")
    if len(coefficients) != (classes - 1) * vectors or len(rho) < pairs:
        s.fail(f"{len(coefficients)} coefficients and {len(rho)} rho for {classes} classes")
    calibrated = len(prob_a) > 0
    if calibrated and not len(prob_a) == len(prob_b) >= pairs:
        s.fail(f"{len(prob_a)} prob_a and {len(prob_b)} prob_b for {pairs} pairs of classes")
    kernel = _kernel(s, x, _floats(s, "support_vectors"), vectors, s.attr("kernel_type", "LINEAR"))
    columns = classes if calibrated or classes == 2 else pairs
    label = scores.label_output(s, rows)
    y = s.output(1, FP32, (rows, columns))
    sums, votes = s.scratch(FP32, (rows, pairs)), s.scratch(FP32, (rows, classes))
    first = np.cumsum([0, *counts]).astype(np.int32)
    s.call(
        "svm.svm_pairs", (), sums, votes, kernel, s.value_of(coefficients), s.value_of(first),
        s.value_of(rho), rows, classes, vectors,
    )  # fmt: skip
    names = s.value_of(np.array(labels, np.int64))
    s.call("svm.svm_labels", (), label, votes, names, rows, classes)
    if calibrated:
        room = s.scratch(FP32, (2 * classes + 1, classes))
        a, b = s.value_of(prob_a), s.value_of(prob_b)
        s.call("svm.svm_probabilities", (), y, sums, room, a, b, rows, classes)
        sums = y
    if classes == 2 and not calibrated:
        s.call("scores.transform_pairs", (FP32, FP32), y, sums, rows, transform)
    else:
        s.call("scores.transform_rows", (FP32, FP32), y, sums, rows, columns, transform)


def _linear(s: Site, x: Value, labels: Sequence[int], coefficients: FloatArray, rho: float) -> None:
    """Without support vectors: a score for each class from coefficients of the features."""
    rows, _ = scores.rows_and_features(s)
    classes = len(labels)
    y_sums = _kernel(s, x, coefficients, classes, "LINEAR", rho)
    label = scores.label_output(s, rows)
    y = s.output(1, FP32, (rows, classes))
    names = s.value_of(np.array(labels, np.int64))
    alone = classes == 2 and not s.attr("prob_a")
    positive = bool((coefficients >= 0).all())
    s.call("svm.svm_linear_labels", (), label, y_sums, names, rows, classes, alone, positive)
    transform = scores.transform_of(s)
    s.call("scores.transform_rows", (FP32, FP32), y, y_sums, rows, classes, transform)


def _kernel(
    s: Site, x: Value, vectors: FloatArray, n: int, kind: str, coef0: float | None = None
) -> Value:
    """[rows, n]: the kernel of the input and each of n vectors. LINEAR takes only `coef0`."""
    rows, features = scores.rows_and_features(s)
    if kind not in KERNELS:
        s.fail(f"unknown kernel_type {kind!r}")
    if len(vectors) % n:
        s.fail(f"{len(vectors)} numbers are not {n} vectors")
    s.same(features, len(vectors) // n, "features and numbers in a support vector")
    gamma, offset, degree = (*_floats(s, "kernel_params"), 0.0, 0.0, 0.0)[:3]
    if kind == "LINEAR":
        gamma, offset = 1.0, coef0 or 0.0
    s.flush()
    y = s.temporary(FP32, (rows, n))
    transposed = s.value_of(vectors.reshape(n, -1).T)
    s.call(
        "svm.svm_kernel", (), y, x, transposed, rows, features, n, KERNELS.index(kind),
        float(gamma), float(offset), float(degree),
    )  # fmt: skip
    s.flush()
    return y


def _floats(s: Site, name: str) -> FloatArray:
    return np.array(s.attr(name, []), np.float32)
