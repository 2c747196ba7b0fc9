"""loops: which loops a Map becomes, and what they compute."""

from __future__ import annotations

import numpy as np
import pytest

from nnlet.compiler import compile_protos
from nnlet.compiler.load import from_proto
from nnlet.compiler.loops import EITHER, STEP, alike, nest
from nnlet.compiler.lower import lower
from nnlet.compiler.ops import OPS
from nnlet.compiler.program import Map
from nnlet.native import NativeModels
from tests.compiler.onnxtext import model

ADD = "f (float[n, 3, h, w] a, float[n, 3, k, l] b) => (float[n, 3, y, x] c) { c = Add (a, b) }"


def test_sizes_that_turn_out_equal_get_a_single_loop() -> None:
    steps = lower(from_proto(model(ADD), "m", OPS), "m", "1", OPS).steps
    (step,) = (s for s in steps if isinstance(s, Map))
    assert {kind for loop in nest(step) for kind in loop.kinds} == {STEP, EITHER}
    faster = alike(step)
    assert faster is not None
    (loop,) = nest(faster[1])
    assert loop.kinds == (STEP, STEP)
    assert faster[0].count("==") == 4


@pytest.fixture(scope="module")
def models() -> NativeModels:
    module = compile_protos([("m", "1", model(ADD))])
    return NativeModels(module.source, module.weights, level=0)


@pytest.mark.parametrize(
    "dims",
    [((5, 7), (5, 7)), ((1, 7), (5, 7)), ((5, 7), (5, 1)), ((5, 1), (1, 7)), ((1, 1), (1, 1))],
)
def test_both_loops_give_the_sum(
    models: NativeModels, dims: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    a, b = (np.random.default_rng(1).normal(size=(2, 3, *d)).astype("f4") for d in dims)
    (found,) = models.run("m", "1", {"a": a, "b": b})
    np.testing.assert_array_equal(found, a + b)
