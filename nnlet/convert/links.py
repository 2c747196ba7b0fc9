"""links: from the linear predictor to the mean, for every link of statsmodels, as ONNX.

Two functions have no operator in float64 everywhere, the normal distribution and the
arctangent. They are polynomials here, fitted to what SciPy and NumPy compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special
from statsmodels.genmod.families import links

from nnlet.convert.converted import Array
from nnlet.convert.writer import Writer
from nnlet.errors import ConvertError

Inverse = Callable[[Writer, Any, str], str]


def inverse(graph: Writer, link: Any, z: str) -> str:
    """The mean at the linear predictor `z`. Raises ConvertError for a link that is not here."""
    kind: Any = type(link)
    for cls in kind.__mro__:
        if cls in _INVERSES and kind.inverse is cls.inverse:  # not one that a subclass changed
            return _INVERSES[cls](graph, link, z)
    raise ConvertError(
        f"the link {type(link).__name__} is not one of statsmodels.genmod.families.links: its "
        "inverse cannot be written as ONNX. Fit the model with one of those, or export ONNX "
        "yourself and add the file"
    )


def distribution(graph: Writer, dbn: Any, z: str) -> str:
    """The cumulative distribution function of one of SciPy's continuous distributions."""
    write = _DISTRIBUTIONS.get(getattr(dbn, "name", ""))
    if write is None:
        raise ConvertError(
            f"the distribution {getattr(dbn, 'name', dbn)!r} of a CDFLink is not known: "
            f"{', '.join(sorted(_DISTRIBUTIONS))} are"
        )
    return write(graph, z)


def normal(graph: Writer, z: str) -> str:
    """The standard normal distribution function, to the last digits also far out.

    With x = |z|/sqrt(2) and t = 2/(2+x): erfc(x) = t exp(-x² + P(t)), P a polynomial.
    """
    x = graph.node("Mul", graph.node("Abs", z), float(np.sqrt(0.5)))
    t = graph.node("Div", 2.0, graph.node("Add", x, 2.0))
    exponent = graph.node("Sub", _polynomial(graph, t, _ERFC), graph.node("Mul", x, x))
    tail = graph.node("Mul", graph.node("Mul", t, 0.5), graph.node("Exp", exponent))
    rest = graph.node("Sub", 1.0, tail)
    return graph.node("Where", graph.node("Less", z, 0.0), tail, rest)


def cauchy(graph: Writer, z: str) -> str:
    """1/2 + arctan(z)/pi, with the arctangent of 1/z where |z| > 1."""
    size = graph.node("Abs", z)
    steep = graph.node("Greater", size, 1.0)
    one = graph.node("Max", size, 1.0)
    small = graph.node("Where", steep, graph.node("Reciprocal", one), size)
    square = graph.node("Mul", small, small)
    angle = graph.node("Mul", small, _polynomial(graph, square, _ARCTAN))  # arctan(small) / pi
    tail = graph.node("Where", steep, angle, graph.node("Sub", 0.5, angle))
    rest = graph.node("Sub", 1.0, tail)
    return graph.node("Where", graph.node("Less", z, 0.0), tail, rest)


def _logistic(graph: Writer, z: str) -> str:
    """1 / (1 + exp(-z)): onnxruntime's Sigmoid has few right digits far out, also in float64."""
    inner = graph.node("Exp", graph.node("Neg", z))
    return graph.node("Reciprocal", graph.node("Add", inner, 1.0))


def _exp(graph: Writer, z: str) -> str:
    return graph.node("Exp", z)


def _log_log(graph: Writer, z: str) -> str:
    """exp(-exp(-z))"""
    inner = graph.node("Exp", graph.node("Neg", z))
    return graph.node("Exp", graph.node("Neg", inner))


def _complementary_log_log(graph: Writer, z: str) -> str:
    """1 - exp(-exp(z))"""
    return _minus(graph, graph.node("Exp", graph.node("Neg", graph.node("Exp", z))))


def _power(graph: Writer, link: Any, z: str) -> str:
    """z to the 1/power, with operators of their own for the powers that have a name."""
    power = float(link.power)
    if power == 1:
        return z
    if power == -1:
        return graph.node("Reciprocal", z)
    if power == 0.5:
        return graph.node("Mul", z, z)
    return graph.node("Pow", z, 1 / power)


def _negative_binomial(graph: Writer, link: Any, z: str) -> str:
    """-1 / (alpha (1 - exp(-z)))"""
    return graph.node(
        "Div", -1 / float(link.alpha), _minus(graph, graph.node("Exp", graph.node("Neg", z)))
    )


def _minus(graph: Writer, value: str) -> str:
    return graph.node("Sub", 1.0, value)


_DISTRIBUTIONS: Mapping[str, Callable[[Writer, str], str]] = {
    "norm": normal,
    "cauchy": cauchy,
    "logistic": _logistic,
    "gumbel_l": _complementary_log_log,
    "gumbel_r": _log_log,
}

_INVERSES: Mapping[type, Inverse] = {
    links.Logit: lambda graph, link, z: _logistic(graph, z),
    links.Power: _power,
    links.Log: lambda graph, link, z: _exp(graph, z),
    links.LogC: lambda graph, link, z: _minus(graph, _exp(graph, z)),
    links.CDFLink: lambda graph, link, z: distribution(graph, link.dbn, z),
    links.CLogLog: lambda graph, link, z: _complementary_log_log(graph, z),
    links.LogLog: lambda graph, link, z: _log_log(graph, z),
    links.NegativeBinomial: _negative_binomial,
}


# Polynomials on [0, 1] --------------------------------------------------------


def _fitted(function: Callable[[Array], Array], degree: int) -> Array:
    """The coefficients in u = 2t - 1 of a polynomial near `function` on 0 < t <= 1."""
    chebyshev: Any = np.polynomial.chebyshev
    found = chebyshev.chebinterpolate(lambda u: function((u + 1) / 2), degree)
    coefficients: Array = chebyshev.cheb2poly(found)
    return coefficients


def _erfc_exponent(t: Array) -> Array:
    """log(erfc(x) exp(x²) / t) at x = 2/t - 2."""
    found: Array = np.log(special.erfcx(2 / t - 2) / t)
    return found


def _arctan_ratio(square: Array) -> Array:
    """arctan(x) / (pi x) at x² = square."""
    x = np.sqrt(square)
    found: Array = np.arctan(x) / x / np.pi
    return found


_ERFC = _fitted(_erfc_exponent, 26)
_ARCTAN = _fitted(_arctan_ratio, 22)


def _polynomial(graph: Writer, t: str, coefficients: Array) -> str:
    """The polynomial at values [N, K] of [0, 1], by Horner's rule."""
    u = graph.node("Sub", graph.node("Mul", t, 2.0), 1.0)
    value = graph.constant(float(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
        value = graph.node("Add", graph.node("Mul", value, u), float(coefficient))
    return value
