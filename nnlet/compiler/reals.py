"""Reals: sizes on their way through floating point.

Exports scale sizes as Cast -> Mul or Div -> Floor or Ceil -> Cast. A Real is the C text that
computes such a number as the model says, in its own precision, and, where rounding cannot
show, also its exact value as a fraction: floor and ceil of that are sizes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import literal
from nnlet.compiler.dims import Dim
from nnlet.tensor import DataType

# Sizes lie below 2^31 and are exact in float32 below 2^24: fractions of so few bits stay exact
# for every size that a network sees.
MAX_DENOMINATOR = 2**10
MAX_NUMERATOR = 2**16


@dataclass(frozen=True)
class Real:
    """A floating-point number made of sizes.

    Its exact value is numerator / denominator, None where that is not known. `rounded` says
    that the division is inexact in floating point: good to round to an integer, but what is
    computed with it goes by the text.
    """

    text: str
    dtype: DataType
    numerator: Dim | None = None
    denominator: int = 1
    rounded: bool = False

    def __str__(self) -> str:
        return self.text


def of_size(size: Dim, dtype: DataType) -> Real:
    """The size as a number."""
    text = literal(size, dtype) if isinstance(size, int) else f"({dtype.c}){d.c(size)}"
    return Real(text, dtype, size)


def of_number(number: float, dtype: DataType) -> Real:
    """A constant."""
    text = literal(number, dtype)
    if number != number or abs(number) > MAX_NUMERATOR:
        return Real(text, dtype)
    exact = Fraction(number)
    if exact.denominator > MAX_DENOMINATOR:
        return Real(text, dtype)
    return Real(text, dtype, exact.numerator, exact.denominator)


def add(a: Real, b: Real) -> Real:
    """a + b"""
    value = None
    if a.numerator is not None and b.numerator is not None:
        value = a.numerator * b.denominator + b.numerator * a.denominator
    return _result(f"({a} + {b})", (a, b), value, a.denominator * b.denominator)


def subtract(a: Real, b: Real) -> Real:
    """a - b"""
    value = None
    if a.numerator is not None and b.numerator is not None:
        value = a.numerator * b.denominator - b.numerator * a.denominator
    return _result(f"({a} - {b})", (a, b), value, a.denominator * b.denominator)


def multiply(a: Real, b: Real) -> Real:
    """a * b"""
    value = None
    if a.numerator is not None and b.numerator is not None:
        value = a.numerator * b.numerator
    return _result(f"({a} * {b})", (a, b), value, a.denominator * b.denominator)


def divide(a: Real, b: Real) -> Real:
    """a / b"""
    text = f"({a} / {b})"
    if a.numerator is None or b.numerator is None:
        return Real(text, a.dtype)
    above, below = a.numerator * b.denominator, b.numerator * a.denominator
    if isinstance(below, int) and below > 0:
        return _result(text, (a, b), above, below)
    quotient = d.exact(above, below)
    return _result(text, (a, b), quotient, 1)


def floor(a: Real) -> Real:
    """The integer not above a."""
    size = None if a.numerator is None else d.floordiv(a.numerator, a.denominator)
    return _integer("floor", a, size)


def ceil(a: Real) -> Real:
    """The integer not below a."""
    size = None if a.numerator is None else d.ceildiv(a.numerator, a.denominator)
    return _integer("ceil", a, size)


def to_size(a: Real) -> Dim:
    """The number cut to an integer, as Cast does."""
    if a.numerator is not None and (a.denominator == 1 or d.nonnegative(a.numerator)):
        return d.floordiv(a.numerator, a.denominator)
    return d.symbol(f"nn_to_i64({a})")


def _integer(function: str, a: Real, size: Dim | None) -> Real:
    c_name = function if a.dtype.size == 8 else f"{function}f"
    return Real(f"{c_name}({a})", a.dtype, size)


def _result(text: str, terms: tuple[Real, Real], numerator: Dim | None, denominator: int) -> Real:
    """The fraction in lowest terms, if it is the exact value of `text`."""
    dtype = terms[0].dtype
    if numerator is None or any(t.rounded for t in terms):
        return Real(text, dtype)
    common = gcd(denominator, *d.coefficients(numerator))
    numerator, denominator = d.floordiv(numerator, common), denominator // common
    if denominator > MAX_DENOMINATOR:
        return Real(text, dtype)
    power_of_two = denominator & (denominator - 1) == 0
    return Real(text, dtype, numerator, denominator, rounded=not power_of_two)
