"""Matrix products against onnxruntime: broadcasting, vectors, transposes, odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(5)


def data(*shape: int, dtype: str = "f4") -> Array:
    return RNG.normal(size=shape).astype(dtype)


MATMUL: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((1, 1), (1, 1)),
    ((1, 64), (64, 10)),
    ((2, 3), (3, 17)),
    ((17, 300), (300, 31)),
    ((5,), (5,)),
    ((5,), (5, 3)),
    ((4, 5), (5,)),
    ((5,), (2, 5, 3)),
    ((2, 3, 4, 5), (5,)),
    ((2, 3, 4, 5), (5, 6)),
    ((2, 3, 4, 5), (2, 3, 5, 7)),
    ((2, 1, 4, 5), (3, 5, 6)),
    ((4, 5), (2, 3, 5, 6)),
    ((1, 3, 4, 5), (2, 1, 5, 6)),
    ((3, 0), (0, 4)),
    ((0, 3), (3, 4)),
    ((2, 0, 3), (2, 3, 4)),
]

GEMM: list[tuple[list[tuple[int, ...]], dict[str, Any]]] = [
    ([(3, 5), (5, 13)], {}),
    ([(3, 5), (5, 13), (13,)], {}),
    ([(3, 5), (5, 13), (3, 1)], {"beta": 0.5}),
    ([(3, 5), (5, 13), (1,)], {"alpha": 0.25}),
    ([(5, 3), (13, 5), (3, 13)], {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}),
    ([(1, 65), (33, 65), (33,)], {"transB": 1}),
    ([(65, 17), (65, 3), (1, 3)], {"transA": 1}),
]

EINSUM: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij->ji", [(3, 4)]),
    ("ijk->kj", [(3, 4, 5)]),
    ("ij->", [(3, 4)]),
    ("ii->i", [(4, 4)]),
    ("ii", [(4, 4)]),
    ("...ii->...i", [(2, 3, 4, 4)]),
    ("ij,jk", [(3, 4), (4, 5)]),
    ("ij, jk -> ki", [(3, 4), (4, 5)]),
    ("i,j->ij", [(3,), (4,)]),
    ("i,i->", [(7,), (7,)]),
    ("ij,ij->i", [(3, 4), (3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 5, 4), (2, 3, 6, 4)]),
    ("bqhd,bkhd->bhqk", [(2, 5, 3, 4), (2, 6, 3, 4)]),
    ("bhqk,bkhd->bqhd", [(2, 3, 5, 6), (2, 6, 3, 4)]),
    ("bdhw,cdk->bhckw", [(2, 3, 4, 5), (6, 3, 2)]),
    ("...ij,...jk->...ik", [(2, 3, 4), (5, 2, 4, 6)]),
    ("b...i,ij->b...j", [(2, 3, 4, 5), (5, 6)]),
    ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
    ("ab,ac,a->bc", [(5, 2), (5, 3), (5,)]),
    ("abc,cba->b", [(2, 3, 4), (4, 3, 2)]),
    ("ijk,lj->li", [(2, 3, 4), (5, 3)]),
    (",i->i", [(), (4,)]),
]  # fmt: skip


def product_cases() -> list[Case]:
    found = []
    for n, (a, b) in enumerate(MATMUL):
        inputs = [data(*a), data(*b)]
        name = f"MatMul-{n}"
        found += [
            node_case("MatMul", inputs, name=name),
            node_case("MatMul", inputs, name=f"{name}-fixed", dynamic=False),
            node_case("MatMul", inputs, name=f"{name}-weights", constant=[1]),
        ]
    for n, (shapes, attrs) in enumerate(GEMM):
        inputs = [data(*shape) for shape in shapes]
        name, weights = f"Gemm-{n}", range(1, len(inputs))
        found += [
            node_case("Gemm", inputs, name=name, **attrs),
            node_case("Gemm", inputs, name=f"{name}-fixed", dynamic=False, **attrs),
            node_case("Gemm", inputs, name=f"{name}-weights", constant=weights, **attrs),
        ]
    return found


def einsum_cases() -> list[Case]:
    found = []
    for n, (equation, shapes) in enumerate(EINSUM):
        inputs = [data(*shape) for shape in shapes]
        expected = [np.asarray(np.einsum(equation, *inputs))]
        for dynamic in (False, True):
            name = f"Einsum-{n}-{dynamic}"
            attrs: dict[str, Any] = {"equation": equation, "dynamic": dynamic}
            found.append(node_case("Einsum", inputs, name=name, expected=expected, **attrs))
    return found


def type_cases() -> list[Case]:
    doubles = [data(3, 4, dtype="f8"), data(4, 5, dtype="f8")]
    whole = [np.arange(12, dtype="i4").reshape(3, 4), np.arange(20, dtype="i4").reshape(4, 5)]
    unsigned = [x.astype("u8") for x in whole]
    square = np.stack([data(4, 4), np.zeros((4, 4), "f4"), np.eye(4, dtype="f4")[[2, 0, 1, 3]]])
    return [
        node_case("MatMul", doubles, name="double"),
        node_case("MatMul", whole, name="int32"),
        node_case("MatMul", unsigned, name="uint64"),
        node_case("Gemm", [*doubles, data(5, dtype="f8")], name="double-gemm", alpha=0.5),
        node_case("Det", [square], name="Det", expected=[np.linalg.det(square)]),
        node_case("Det", [data(1, 1)], name="Det-1"),
    ]


CASES = [*product_cases(), *einsum_cases(), *type_cases()]

# float64 is the naive twin: linear.c from the definition, where float32 has gemm.c.
TWINS = [node_case("MatMul", [data(2, 3), data(3, 2)], name="fast")]
TWINS += [
    node_case(
        "MatMul", [data(2, 3, dtype="f8"), data(3, 2, dtype="f8")], name="naive", opset=13
    )
]  # fmt: skip
# Panels of 8, 4 and 1 rows; strips and blocks of columns; parts of the depth; and their rests.
TWIN_SIZES = [
    (m, n, k)
    for m in (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 129)
    for n, k in ((1, 1), (2, 9), (3, 5), (4, 4), (5, 8), (16, 3), (17, 256), (113, 257), (48, 520))
]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled([*CASES, *TWINS])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_onnxruntime(models: NativeModels, case: Case) -> None:
    check(models, case)


@pytest.mark.parametrize("size", TWIN_SIZES, ids=str)
def test_fast_equals_naive(models: NativeModels, size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = data(m, k), data(k, n)
    (fast,) = models.run("fast", "1", {"x0": a, "x1": b})
    (naive,) = models.run("naive", "1", {"x0": a.astype("f8"), "x1": b.astype("f8")})
    np.testing.assert_allclose(fast, naive, rtol=1e-5, atol=1e-5 * np.sqrt(k))


def test_vectors_of_infinities_stay_what_they_are(models: NativeModels) -> None:
    """Nothing outside the matrices, and no zero of ours, meets an infinity."""
    a, b = np.ones((1, 5), "f4"), np.zeros((5, 3), "f4")
    b[0, 0], b[4, 1] = np.inf, np.nan
    (y,) = models.run("fast", "1", {"x0": a, "x1": b})
    np.testing.assert_array_equal(y, [[np.inf, np.nan, 0]])


def test_inner_dimensions_that_differ_are_refused(models: NativeModels) -> None:
    with pytest.raises(InferenceError, match="the inner dimensions: 3 and 4 should be equal"):
        models.run("fast", "1", {"x0": data(2, 3), "x1": data(4, 2)})
