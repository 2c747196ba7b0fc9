"""Dims: sizes that are equal are equal Exprs."""

import pytest

from nnlet.compiler import dims as d

N, H = d.symbol("n"), d.symbol("h")


def test_ints_stay_ints() -> None:
    assert d.product([2, 3, 4]) == 24
    assert d.floordiv(7, 2) == 3
    assert d.ceildiv(7, 2) == 4
    assert d.maximum(3, 5) == 5 and d.minimum(3, 5) == 3


def test_equal_sums_and_products_are_equal() -> None:
    assert N + H == H + N
    assert N * H * 2 == 2 * H * N
    assert (N + 1) * 2 == N * 2 + 2
    assert N - N == 0
    assert N * 0 == 0
    assert (N + 3) - N == 3


def test_division_is_exact_where_the_polynomial_divides() -> None:
    assert (N * H * 64) // (N * 8) == H * 8
    assert (N * 4 + 8) // 4 == N + 2
    assert N // N == 1
    assert d.ceildiv(N * 6, 3) == N * 2


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (5, "5"),
        (-5, "(-5)"),
        (N, "n"),
        (N * 2, "(2 * n)"),
        (N * H, "(h * n)"),
        (N - 1, "(n - 1)"),
        (1 - N, "(-n + 1)"),
        ((N + 1) // 2, "nn_floordiv((n + 1), 2)"),
        (d.maximum(N, 3), "nn_max(n, 3)"),
    ],
)
def test_c_text(dim: d.Dim, text: str) -> None:
    assert d.c(dim) == text


def test_static_means_ints_only() -> None:
    assert d.static([1, 2]) and d.static([])
    assert not d.static([1, N])
