"""reals: sizes that go through floating point come back as sizes."""

from __future__ import annotations

import numpy as np
import pytest

from nnlet.compiler import dims as d
from nnlet.compiler import reals
from nnlet.tensor import DATATYPES

FP32 = DATATYPES["FP32"]
N, M = d.size_symbol("n"), d.size_symbol("m")


def size(dim: d.Dim) -> reals.Real:
    return reals.of_size(dim, FP32)


def number(x: float) -> reals.Real:
    return reals.of_number(float(np.float32(x)), FP32)


def test_scaled_and_rounded_sizes_are_sizes() -> None:
    assert reals.to_size(reals.floor(reals.multiply(size(N), number(2.0)))) == N * 2
    assert reals.to_size(reals.floor(reals.multiply(size(N), number(0.5)))) == N // 2
    assert reals.to_size(reals.ceil(reals.divide(size(N), number(32.0)))) == (N + 31) // 32
    assert reals.to_size(reals.divide(size(N), number(3.0))) == N // 3
    assert reals.to_size(reals.subtract(reals.add(size(N), number(1.5)), number(0.5))) == N + 1


def test_a_ratio_of_sizes_is_exact_where_it_divides() -> None:
    assert reals.divide(size(N * 2), size(N)).numerator == 2
    assert reals.divide(size(M), size(N)).numerator is None


@pytest.mark.parametrize("factor", [0.1, 0.3333, 1e30, float("nan")])
def test_what_float32_may_round_is_left_to_the_run(factor: float) -> None:
    product = reals.floor(reals.multiply(size(N), number(factor)))
    assert product.numerator is None
    assert str(reals.to_size(product)).startswith("nn_to_i64(floorf(((f32)n * ")


def test_a_third_is_good_to_round_but_not_to_go_on_with() -> None:
    third = reals.divide(size(N), number(3.0))
    assert reals.floor(third).numerator == N // 3
    assert reals.multiply(third, number(3.0)).numerator is None
