"""Support vector machines of ai.onnx.ml, in FLOAT as onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from nnlet.compiler.ops.scores import labels_of, transform_of
from nnlet.compiler.ops.svm import KERNELS
from nnlet.plain import scores
from nnlet.plain.builder import Builder, ints, real

FloatArray = npt.NDArray[np.float32]
ROUNDS = 100  # of the coupling, as libsvm


def regressor(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_SVMRegressor.html

    Without support vectors the coefficients are those of the features. As in onnxruntime there
    is no post transform.
    """
    coefficients, rho = _floats(b, "coefficients"), _floats(b, "rho")
    n = int(b.attr("n_supports", 0))
    if len(rho) == 0 or len(coefficients) == 0 or (n and len(coefficients) != n):
        b.fail(f"{len(coefficients)} coefficients and {len(rho)} rho for {n} vectors")
    x = b.matrix(b.reals())
    if n:
        x = _kernel(b, x, _vectors(b, _floats(b, "support_vectors"), n))
    sums = b.op("Add", b.op("MatMul", x, coefficients[:, None]), real(rho[0]))
    if b.attr("one_class", 0):
        sums = b.op("Where", b.op("Greater", sums, real(0)), real(1), real(-1))
    b.result(0, sums, TensorProto.FLOAT, 2)


