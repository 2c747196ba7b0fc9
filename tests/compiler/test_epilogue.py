"""Epilogues: which elementwise steps join the product before them, with the same answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from onnx import ModelProto

from nnlet.compiler.epilogue import fuse_epilogues
from nnlet.compiler.load import from_proto
from nnlet.compiler.lower import lower
from nnlet.compiler.ops import OPS
from nnlet.compiler.program import Map
from nnlet.native import NativeModels
from tests.compiler.onnxtext import model
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(8)


def data(*shape: int) -> Array:
    return RNG.normal(size=shape).astype("f4")


CONV = "f (float[n, 4, h, w] x) => (float[n, 8, a, b] y)"
DENSE = "f (float[n, m, 5] x) => (float[n, m, 7] y)"


@dataclass(frozen=True)
class Chain:
    """A body, its constants, and how many elementwise steps are left of it."""

    head: str
    body: str
    constants: dict[str, Array]
    left: int = 0

    @property
    def proto(self) -> ModelProto:
        return model(f"{self.head} {{ {self.body} }}", opset=17, constants=self.constants)


KERNEL = {"k": data(8, 4, 3, 3), "c": data(8)}
WEIGHTS = {"w": data(5, 7), "c": data(7)}
SIX = {"zero": np.float32(0), "six": np.float32(6), "low": np.float32(-0.5)}

CHAINS = {
    "conv-relu": Chain(CONV, "t = Conv (x, k, c) y = Relu (t)", KERNEL),
    "conv-relu6": Chain(CONV, "t = Conv (x, k, c) y = Clip (t, zero, six)", {**KERNEL, **SIX}),
    "conv-max": Chain(CONV, "t = Conv (x, k, c) y = Clip (t, , six)", {**KERNEL, **SIX}),
    "conv-clip-clip": Chain(
        CONV, "t = Conv (x, k) u = Relu (t) y = Clip (u, low, six)", {**KERNEL, **SIX}
    ),
    "conv-bias": Chain(CONV, "t = Conv (x, k) y = Add (b, t)", {**KERNEL, "b": data(8, 1, 1)}),
    "conv-second-bias": Chain(
        CONV, "t = Conv (x, k, c) y = Add (b, t)", {**KERNEL, "b": data(8, 1, 1)}, left=1
    ),
    "conv-residual": Chain(
        CONV, "t = Conv (x, k, c) u = Conv (x, k) v = Add (t, u) y = Relu (v)", KERNEL
    ),
    "conv-twice-itself": Chain(CONV, "t = Conv (x, k, c) y = Add (t, t)", KERNEL, left=1),
    "conv-read-twice": Chain(
        CONV, "t = Conv (x, k, c) u = Relu (t) y = Mul (t, u)", KERNEL, left=2
    ),
    "conv-sum-behind-limit": Chain(
        CONV,
        "t = Conv (x, k, c) u = Relu (t) y = Add (u, b)",
        {**KERNEL, "b": data(8, 1, 1)},
        left=1,
    ),
    "depthwise": Chain(
        "f (float[n, 4, h, w] x) => (float[n, 4, a, b] y)",
        "t = Conv <group = 4> (x, k, c) u = Add (t, b) y = Relu (u)",
        {"k": data(4, 1, 3, 3), "c": data(4), "b": data(1, 4, 1, 1)},
        left=2,
    ),
    "winograd": Chain(
        "f (float[n, 16, h, w] x) => (float[n, 16, h, w] y)",
        "t = Conv <pads = [1, 1, 1, 1]> (x, k, c) u = Add (x, t) y = Clip (u, low, six)",
        {"k": data(16, 16, 3, 3), "c": data(16), **SIX},
    ),
    "matmul-bias-relu": Chain(
        DENSE, "t = MatMul (x, w) u = Add (t, c) y = Relu (u)", WEIGHTS
    ),
    "matmul-residual": Chain(
        DENSE, "t = MatMul (x, w) u = MatMul (x, w) v = Add (c, t) y = Add (v, u)", WEIGHTS
    ),
    "matmul-scalar": Chain(
        DENSE, "t = MatMul (x, w) y = Add (t, six)", {**WEIGHTS, **SIX}, left=1
    ),
    "gemm": Chain(
        "f (float[n, 5] x) => (float[n, 7] y)", "t = Gemm (x, w, c) y = Relu (t)", WEIGHTS
    ),
    "gemm-scaled": Chain(
        "f (float[n, 5] x) => (float[n, 7] y)",
        "t = Gemm <beta = 0.5> (x, w, c) y = Relu (t)",
        WEIGHTS,
        left=2,
    ),
}  # fmt: skip

SHAPES = {"n, m, 5": (2, 3, 5), "n, 5": (3, 5), "n, 4,": (2, 4, 9, 10), "n, 16,": (1, 16, 9, 10)}


def case(name: str, chain: Chain) -> Case:
    (shape,) = (shape for text, shape in SHAPES.items() if f"[{text}" in chain.head.split("=>")[0])
    return Case(name, chain.proto, {"x": data(*shape)}, rtol=1e-4, atol=1e-4)


CASES = [case(name, chain) for name, chain in CHAINS.items()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_onnxruntime(models: NativeModels, case: Case) -> None:
    check(models, case)


@pytest.mark.parametrize("name", CHAINS)
def test_steps_that_are_left(name: str) -> None:
    program = lower(from_proto(CHAINS[name].proto, "m", OPS), "m", "1", OPS)
    steps = fuse_epilogues(program).steps
    assert sum(isinstance(step, Map) for step in steps) == CHAINS[name].left
