"""Size: what a provider takes beyond its weights, on disk and in memory, and what gemm.h leaves out
where no model needs it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from benchmarks.served import perceptron
from nnlet.compiler import CModule, compile_protos
from nnlet.component import FLAVOURS, build_component
from nnlet.provider import Provider
from tests.compiler.onnxtext import model
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(12)
DIGITS = Path(__file__).parent.parent.parent / "models" / "digits" / "1" / "model.onnx"


def data(*shape: int) -> Array:
    return (RNG.normal(size=shape) / 8).astype("f4")


def module(proto: ModelProto) -> CModule:
    return compile_protos([("m", "1", proto)])


@pytest.mark.parametrize(
    "proto,most", [(perceptron(), 16_000), (onnx.load(DIGITS), 40_000)], ids=["mlp", "digits"]
)
def test_a_provider_is_small_beyond_its_weights(proto: ModelProto, most: int) -> None:
    c = module(proto)
    for flavour in FLAVOURS:
        assert len(build_component(c.source, c.weights, flavour)) - len(c.weights) <= most


def test_memory_is_weights_once_and_planned_values() -> None:
    proto = onnx.load(DIGITS)
    c = module(proto)
    models = Provider(build_component(c.source, c.weights))
    port = proto.graph.input[0]
    shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
    x = np.zeros(shape, "f4")
    for _ in range(3):  # later runs take what earlier ones gave back
        models.run("m", "1", {port.name: x})
    planned = re.search(r'NN_TAKE\(arena, nn_scratch, "the model", (\d+)\)', c.source)
    assert planned is not None and int(planned[1]) > 100_000
    beyond = models.memory_bytes() - len(c.weights) - int(planned[1])
    assert 0 < beyond < 1 << 20


DENSE = "f (float[n, {k}] x) => (float[n, 9] y)"
CONV = "f (float[n, {k}, 5, 6] x) => (float[n, 4, a, b] y)"


def products() -> list[tuple[str, ModelProto, str]]:
    """A model each, and which of row, column, add and small its code has."""

    def dense(k: int, body: str, *constants: str) -> ModelProto:
        known = {"w": data(k, 9), "c": data(9), "r": data(1, 9)}
        chosen = {name: known[name] for name in ("w", *constants)}
        return model(f"{DENSE.format(k=k)} {{ {body} }}", opset=17, constants=chosen)

    def conv(k: int, *inputs: str) -> ModelProto:
        known = {"w": data(4, k, 3, 3), "c": data(4)}
        chosen = {name: known[name] for name in ("w", *inputs)}
        text = f"y = Conv ({', '.join(['x', 'w', *inputs])})"
        return model(f"{CONV.format(k=k)} {{ {text} }}", opset=17, constants=chosen)

    return [
        ("a product alone", dense(17, "y = MatMul (x, w)"), "0001"),
        ("a bias", dense(17, "y = Gemm (x, w, c)", "c"), "0101"),
        ("sums in parts", dense(300, "y = MatMul (x, w)"), "0011"),
        ("large weights", dense(3000, "y = Gemm (x, w, c)", "c"), "0110"),
        ("a convolution", conv(5), "0000"),
        ("its bias", conv(5, "c"), "1000"),
        ("its sums in parts", conv(40, "c"), "1010"),
    ]


@pytest.mark.parametrize("name,proto,flags", products(), ids=lambda x: x if " " in str(x) else "")
def test_only_what_a_model_needs_is_there(name: str, proto: ModelProto, flags: str) -> None:
    names = ("ROW", "COLUMN", "ADD", "SMALL")
    lines = module(proto).source.splitlines()[:4]
    assert lines == [f"#define GEMM_{n} {f}" for n, f in zip(names, flags, strict=True)]
    for rows in (1, 5, 13):
        dims = [d.dim_value or rows for d in proto.graph.input[0].type.tensor_type.shape.dim]
        case = Case("m", proto, {"x": data(*dims)}, rtol=1e-4, atol=1e-5)
        check(compiled([case]), case)
