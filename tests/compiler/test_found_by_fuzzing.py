"""What benchmarks/fuzz_compiler.py found once, each in the smallest model that shows it."""

import numpy as np
import pytest

from nnlet.compiler import compile_protos
from nnlet.errors import CompileError, InferenceError
from nnlet.native import NativeModels

from .onnxtext import model


def test_caches_of_different_lengths_are_refused() -> None:
    proto = model(
        """f (float[1, 2, 3, 4] q, float[1, 2, 3, 4] k, float[1, 2, 3, 4] v,
              float[1, 2, 5, 4] past_key, float[1, 2, 4, 4] past_value)
        => (float[1, 2, 3, 4] y, float[a, b, c, d] key, float[e, g, h, i] value) {
            y, key, value = Attention (q, k, v, , past_key, past_value)
        }""",
        opset=23,
    )
    with pytest.raises(CompileError, match="lengths of both caches: 5 and 4 should be equal"):
        compile_protos([("m", "1", proto)])


def test_an_axis_that_a_constant_does_not_have_is_refused() -> None:
    proto = model(
        "f (float[n] x) => (float[n] y) { s = Gather <axis = 3> (table, place)  y = Mul (x, s) }",
        constants={"table": np.ones(4, np.float32), "place": np.array(1)},
    )
    with pytest.raises(CompileError, match="axis 3 is outside a tensor of rank 1"):
        compile_protos([("m", "1", proto)])


def test_as_many_parts_as_outputs_are_expected() -> None:
    proto = model(
        "f (float[6] x) => (float[3] y, float[3] z) { y, z = Split <num_outputs = 2147483648> (x) }"
    )
    with pytest.raises(CompileError, match="num_outputs is 2147483648: it has 2 outputs"):
        compile_protos([("m", "1", proto)])


def test_a_block_without_a_pixel_is_refused() -> None:
    proto = model(
        """f (float[1, 4, 4] x, int64[2] image, int64[2] block) => (float[a, b, c, d] y) {
            y = Col2Im (x, image, block)
        }"""
    )
    module = compile_protos([("m", "1", proto)])
    models = NativeModels(module.source, module.weights)
    x, image = np.ones((1, 4, 4), np.float32), np.array([3, 3])
    with pytest.raises(InferenceError, match="a block of size 0"):
        models.run("m", "1", {"x": x, "image": image, "block": np.array([0, 1])})
    (answer,) = models.run("m", "1", {"x": x, "image": image, "block": np.array([2, 2])})
    assert answer.shape == (1, 1, 3, 3)
