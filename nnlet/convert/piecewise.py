"""piecewise: a transform of one column that is a polynomial between knots, as ONNX.

Splines, centred and scaled columns, orthogonal polynomials: formulas know many, each with
what it remembers of the training data. They are asked for their values at a few places of each
interval, which gives the polynomials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnlet.convert.converted import Array
from nnlet.convert.writer import Writer
from nnlet.errors import ConvertError


@dataclass(frozen=True)
class Piecewise:
    """`evaluate`: float64 [N] to [N, K]. `knots`: where one polynomial of `degree` becomes
    another. `outside`: whether it has values below the first knot and above the last; else
    NaN is answered there."""

    evaluate: Callable[[Array], Array]
    knots: tuple[float, ...]
    degree: int
    outside: bool = True

    @property
    def width(self) -> int:
        """How many columns it makes."""
        starts, ends = self._intervals()
        return int(self._values((starts[:1] + ends[:1]) / 2).shape[1])

    def write(self, graph: Writer, x: str) -> str:
        """Its values [N, K] at x [N, 1]. Raises ConvertError if it is no such polynomial."""
        starts, ends = self._intervals()
        middles, halves = (starts + ends) / 2, (ends - starts) / 2
        coefficients = np.stack(
            [self._polynomial(m, h) for m, h in zip(middles, halves, strict=True)]
        )  # [intervals, degree + 1, K]
        one_hot = self._interval(graph, x, starts)
        u = graph.node(
            "Div",
            graph.node("Sub", x, graph.node("MatMul", one_hot, middles.reshape(-1, 1))),
            graph.node("MatMul", one_hot, halves.reshape(-1, 1)),
        )
        value = graph.node("MatMul", one_hot, coefficients[:, -1])  # each row its interval's
        for power in range(self.degree - 1, -1, -1):
            term = graph.node("MatMul", one_hot, coefficients[:, power])
            value = graph.node("Add", graph.node("Mul", value, u), term)
        return value if self.outside else self._bounded(graph, x, value)

    def _interval(self, graph: Writer, x: str, starts: Array) -> str:
        """One-hot [N, intervals]: the last that begins at or below x; the first for NaN."""
        if len(starts) == 1:
            return graph.constant([[1.0]])
        passed = graph.cast(graph.node("GreaterOrEqual", x, starts[1:].reshape(1, -1)))
        place = graph.node("ReduceSum", passed, graph.integers(1), keepdims=1)
        number = np.arange(float(len(starts))).reshape(1, -1)
        return graph.cast(graph.node("Equal", place, number))

    def _bounded(self, graph: Writer, x: str, value: str) -> str:
        """NaN outside the knots, where the library raises an error."""
        low = graph.node("Less", x, self.knots[0])
        high = graph.node("Greater", x, self.knots[-1])
        return graph.node("Where", graph.node("Or", low, high), float("nan"), value)

    def _intervals(self) -> tuple[Array, Array]:
        """Where polynomials begin and end; those outside as wide as all between."""
        knots = np.unique(np.asarray(self.knots, np.float64))
        if len(knots) < 2:
            centre = float(knots[0]) if len(knots) else 0.0
            return np.array([centre - 1.0]), np.array([centre + 1.0])
        if self.outside:
            width = knots[-1] - knots[0]
            knots = np.array([knots[0] - width, *knots, knots[-1] + width])
        return knots[:-1], knots[1:]

    def _polynomial(self, middle: float, half: float) -> Array:
        """The coefficients [degree + 1, K] in u = (x - middle) / half, the constant first."""
        u = np.cos(np.pi * (np.arange(self.degree + 1) + 0.5) / (self.degree + 1))
        values = self._values(middle + half * u)
        powers = np.vander(u, self.degree + 1, increasing=True)
        found: Array = np.linalg.solve(powers, values)
        between = np.array([-0.77, 0.31, 0.93])
        again = np.vander(between, self.degree + 1, increasing=True) @ found
        wanted = self._values(middle + half * between)
        if not np.allclose(again, wanted, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(values).max())):
            raise ConvertError(f"it is no polynomial of degree {self.degree} between its knots")
        return found

    def _values(self, x: Array) -> Array:
        found = np.asarray(self.evaluate(x), np.float64)
        return found.reshape(len(x), -1)
