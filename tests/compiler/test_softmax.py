"""The softmax family against onnxruntime, and its fast kernels against their naive twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.native import NativeModels
from tests.compiler.kernels import Kernels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(6)
SHAPES: list[tuple[int, ...]] = [
    (1,),
    (17,),
    (3, 1),
    (2, 65),
    (2, 3, 4),
    (3, 0),
    (0, 3),
    (2, 3, 70),
]


def data(*shape: int, dtype: str = "f4") -> Array:
    return (RNG.normal(size=shape) * 5).astype(dtype)


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True, initial=-1e30))
    return np.asarray(e / e.sum(axis, keepdims=True))


def softmax_cases() -> list[Case]:
    found = []
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for n, shape in enumerate(SHAPES):
            for axis in range(-1, len(shape) - 1):
                x = data(*shape)
                name = f"{op}-{n} along {axis}"
                for opset in (11, 13):
                    case = node_case(op, [x], name=f"{name} {opset}", opset=opset, axis=axis)
                    found.append(case)
    return found


def edge_cases() -> list[Case]:
    inf = np.inf
    rows = np.array([[1e4, -1e4, 0], [inf, 0, 0], [-inf, 0, -inf], [np.nan, 0, 1]], "f4")
    with np.errstate(invalid="ignore"):
        expected = softmax(rows.astype("f8"), -1).astype("f4")
    doubles: Any = data(5, 33, dtype="f8")
    return [
        node_case("Softmax", [rows], name="edges", expected=[expected]),
        node_case(
            "Softmax", [doubles], name="double", expected=[softmax(doubles, -1)], rtol=1e-14, atol=0
        ),
        node_case(
            "LogSoftmax", [doubles], name="log of double", expected=[np.log(softmax(doubles, -1))],
            rtol=1e-12,
        ),
    ]  # fmt: skip


CASES = [*softmax_cases(), *edge_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_reference(models: NativeModels, case: Case) -> None:
    check(models, case)


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels("softmax", "f32")


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 33, 4095, 4097, 8200])
@pytest.mark.parametrize("inner", [1, 2, 63, 65])
@pytest.mark.parametrize("function", ["softmax", "logsoftmax"])
def test_fast_equals_naive(kernels: Kernels, function: str, n: int, inner: int) -> None:
    x = data(2, n if inner == 1 else min(n, 99), inner)
    fast, naive = np.empty_like(x), np.empty_like(x)
    kernels.call(function, fast, x, *x.shape)
    kernels.call(f"{function}_naive", naive, x, *x.shape)
    np.testing.assert_allclose(fast, naive, rtol=2e-5, atol=1e-30)
