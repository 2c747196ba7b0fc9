"""Dimensions: an int where the size is known, else an Expr over run-time sizes.

An Expr is a polynomial with integer coefficients over atoms. An atom is C text: a variable
that the generated code declares ("n_batch") or a pure call on such ("nn_ceildiv(n_h, 2)").
Equal sizes have equal Exprs where this arithmetic can tell, so `==` decides what needs no
check at run time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from nnlet.errors import CompileError

Monomial = tuple[str, ...]  # atoms, sorted; () is the constant term


class Size(str):
    """An atom that is never negative."""


@dataclass(frozen=True)
class Expr:
    """A size known only at run time: sum of coefficient * atoms."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Dim) -> Dim:
        return _normal([*self.terms, *_terms(other)])

    def __radd__(self, other: int) -> Dim:
        return self + other

    def __mul__(self, other: Dim) -> Dim:
        return _normal(
            (tuple(sorted(a + b)), x * y) for a, x in self.terms for b, y in _terms(other)
        )

    def __rmul__(self, other: int) -> Dim:
        return self * other

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        return self * -1 + other

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return floordiv(other, self)

    def __str__(self) -> str:
        return c(self)


Dim = Union[int, Expr]  # noqa: UP007  (a type alias that 3.10 evaluates)


def symbol(name: str) -> Expr:
    """The Expr of one atom: a C variable or a pure C call. A Size stays one."""
    return Expr((((name,), 1),))


def size_symbol(name: str) -> Expr:
    """The same for an atom that is never negative."""
    return symbol(Size(name))


def nonnegative(dim: Dim) -> bool:
    """Whether `dim` is known to be at least 0 in every run."""
    return all(k >= 0 and all(isinstance(a, Size) for a in atoms) for atoms, k in _terms(dim))


def coefficients(dim: Dim) -> list[int]:
    """The coefficients of all terms."""
    return [k for _, k in _terms(dim)]


def calls(dim: Dim) -> list[str]:
    """The atoms of `dim` that are more than a variable, each once."""
    found = {a: a for atoms, _ in _terms(dim) for a in atoms if not re.fullmatch(r"\w+", a)}
    return list(found.values())


