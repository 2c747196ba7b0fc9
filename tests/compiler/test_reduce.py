"""Reductions against NumPy: every set of axes, empty tensors, axes that only the run knows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.kernels import Kernels
from tests.compiler.nodes import INT64, node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(7)


def data(*shape: int, dtype: str = "f4") -> Array:
    return RNG.normal(size=shape).astype(dtype)


def highest(x: Array, axis: Any, keepdims: bool) -> Array:
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    return np.asarray(x.max(axis, keepdims=keepdims, initial=lowest))


def mean(x: Array, axis: Any, keepdims: bool) -> Array:
    total = x.sum(axis, keepdims=keepdims)
    count = x.size // max(total.size, 1)
    return np.asarray(total / count if x.dtype.kind == "f" else np.trunc(total / count))


Function = Callable[[Array, Any, bool], Array]
REDUCTIONS: dict[str, Function] = {
    "ReduceL1": lambda x, axis, keep: np.abs(x).sum(axis, keepdims=keep),
    "ReduceL2": lambda x, axis, keep: np.sqrt((x * x).sum(axis, keepdims=keep)),
    "ReduceLogSum": lambda x, axis, keep: np.log(x.sum(axis, keepdims=keep)),
    "ReduceLogSumExp": lambda x, axis, keep: np.log(np.exp(x).sum(axis, keepdims=keep)),
    "ReduceMax": highest,
    "ReduceMean": mean,
    "ReduceMin": lambda x, axis, keep: -highest(-x, axis, keep),
    "ReduceProd": lambda x, axis, keep: x.prod(axis, keepdims=keep),
    "ReduceSum": lambda x, axis, keep: x.sum(axis, keepdims=keep),
    "ReduceSumSquare": lambda x, axis, keep: (x * x).sum(axis, keepdims=keep),
}


def expected(op: str, x: Array, axes: Any, keep: bool) -> list[Array]:
    """Of float64 numbers, whatever the type."""
    wide = x.astype("f8") if x.dtype.kind != "i" else x
    with np.errstate(all="ignore"):
        result = REDUCTIONS[op](wide, axes, keep)
        return [np.asarray(result).astype(x.dtype)]


def every_set_of_axes() -> list[Case]:
    """Of one tensor: merged, apart, and each as attribute, constant and input of the run."""
    x = data(3, 2, 5, 4)
    found = []
    sets = [axes for n in range(1, 5) for axes in combinations(range(4), n)]
    for n, axes in enumerate(sets):
        given = np.array([a - 4 if a % 2 else a for a in axes], "i8")
        for keep in (False, True):
            y = expected("ReduceSum", x, axes, keep)
            name = f"{axes} {'kept' if keep else ''}"
            found += [
                node_case(
                    "ReduceSum", [x, given], name=name, constant=[1], keepdims=keep, expected=y,
                    dynamic=bool(n % 2),
                ),
                node_case(
                    "ReduceSum", [x], name=f"{name} attribute", opset=11, axes=given,
                    keepdims=keep, expected=y,
                ),
                node_case(
                    "ReduceSum", [x, given], name=f"{name} in the run", keepdims=keep, expected=y,
                    fixed=[1],
                ),
            ]  # fmt: skip
    return found


def every_reduction() -> list[Case]:
    found = []
    for op in REDUCTIONS:
        for n, (shape, axes) in enumerate(
            [((3, 5, 7), (1,)), ((2, 3, 4, 5), (0, 2)), ((), ()), ((2, 0, 3), (1,)), ((0, 3), (1,))]
        ):
            x = np.abs(data(*shape)) if op == "ReduceLogSum" else data(*shape)
            y = expected(op, x, axes, True)
            given: Any = np.array(axes, "i8")
            name = f"{op}-{n}"
            attrs: dict[str, Any] = {"opset": 18, "expected": y}
            if axes:
                found.append(node_case(op, [x, given], name=f"{name} in the run", **attrs))
            found.append(node_case(op, [x, given], name=name, constant=[1], **attrs))
        for dtype in ("f8", "i4", "i8", "u4", "u8"):
            if dtype[0] != "f" and op in ("ReduceLogSum", "ReduceLogSumExp"):
                continue
            z = (np.abs(data(4, 19)) * 3 + 1).astype(dtype)
            y = expected(op, z, (1,), True) if dtype[0] != "u" else _unsigned(op, z)
            axis = np.array([1], "i8")
            found.append(
                node_case(op, [z, axis], name=f"{op}-{dtype}", constant=[1], opset=18, expected=y)
            )
    return found


def _unsigned(op: str, x: Array) -> list[Array]:
    return [a.astype(x.dtype) for a in expected(op, x.astype("i8"), (1,), True)]


def special_cases() -> list[Case]:
    x = data(2, 3)
    nothing, big = np.zeros(0, "i8"), np.full((2, 3), 2**30, "i4")
    bools = np.array([[True, False], [True, True]])
    last = np.array([-1], "i8")
    wrapped = [(np.full((2, 1), 3 * 2**30, "i8")).astype("i4")]
    half = data(4, 300).astype(ml_dtypes.bfloat16)
    half_sum = half.astype("f4").sum(1, keepdims=True).astype(ml_dtypes.bfloat16)
    nan = np.array([[1, np.nan, 2]], "f4")
    infinite = np.array([[np.inf, 0], [-np.inf, -np.inf], [-np.inf, 0]], "f4")
    return [
        node_case("ReduceSum", [x], name="all", expected=[x.sum(keepdims=True)]),
        node_case("ReduceSum", [x, nothing], name="empty axes", constant=[1]),
        node_case(
            "ReduceSum", [x, nothing], name="empty axes do nothing", noop_with_empty_axes=1,
            constant=[1], expected=[x],
        ),
        node_case(
            "ReduceSum", [x, nothing], name="empty in the run", noop_with_empty_axes=1, expected=[x]
        ),
        node_case(
            "ReduceSum", [x, nothing], name="empty means all", expected=[x.sum(keepdims=True)]
        ),
        node_case(
            "ReduceSumSquare", [x], name="squares of one", noop_with_empty_axes=1, opset=18,
            expected=[x * x],
        ),
        node_case("ReduceSum", [big, last], name="wraps", constant=[1], expected=wrapped),
        node_case(
            "ReduceMax", [bools, last], name="any", constant=[1], opset=20,
            expected=[bools.any(1, keepdims=True)],
        ),
        node_case(
            "ReduceMin", [bools, last], name="all of bools", constant=[1], opset=20,
            expected=[bools.all(1, keepdims=True)],
        ),
        node_case(
            "ReduceMin", [np.zeros((2, 0), bool), last], name="all of no bools", constant=[1],
            opset=20, expected=[np.ones((2, 1), bool)],
        ),
        node_case(
            "ReduceSum", [half, last], name="bfloat16", constant=[1], expected=[half_sum],
            rtol=0.01,
        ),
        node_case(
            "ReduceMax", [nan], name="NaN wins", opset=18,
            expected=[np.full((1, 1), np.nan, "f4")],
        ),
        node_case(
            "ReduceLogSumExp", [infinite, last], name="infinite", constant=[1], opset=18,
            expected=[np.array([[np.inf], [-np.inf], [0]], "f4")],
        ),
    ]  # fmt: skip


def arg_cases() -> list[Case]:
    found = []
    x = RNG.integers(0, 4, (3, 5, 4)).astype("f4")
    x[1, 2, 3] = np.nan
    for op, function in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        for axis in (0, 1, -1):
            for last in (0, 1):
                flipped = np.flip(x, axis) if last else x
                y = np.asarray(function(flipped, axis=axis))
                y = x.shape[axis] - 1 - y if last else y
                found += [
                    node_case(
                        op, [x], name=f"{op} {axis} {last} {keep}", outputs=[INT64], axis=axis,
                        keepdims=keep, select_last_index=last,
                        expected=[np.expand_dims(y, axis) if keep else y],
                    )
                    for keep in (0, 1)
                ]  # fmt: skip
    integers = np.array([[3, 9, 9, -2]], "i8")
    best = [np.array([[1]])]
    found.append(
        node_case("ArgMax", [integers], name="integers", outputs=[INT64], axis=1, expected=best)
    )
    return found


CASES = [*every_set_of_axes(), *every_reduction(), *special_cases(), *arg_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_numpy(models: NativeModels, case: Case) -> None:
    check(models, case)


def test_an_axis_outside_is_refused_in_the_run(models: NativeModels) -> None:
    x, axes = data(3, 2, 5, 4), np.array([4], "i8")
    with pytest.raises(InferenceError, match="an axis is outside a tensor of rank 4"):
        models.run("(0,) kept in the run", "1", {"x0": x, "x1": axes})


def test_an_axis_named_twice_is_refused_in_the_run(models: NativeModels) -> None:
    x, axes = data(3, 2, 5, 4), np.array([1, -3], "i8")
    with pytest.raises(InferenceError, match="an axis is named twice"):
        models.run("(0, 1)  in the run", "1", {"x0": x, "x1": axes})


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels("reduce", "f32", "f32")


@pytest.mark.parametrize("n", [1, 15, 16, 17, 255, 257, 4096, 4097, 9000])
@pytest.mark.parametrize("inner", [1, 3, 64, 65])
def test_sums_of_all_lengths(kernels: Kernels, n: int, inner: int) -> None:
    x = np.abs(data(2, n, inner))
    y = np.empty((2, inner), "f4")
    kernels.call("sum", y, x, *x.shape)
    np.testing.assert_allclose(y, x.sum(1, dtype="f8"), rtol=1e-6)


def test_long_sums_keep_their_digits(kernels: Kernels) -> None:
    for shape in ((1, 3_000_000, 1), (1, 1_000_000, 3)):
        x = RNG.random(shape, "f4")
        y = np.empty((1, shape[2]), "f4")
        kernels.call("sum", y, x, *shape)
        np.testing.assert_allclose(y, x.sum(1, dtype="f8"), rtol=2e-6)
