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


SIZE, OTHER = d.size_symbol("s"), d.size_symbol("o")


def test_one_size_is_written_in_one_way() -> None:
    assert (SIZE - 1) // 2 + 1 == (SIZE + 1) // 2
    assert (SIZE * 4 + 6) // 2 == SIZE * 2 + 3
    assert d.ceildiv(SIZE, 2) == (SIZE + 1) // 2
    assert d.minimum(3, SIZE) == d.minimum(SIZE, 3)


def test_what_is_never_negative_is_known() -> None:
    assert d.nonnegative(SIZE * OTHER + 1)
    assert d.nonnegative((SIZE + 1) // 2)
    assert d.nonnegative(d.maximum(N, 0)) and d.nonnegative(d.minimum(SIZE, OTHER))
    assert not d.nonnegative(N) and not d.nonnegative(SIZE - 1)


def test_what_is_never_negative_decides() -> None:
    assert d.maximum(SIZE, 0) == SIZE
    assert d.minimum(SIZE + 2, SIZE) == SIZE
    assert d.compare(SIZE, "==", -1) == 0
    assert d.compare(SIZE, "<", SIZE + 1) == 1
    assert d.compare(SIZE, "<=", SIZE) == 1
    assert d.select(d.compare(SIZE, "==", -1), 1, OTHER) == OTHER
    assert str(d.compare(SIZE, "==", OTHER)) == "(s == o)"


def test_division_cuts_towards_zero_as_onnx_does() -> None:
    assert [d.truncdiv(a, 2) for a in (5, -5, 4)] == [2, -2, 2]
    assert d.truncdiv(SIZE, 2) == SIZE // 2
    assert str(d.truncdiv(SIZE - OTHER, 2)) == "nn_truncdiv((-o + s), 2)"


def test_division_by_zero_is_zero() -> None:
    assert d.floordiv(5, 0) == d.ceildiv(5, 0) == d.truncdiv(5, 0) == 0


def test_calls_are_replaced_by_variables() -> None:
    half = SIZE // 2
    (call,) = d.calls(half * 3 + SIZE)
    assert call == "nn_floordiv(s, 2)"
    assert d.replaced(half * 3 + SIZE, {call: OTHER}) == OTHER * 3 + SIZE
