"""Elementwise operators against NumPy and onnxruntime: every type, edges, broadcasting."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(3)
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, 1e-30, 1e-42, -1e-42, 88.5, -87.0, -95.0, 1e30]
EDGES += [math.inf, -math.inf, math.nan, 104.5, -104.5, 1e-7, 0.3, -0.3, 20.0, -20.0]


def floats(dtype: Any = "f4") -> Array:
    """Edges, and more of all magnitudes: 331 in all, so that loops have tails."""
    spread = RNG.normal(size=307) * np.exp(RNG.normal(size=307) * 4)
    with np.errstate(all="ignore"):
        return np.concatenate([EDGES, spread]).astype(dtype)


def integers(dtype: str) -> Array:
    info = np.iinfo(dtype)
    some = RNG.integers(info.min, info.max, 93, dtype, endpoint=True)
    edges = np.array([info.min, info.max, 0, 1, 2, 3, info.max - 1], dtype)
    return np.concatenate([some, edges])


MATH = {
    "Acos": np.arccos, "Acosh": np.arccosh, "Asin": np.arcsin, "Asinh": np.arcsinh,
    "Atan": np.arctan, "Atanh": np.arctanh, "Ceil": np.ceil, "Cos": np.cos, "Cosh": np.cosh,
    "Erf": np.vectorize(math.erf), "Exp": np.exp, "Floor": np.floor, "Log": np.log,
    "Reciprocal": lambda x: 1 / x, "Round": np.rint, "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sign": np.sign, "Sin": np.sin, "Sinh": np.sinh,
    "Softplus": lambda x: np.logaddexp(0, x), "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt, "Tan": np.tan, "Tanh": np.tanh, "Abs": np.abs, "Neg": np.negative,
    "Relu": lambda x: np.maximum(x, 0),
}  # fmt: skip


def math_cases() -> list[Case]:
    """Within a few units in the last place of float64's answer."""
    found = []
    with np.errstate(all="ignore"):
        for op, function in MATH.items():
            for dtype, rtol in (("f4", 4e-7), ("f8", 1e-14)):
                x = floats(dtype)
                y = np.asarray(function(x.astype("f8"))).astype(dtype)
                tiny = float(np.finfo(dtype).tiny)
                found.append(
                    node_case(
                        op, [x], name=f"{op}-{dtype}", expected=[y], rtol=rtol, atol=tiny, opset=20
                    )
                )
    return found


ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("Celu", {}),
    ("Celu", {"alpha": 2.5}),
    ("Elu", {"alpha": 0.5}),
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("HardSigmoid", {"alpha": 0.4, "beta": 0.6}),
    ("HardSwish", {}),
    ("LeakyRelu", {"alpha": 0.2}),
    ("Mish", {}),
    ("Selu", {}),
    ("Selu", {"alpha": 2.0, "gamma": 3.0}),
    ("Shrink", {"bias": 0.25, "lambd": 1.5}),
    ("ThresholdedRelu", {"alpha": 0.7}),
]


def activation_cases() -> list[Case]:
    x = RNG.normal(size=(3, 37)).astype("f4") * 4
    return [
        node_case(op, [x], name=f"{op}-{n}", opset=20, rtol=1e-5, atol=1e-6, **attrs)
        for n, (op, attrs) in enumerate(ACTIVATIONS)
    ]


