"""fold: what is computed at compile time, and what is left for the run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from nnlet.compiler.load import from_proto
from nnlet.compiler.lower import lower
from nnlet.compiler.ops import OPS
from nnlet.compiler.program import Program
from tests.compiler.onnxtext import model


def program(body: str, **constants: Any) -> Program:
    graph = f"f (float[n] x) => (float[m] y) {{ {body} }}"
    proto = model(graph, constants={name: np.asarray(c) for name, c in constants.items()})
    return lower(from_proto(proto, "m", OPS), "m", "1", OPS)


def shipped(found: Program) -> int:
    """Elements of all constants."""
    return sum(array.size for array in found.constants.values())


def test_constant_nodes_leave_nothing_for_the_run() -> None:
    found = program("t = Transpose (c) s = ReduceSum (t) y = Add (x, s)", c=np.ones((2, 3), "f4"))
    assert len(found.steps) == 1 and shipped(found) == 0


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("z = ConstantOfShape (s) e = Reshape (z, f) y = Add (x, e)", {"s": [1000, 1000]}),
        ("t = Tile (c, s) e = Reshape (t, f) y = Add (x, e)", {"c": np.ones(9, "f4"), "s": [9999]}),
        ("p = Pad (c, s) y = Add (x, p)", {"c": np.ones(9, "f4"), "s": [0, 99999]}),
        ("o = Add (c, d) e = Reshape (o, f) y = Add (x, e)",
         {"c": np.ones((9000, 1), "f4"), "d": np.ones(9000, "f4")}),
        ("g = Gather (c, d) e = Reshape (g, f) y = Add (x, e)",
         {"c": np.ones((2, 9000), "f4"), "d": np.zeros(9000, np.int64)}),
        ("r = Range (a, b, c) y = Add (x, r)",
         {"a": np.float32(0), "b": np.float32(1e8), "c": np.float32(1)}),
    ],
)  # fmt: skip
def test_results_that_grow_are_computed_in_the_run(body: str, constants: dict[str, Any]) -> None:
    start = time.perf_counter()
    found = program(body, f=[-1], **constants)
    assert shipped(found) < 30_000
    assert time.perf_counter() - start < 2


def test_random_numbers_are_not_folded() -> None:
    graph = "f (float[n] x) => (float[m] y) { d = Dropout (c) y = Add (x, d) }"
    proto = model(graph, constants={"c": np.ones(3, "f4")})
    with pytest.raises(Exception, match="Dropout"):
        lower(from_proto(proto, "m", {**OPS, "Dropout": OPS["Identity"]}), "m", "1", {})