def replaced(dim: Dim, by: dict[str, Expr]) -> Dim:
    """`dim` with the atoms in `by` replaced."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for atoms, coefficient in dim.terms:
        total = total + coefficient * product(by.get(a) or symbol(a) for a in atoms)
    return total


def c(dim: Dim) -> str:
    """C text of the value, an i64 expression; parenthesized unless one token or call."""
    if isinstance(dim, int):
        if dim == -(2**63):
            return "INT64_MIN"  # which has no literal
        if abs(dim) >= 2**63:
            raise CompileError(f"a size of {dim} elements is out of range")
        return str(dim) if dim >= 0 else f"({dim})"
    text = ""
    for atoms, coefficient in dim.terms:
        factors = [*atoms] if abs(coefficient) == 1 and atoms else [str(abs(coefficient)), *atoms]
        sign = (" - " if coefficient < 0 else " + ") if text else ("-" if coefficient < 0 else "")
        text += sign + " * ".join(factors)
    single = len(dim.terms) == 1 and dim.terms[0][1] == 1 and len(dim.terms[0][0]) == 1
    return text if single else f"({text})"


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of `dims`."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def floordiv(a: Dim, b: Dim) -> Dim:
    """a // b, exact where the polynomial divides; 0 where b is 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b else 0
    quotient = exact(a, b)
    if quotient is not None:
        return quotient
    if not isinstance(b, int) or b < 0:
        return _call("nn_floordiv", a, b, _both(a, b))
    # Whole multiples of b leave the call, so that one size is written in one way:
    # (n - 1) // 2 + 1 is (n + 1) // 2.
    rest = _normal((atoms, k % b) for atoms, k in _terms(a))
    whole = _normal((atoms, k // b) for atoms, k in _terms(a))
    if whole != 0:
        return whole + floordiv(rest, b)
    return _call("nn_floordiv", rest, b, nonnegative(rest))


def ceildiv(a: Dim, b: Dim) -> Dim:
    """The smallest integer not below a / b; 0 where b is 0."""
    if isinstance(b, int) and b > 0:
        return floordiv(a + (b - 1), b)
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b) if b else 0
    quotient = exact(a, b)
    return quotient if quotient is not None else _call("nn_ceildiv", a, b, _both(a, b))


def truncdiv(a: Dim, b: Dim) -> Dim:
    """a / b, cut towards zero as ONNX's Div does; 0 where b is 0."""
    if isinstance(a, int) and isinstance(b, int):
        quotient = abs(a) // abs(b) if b else 0
        return quotient if (a < 0) == (b < 0) else -quotient
    if _both(a, b):
        return floordiv(a, b)
    return _call("nn_truncdiv", a, b, False)


def maximum(a: Dim, b: Dim) -> Dim:
    """max(a, b)."""
    difference = a - b
    if nonnegative(difference):
        return a
    if nonnegative(-difference):
        return b
    return _symmetric("nn_max", a, b, nonnegative(a) or nonnegative(b))


def minimum(a: Dim, b: Dim) -> Dim:
    """min(a, b)."""
    difference = a - b
    if nonnegative(difference):
        return b
    if nonnegative(-difference):
        return a
    return _symmetric("nn_min", a, b, _both(a, b))


def select(test: Dim, a: Dim, b: Dim) -> Dim:
    """a where `test` is not 0, else b."""
    if isinstance(test, int):
        return a if test else b
    if a == b:
        return a
    return symbol(_as(f"({c(test)} ? {c(a)} : {c(b)})", _both(a, b)))


def compare(a: Dim, operator: str, b: Dim) -> Dim:
    """1 where `a operator b` (C's ==, < or <=) holds, else 0."""
    difference = a - b
    least = 0 if operator == "<" else 1
    if nonnegative(difference - least):  # a > b, or a >= b for "<"
        return 0
    if operator == "==":
        if difference == 0:
            return 1
        if nonnegative(-difference - 1):
            return 0
    elif nonnegative(-difference - (operator == "<")):
        return 1
    return size_symbol(f"({c(a)} {operator} {c(b)})")


def _both(a: Dim, b: Dim) -> bool:
    return nonnegative(a) and nonnegative(b)


def _as(text: str, never_negative: bool) -> str:
    return Size(text) if never_negative else text


def _symmetric(function: str, a: Dim, b: Dim, never_negative: bool) -> Expr:
    """A call in which the order of the arguments makes no difference: written in one order."""
    first, second = sorted((a, b), key=lambda dim: (isinstance(dim, int), c(dim)))
    return _call(function, first, second, never_negative)


def _call(function: str, a: Dim, b: Dim, never_negative: bool) -> Expr:
    return symbol(_as(f"{function}({c(a)}, {c(b)})", never_negative))


def static(dims: Iterable[Dim]) -> bool:
    """Whether every size is known at compile time."""
    return all(isinstance(d, int) for d in dims)


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return ((((), dim)),) if isinstance(dim, int) else dim.terms


def _normal(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for atoms, coefficient in terms:
        total[atoms] = total.get(atoms, 0) + coefficient
    kept = {atoms: k for atoms, k in total.items() if k}
    if not kept:
        return 0
    if list(kept) == [()]:
        return kept[()]
    # Constant term last, as people write it.
    return Expr(tuple(sorted(kept.items(), key=lambda item: (item[0] == (), item[0]))))


def exact(a: Dim, b: Dim) -> Dim | None:
    """a / b if b is one monomial that divides every term of a."""
    divisor = _terms(b)
    if len(divisor) != 1:
        return 1 if a == b else None
    atoms, by = divisor[0]
    if by == 0:
        return None
    quotient = []
    for monomial, coefficient in _terms(a):
        rest = list(monomial)
        for atom in atoms:
            if atom not in rest:
                return None
            rest.remove(atom)
        if coefficient % by:
            return None
        quotient.append((tuple(rest), coefficient // by))
    return _normal(quotient)