def classifier(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html"""
    labels = labels_of(b)
    counts = [int(n) for n in b.attr("vectors_per_class", [])]
    coefficients, rho = _floats(b, "coefficients"), _floats(b, "rho")
    if not labels or len(coefficients) == 0 or len(rho) == 0:
        b.fail("labels, coefficients and rho are needed")
    if sum(counts):
        _by_vectors(b, labels, counts, coefficients, rho)
    else:
        _linear(b, labels, coefficients, float(rho[0]))


def _by_vectors(
    b: Builder,
    labels: Sequence[int],
    counts: Sequence[int],
    coefficients: FloatArray,
    rho: FloatArray,
) -> None:
    """One classifier for each two classes: they vote, and may be calibrated to probabilities."""
    transform = transform_of(b)
    classes, n = len(labels), sum(counts)
    pairs = classes * (classes - 1) // 2
    prob_a, prob_b = _floats(b, "prob_a"), _floats(b, "prob_b")
    if len(counts) != classes or min(counts) < 0:
        b.fail(f"vectors_per_class has {len(counts)} entries for {classes} classes")
    if len(coefficients) != (classes - 1) * n or len(rho) < pairs:
        b.fail(f"{len(coefficients)} coefficients and {len(rho)} rho for {classes} classes")
    calibrated = len(prob_a) > 0
    if calibrated and not len(prob_a) == len(prob_b) >= pairs:
        b.fail(f"{len(prob_a)} prob_a and {len(prob_b)} prob_b for {pairs} pairs of classes")
    kernel = _kernel(b, b.matrix(b.reals()), _vectors(b, _floats(b, "support_vectors"), n))
    sums = b.op("MatMul", kernel, _pair_weights(coefficients.reshape(classes - 1, n), counts))
    sums = b.op("Add", sums, rho[None, :pairs])
    scores.label(b, b.first_highest(_votes(b, sums, classes), classes), labels)
    if calibrated:
        sums = _probabilities(b, sums, prob_a[:pairs], prob_b[:pairs], classes)
    if classes == 2 and not calibrated:
        made = scores.pair(b, sums, transform, transform != scores.NONE)
    else:
        made = scores.transform(b, sums, transform)
    b.result(1, made, TensorProto.FLOAT, 2)


def _pair_weights(coefficients: FloatArray, counts: Sequence[int]) -> FloatArray:
    """[vectors, pairs] from coefficients [classes - 1, vectors], whose row for the pair i < j is
    j - 1 for the vectors of i, and i for those of j."""
    first = np.cumsum([0, *counts])
    columns = []
    for i, j in _pairs(len(counts)):
        column = np.zeros(coefficients.shape[1], np.float32)
        column[first[i] : first[i + 1]] = coefficients[j - 1, first[i] : first[i + 1]]
        column[first[j] : first[j + 1]] = coefficients[i, first[j] : first[j + 1]]
        columns.append(column)
    return np.array(columns, np.float32).T.reshape(coefficients.shape[1], len(columns))


def _pairs(classes: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(classes) for j in range(i + 1, classes)]


def _votes(b: Builder, sums: str, classes: int) -> str:
    """How often each class wins against another: FLOAT [rows, classes]."""
    pairs = _pairs(classes)
    wins = np.zeros((len(pairs), classes), np.float32)  # what a pair adds if its first wins
    losses = np.zeros((1, classes), np.float32)
    for at, (i, j) in enumerate(pairs):
        wins[at, i], wins[at, j] = 1, -1
        losses[0, j] += 1
    won = b.cast(b.op("Greater", sums, real(0)), TensorProto.FLOAT)
    return b.op("Add", b.op("MatMul", won, wins), losses)


def _probabilities(b: Builder, sums: str, a: FloatArray, c: FloatArray, classes: int) -> str:
    """Each pair's sigmoid(-(a score + c)), then coupled: [rows, classes]."""
    linear = b.op("Add", b.op("Mul", sums, a[None]), c[None])
    p = b.op("Sigmoid", b.op("Neg", linear))
    p = b.op("Clip", p, real(1e-7), real(1 - 1e-7))
    # r[i][j] is how probable class i is, given i or j; its diagonal is never used but to be 0.
    both = b.op("Concat", p, b.op("Sub", real(1), p), b.op("Mul", b.column(p, 0), real(0)), axis=1)
    places = np.full((classes, classes), 2 * len(a), np.int64)
    for at, (i, j) in enumerate(_pairs(classes)):
        places[i, j], places[j, i] = at, len(a) + at
    r = b.op("Gather", both, places, axis=1)
    of_others = b.op("Transpose", r, perm=[0, 2, 1])
    squares = b.reduce("ReduceSum", b.op("Mul", of_others, of_others), 2)
    diagonal = b.op("Mul", squares, np.eye(classes, dtype=np.float32)[None])
    q = b.op("Sub", diagonal, b.op("Mul", of_others, r))
    start = b.op("Expand", real(1 / classes), b.op("Concat", b.rows(sums), ints(classes), axis=0))
    return b.op("Loop", np.array(ROUNDS), np.array(True), start, body=_round(b, q, classes))


def _round(b: Builder, q: str, classes: int) -> onnx.GraphProto:
    """One round of the coupling of q [rows, classes, classes]: p -> p, and whether to go on.

    The second method of Wu, Lin and Weng, "Probability Estimates for Multi-class Classification
    by Pairwise Coupling" (2004), as svm.c. A row that has arrived stays.
    """
    inner = b.inner()
    p = "p"
    qp = inner.reduce("ReduceSum", inner.op("Mul", q, inner.op("Unsqueeze", p, ints(1))), 2, False)
    pqp = inner.reduce("ReduceSum", inner.op("Mul", p, qp), 1)
    error = inner.reduce("ReduceMax", inner.op("Abs", inner.op("Sub", qp, pqp)), 1)
    arrived = inner.op("Less", error, real(0.005 / classes))
    moved = p
    for i in range(classes):
        row = inner.op("Squeeze", inner.op("Gather", q, ints(i), axis=1), ints(1))
        own, qp_i = inner.column(row, i), inner.column(qp, i)
        step = inner.op("Div", inner.op("Sub", pqp, qp_i), own)
        scale = inner.op("Add", step, real(1))
        moved = inner.op(
            "Add", moved, inner.op("Mul", step, np.eye(classes, dtype="f4")[i : i + 1])
        )
        moved = inner.op("Div", moved, scale)
        more = inner.op("Add", inner.op("Mul", step, own), inner.op("Add", qp_i, qp_i))
        pqp = inner.op("Add", pqp, inner.op("Mul", step, more))
        pqp = inner.op("Div", inner.op("Div", pqp, scale), scale)
        qp = inner.op("Div", inner.op("Add", qp, inner.op("Mul", step, row)), scale)
    result = inner.op("Where", arrived, p, moved)
    left = inner.reduce("ReduceSum", inner.cast(inner.op("Not", arrived), TensorProto.FLOAT), 0)
    again = inner.op("Reshape", inner.op("Greater", left, real(0)), np.zeros(0, np.int64))
    shape = [None, classes]
    return helper.make_graph(
        inner.nodes,
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info(p, TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info(again, TensorProto.BOOL, []),
            helper.make_tensor_value_info(result, TensorProto.FLOAT, shape),
        ],
        inner.constants,
    )


def _linear(b: Builder, labels: Sequence[int], coefficients: FloatArray, rho: float) -> None:
    """Without support vectors: a score for each class from coefficients of the features."""
    classes = len(labels)
    weights = _vectors(b, coefficients, classes)
    sums = b.op("Add", b.op("MatMul", b.matrix(b.reals()), weights.T), real(rho))
    index = b.first_highest(sums, classes)
    if classes == 2 and not b.attr("prob_a"):
        # The second also wins with a score that is high by itself.
        highest = b.reduce("ReduceMax", sums, 1, keepdims=False)
        if (coefficients >= 0).all():
            is_high = b.op("GreaterOrEqual", highest, real(0.5))
        else:
            is_high = b.op("Greater", highest, real(0))
        index = b.op("Where", is_high, np.array(1, np.int32), index)
    scores.label(b, index, labels)
    b.result(1, scores.transform(b, sums, transform_of(b)), TensorProto.FLOAT, 2)


def _kernel(b: Builder, x: str, vectors: FloatArray) -> str:
    """[rows, n]: the kernel of the input [rows, features] and each of the vectors."""
    kind = str(b.attr("kernel_type", "LINEAR"))
    if kind not in KERNELS:
        b.fail(f"unknown kernel_type {kind!r}")
    gamma, offset, degree = (*_floats(b, "kernel_params"), 0.0, 0.0, 0.0)[:3]
    if kind == "RBF":
        return b.op("Exp", b.op("Mul", _square_distances(b, x, vectors), real(-gamma)))
    products = b.op("MatMul", x, vectors.T)
    if kind == "LINEAR":
        return products
    y = b.op("Add", b.op("Mul", products, real(gamma)), real(offset))
    return b.op("Tanh", y) if kind == "SIGMOID" else b.op("Pow", y, real(degree))


def _square_distances(b: Builder, x: str, vectors: FloatArray) -> str:
    """|x|^2 - 2 x v + |v|^2, all seen from the vectors' middle: where they lie far from zero but
    close together the squares would otherwise swallow the difference."""
    middle = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    vectors = vectors - middle
    x = b.op("Sub", x, middle[None])
    own = b.reduce("ReduceSum", b.op("Mul", x, x), 1)
    products = b.op("MatMul", x, -2 * vectors.T)
    squares = (vectors.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
    return b.op("Relu", b.op("Add", b.op("Add", products, squares[None]), own))


def _vectors(b: Builder, numbers: FloatArray, n: int) -> FloatArray:
    """[n, features]"""
    if len(numbers) == 0 or len(numbers) % n:
        b.fail(f"{len(numbers)} numbers are not {n} vectors")
    return numbers.reshape(n, -1)


def _floats(b: Builder, name: str) -> FloatArray:
    return np.array(b.attr(name, []), np.float32)