def wrapping(op: str, a: Array, b: Array) -> Array:
    """NumPy's answer, which wraps; division by zero is 0 and cuts off towards zero."""
    if op == "Div":
        with np.errstate(all="ignore"):
            quotient = np.floor_divide(a, b)
            inexact = (quotient * b != a) & (b != 0)
        return quotient + (inexact & ((a < 0) != (b < 0))).astype(a.dtype)
    functions: dict[str, Any] = {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Mod": np.mod, "Fmod": np.fmod,
        "Max": np.maximum, "Min": np.minimum, "BitwiseAnd": np.bitwise_and,
        "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        return np.asarray(functions[op](a, b))


def integer_cases() -> list[Case]:
    found = []
    for dtype in INTEGERS:
        a, b = integers(dtype), integers(dtype)[::-1].copy()
        for op in ("Add", "Sub", "Mul", "Div", "Mod", "Fmod", "Max", "Min"):
            attrs = {"fmod": 1} if op == "Fmod" else {}
            node = "Mod" if op == "Fmod" else op
            y = wrapping(op, a, b)
            name = f"{op}-{dtype}"
            found.append(node_case(node, [a, b], name=name, expected=[y], opset=18, **attrs))
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            y = wrapping(op, a, b)
            found.append(node_case(op, [a, b], name=f"{op}-{dtype}", expected=[y], opset=18))
        found.append(node_case("BitwiseNot", [a], name=f"Not-{dtype}", expected=[~a], opset=18))
        for op, function in (("Abs", np.abs), ("Sign", np.sign), ("Neg", np.negative)):
            if op != "Neg" or dtype[0] == "i":
                y = function(a)
                found.append(node_case(op, [a], name=f"{op}-{dtype}", expected=[y]))
    return found


def shift_cases() -> list[Case]:
    found = []
    for dtype in ("u1", "u2", "u4", "u8"):
        bits = np.dtype(dtype).itemsize * 8
        x, by = integers(dtype), RNG.integers(0, bits + 3, 100).astype(dtype)
        for direction in ("LEFT", "RIGHT"):
            shift = np.left_shift if direction == "LEFT" else np.right_shift
            inside = shift(x, np.minimum(by, bits - 1).astype(dtype))
            y = np.where(by < bits, inside, 0).astype(dtype)
            name = f"{direction}-{dtype}"
            case = node_case("BitShift", [x, by], name=name, expected=[y], direction=direction)
            found.append(case)
    return found


def comparison_cases() -> list[Case]:
    found = []
    for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        for dtype in ("f4", "f8", "i4", "i8", "u1"):
            make = floats if dtype[0] == "f" else integers
            a = make(dtype)
            b = np.where(RNG.random(a.shape) < 0.5, a, a[::-1])
            function = {"Equal": "equal", "LessOrEqual": "less_equal"}.get(op, op.lower())
            function = function.replace("greateror", "greater_")
            y = getattr(np, function)(a, b)
            name, outputs = f"{op}-{dtype}", [TensorProto.BOOL]
            found.append(node_case(op, [a, b], name=name, outputs=outputs, expected=[y], opset=16))
    return found


def float_cases() -> list[Case]:
    """What two floats give, with NaN and infinities among them."""
    a, b = floats(), floats()[::-1].copy()
    exact: dict[str, Any] = {
        "Add": np.add, "Div": np.divide, "Max": np.maximum, "Min": np.minimum,
        "Mul": np.multiply, "Sub": np.subtract,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        found = [
            node_case(op, [a, b], name=op, expected=[f(a, b)], rtol=0, atol=0)
            for op, f in exact.items()
        ]
        found += [
            node_case("Mod", [a, b], name="Fmod", expected=[np.fmod(a, b)], fmod=1, atol=0),
            node_case("PRelu", [a, b], name="PRelu", expected=[np.where(a < 0, a * b, a)], atol=0),
            node_case("Sum", [a, b, a], name="Sum", expected=[a + b + a], atol=0),
            node_case("Mean", [a, b, a], name="Mean", expected=[(a + b + a) / 3], atol=0),
            node_case("Mean", [a], name="Mean of one", expected=[a], atol=0),
        ]
    bools = [np.isinf(a), a == np.inf, a == -np.inf, np.zeros(a.shape, bool)]
    for n, (y, signs) in enumerate(zip(bools, ((1, 1), (1, 0), (0, 1), (0, 0)), strict=True)):
        attrs = dict(zip(("detect_positive", "detect_negative"), signs, strict=True))
        outputs = [TensorProto.BOOL]
        case = node_case("IsInf", [a], name=f"IsInf-{n}", outputs=outputs, expected=[y], **attrs)
        found.append(case)
    found.append(node_case("IsNaN", [a], outputs=[TensorProto.BOOL], expected=[np.isnan(a)]))
    return found


def power_cases() -> list[Case]:
    found = []
    x = np.abs(RNG.normal(size=50)).astype("f4") + 0.1
    y = RNG.normal(size=50).astype("f4") * 2
    for base in ("f4", "f8", "i4", "i8"):
        for exponent in ("f4", "f8", "i4", "i8"):
            a = (x * 4 + 1).astype(base)
            b = (np.abs(y) if base[0] == "i" else y).astype(exponent)
            expected = np.power(a.astype("f8"), b.astype("f8")).astype(base)
            name = f"Pow-{base}-{exponent}"
            found.append(node_case("Pow", [a, b], name=name, expected=[expected], rtol=1e-6))
    for power in (-1, 0, 0.5, 1, 2, 3, 4):
        b = np.array(power, "f4")
        case = node_case("Pow", [x, b], name=f"Pow({power})", constant=[1], rtol=1e-6)
        found.append(case)
    bases, powers = np.array([-1, 0, 1, 2, 2, -3], "i4"), np.array([-3, -1, -5, -1, 40, 3], "i4")
    expected = np.array([-1, 0, 1, 0, 0, -27], "i4")  # of what is no integer 0; 2^40 wraps
    found.append(node_case("Pow", [bases, powers], name="Pow edges", expected=[expected]))
    return found


def clip_cases() -> list[Case]:
    x, i = floats(), integers("i4")
    low, high = np.array(-0.5, "f4"), np.array(2.0, "f4")
    with_nan = np.where(x != x, x, np.clip(x, -0.5, 2.0)).astype("f4")
    return [
        node_case("Clip", [x, low, high], name="Clip", expected=[with_nan]),
        node_case("Clip", [x, low, high], name="Clip const", constant=[1, 2], expected=[with_nan]),
        node_case("Clip", [x], name="Clip 6", opset=7, min=-0.5, max=2.0, expected=[with_nan]),
        node_case("Clip", [x, high, low], name="Clip crossed", expected=[np.where(x != x, x, low)]),
        node_case("Clip", [x, None, high], name="Clip above", expected=[np.minimum(x, high)]),
        node_case("Clip", [x], name="Clip nothing", expected=[x]),
        node_case("Clip", [i, np.array(-9, "i4"), np.array(9, "i4")], name="Clip integers"),
    ]


SHAPES: list[list[tuple[int, ...]]] = [
    [(1,), (17,)],
    [(3, 1, 5), (4, 1)],
    [(2, 3, 4, 5), (3, 1, 1)],
    [(2, 3, 4, 5), (5,)],
    [(), (3, 2)],
    [(0, 3), (1, 3)],
    [(2, 1, 4), (2, 0, 4)],
    [(7, 1), (1, 9), (1, 1)],
]


def broadcast_cases() -> list[Case]:
    found = []
    for n, shapes in enumerate(SHAPES):
        inputs = [RNG.normal(size=shape).astype("f4") for shape in shapes]
        y = np.asarray(sum(inputs[1:], inputs[0]))
        for dynamic in (False, True):
            name = f"broadcast-{n}-{dynamic}"
            case = node_case("Sum", inputs, name=name, dynamic=dynamic, expected=[y], atol=0)
            found.append(case)
    return found


def half_cases() -> list[Case]:
    """Halves are computed in float32 and rounded once."""
    found = []
    for dtype in (np.float16, ml_dtypes.bfloat16):
        a, b = floats(dtype), floats(dtype)[::-1].copy()
        with np.errstate(all="ignore"):
            y = (a.astype("f4") * b.astype("f4")).astype(dtype)
            z = np.exp(a.astype("f8")).astype("f4").astype(dtype)
            name = np.dtype(dtype).name
            found += [
                node_case("Mul", [a, b], name=f"Mul-{name}", expected=[y], rtol=0, atol=0),
                node_case("Exp", [a], name=f"Exp-{name}", expected=[z], rtol=0.004, atol=0),
            ]
    return found


def logic_cases() -> list[Case]:
    a, b = RNG.random((2, 40)) < 0.5
    outputs = [TensorProto.BOOL]
    functions: dict[str, Any] = {"And": a & b, "Or": a | b, "Xor": a ^ b}
    found = [
        node_case(op, [a, b], name=op, outputs=outputs, expected=[y]) for op, y in functions.items()
    ]
    return [*found, node_case("Not", [a], outputs=outputs, expected=[~a])]


def dropout_cases() -> list[Case]:
    x, outputs = RNG.normal(size=(3, 4)).astype("f4"), [0, TensorProto.BOOL]
    everything = [x, np.ones((3, 4), bool)]
    ratio, off = np.array(0.5, "f4"), np.array(False)
    return [
        node_case(
            "Dropout", [x], name="Dropout 7", opset=7, outputs=[0, 0], expected=[x, x * 0 + 1]
        ),
        node_case(
            "Dropout", [x], name="Dropout 10", opset=10, outputs=outputs, expected=everything
        ),
        node_case(
            "Dropout", [x, ratio, off], name="Dropout", outputs=outputs, expected=everything,
            fixed=[0, 1, 2],
        ),
    ]  # fmt: skip


CASES = [
    *math_cases(), *activation_cases(), *integer_cases(), *shift_cases(), *comparison_cases(),
    *float_cases(), *power_cases(), *clip_cases(), *broadcast_cases(), *half_cases(),
    *logic_cases(), *dropout_cases(),
]  # fmt: skip


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_reference(models: NativeModels, case: Case) -> None:
    check(models, case)


def test_dropout_does_not_train(models: NativeModels) -> None:
    x, ratio = np.ones((3, 4), "f4"), np.array(0.5, "f4")
    inputs = {"x0": x, "x1": ratio, "x2": np.array(True)}
    with pytest.raises(InferenceError, match="training is not supported"):
        models.run("Dropout", "1", inputs)
    y, _ = models.run("Dropout", "1", {**inputs, "x1": ratio * 0})
    assert np.array_equal(x, y)
