"""Activation functions with parameters: one C expression each, and Dropout.

As in elementwise.py, with the attributes by name ({alpha}) and earlier steps as `$0`, `$1`.
"""

from __future__ import annotations

from nnlet.compiler.ctext import literal
from nnlet.compiler.site import Site
from nnlet.tensor import DATATYPES

BOOL = DATATYPES["BOOL"]

# Operator -> defaults of its attributes, steps of which the last is the result.
ACTIVATIONS: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
    "Celu": ({"alpha": 1.0}, ("@0 < 0 ? {alpha} * EXPM1({T})(@0 / {alpha}) : @0",)),
    "Elu": ({"alpha": 1.0}, ("@0 < 0 ? {alpha} * EXPM1({T})(@0) : @0",)),
    "HardSigmoid": (
        {"alpha": 0.2, "beta": 0.5},
        ("@0 * {alpha} + {beta}", "$0 < 0 ? 0 : $0 > 1 ? 1 : $0"),
    ),
    "HardSwish": (
        {},
        ("@0 * ({T})(1.0 / 6) + ({T})0.5", "@0 * ($0 < 0 ? 0 : $0 > 1 ? 1 : $0)"),
    ),
    "LeakyRelu": ({"alpha": 0.01}, ("@0 < 0 ? {alpha} * @0 : @0",)),
    "Mish": ({}, ("@0 * TANH({T})(SOFTPLUS({T})(@0))",)),
    "Selu": (
        {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
        ("{gamma} * (@0 < 0 ? {alpha} * EXPM1({T})(@0) : @0)",),
    ),
    "Shrink": (
        {"bias": 0.0, "lambd": 0.5},
        ("@0 < -{lambd} ? @0 + {bias} : @0 > {lambd} ? @0 - {bias} : 0",),
    ),
    "Swish": ({"alpha": 1.0}, ("@0 * SIGMOID({T})({alpha} * @0)",)),
    "ThresholdedRelu": ({"alpha": 1.0}, ("@0 > {alpha} ? @0 : 0",)),
}

GELU = {
    "none": ("({T})0.5 * @0 * (1 + ERF({T})(@0 * ({T})0.7071067811865476))",),
    "tanh": (
        "@0 + ({T})0.044715 * @0 * @0 * @0",
        "({T})0.5 * @0 * (1 + TANH({T})(({T})0.7978845608028654 * $0))",
    ),
}


def activation(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Elu.html and others."""
    x = s.input(0)
    if x.dtype.kind != "f":
        s.unsupported(f"tensors of type {x.dtype.onnx_name}")
    defaults, steps = ACTIVATIONS[s.node.op]
    attrs = {name: literal(s.attr(name, value), x.dtype) for name, value in defaults.items()}
    s.map(0, x.dtype, [x], *((x.dtype, t.format(T=x.dtype.c, **attrs)) for t in steps))


def gelu(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Gelu.html"""
    x = s.input(0)
    steps = GELU.get(s.attr("approximate", "none"))
    if steps is None:
        s.unsupported(f"approximate = {s.attr('approximate')!r}")
    s.map(0, x.dtype, [x], *((x.dtype, t.format(T=x.dtype.c)) for t in steps))


def dropout(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Dropout.html

    Inference only: the input as it is, and a mask that keeps everything. Training with a
    ratio of zero is the same.
    """
    x, ratio, training = s.input(0), s.optional(1), s.optional(2)
    if training is not None:
        trains, drops = s.const(2), s.const(1)
        if (trains is None or trains.any()) and (drops is None or drops.any()):
            unchanged = f"!{s.pointer(training)}[0]"
            if ratio is not None:
                unchanged += f" || {s.pointer(ratio)}[0] == 0"
            s.check(unchanged, "training is not supported")
    s.alias(0, x, x.dims)
    if s.has_output(1):
        kept = x.dtype if s.opset < 10 else BOOL
        s.map(1, kept, [x], (kept, "1"))
