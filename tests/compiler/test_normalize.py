"""Normalizations against NumPy in float64: odd sizes, parameters that repeat, all types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from nnlet.compiler import compile_protos
from nnlet.errors import CompileError, UnsupportedModel
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(8)
FLOAT = TensorProto.FLOAT


def data(*shape: int, dtype: str = "f4") -> Array:
    return (RNG.normal(size=shape) * 3 + 1).astype(dtype)


def standardized(x: Array, axes: Any, epsilon: float = 1e-5) -> tuple[Array, Array, Array]:
    """(x - mean) / deviation, mean, 1 / deviation."""
    wide = x.astype("f8")
    mean = wide.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(wide.var(axes, keepdims=True) + epsilon)
    return (wide - mean) * inverse, mean, inverse


def batch_cases() -> list[Case]:
    found = []
    for n, shape in enumerate([(2, 3), (1, 5, 7), (3, 4, 5, 6), (2, 17, 1, 1), (0, 3, 2)]):
        channels = shape[1]
        x, scale, bias, mean = data(*shape), data(channels), data(channels), data(channels)
        variance = np.abs(data(channels))
        column = [p.reshape(-1, *[1] * (len(shape) - 2)) for p in (scale, bias, mean, variance)]
        y = (x - column[2]) / np.sqrt(column[3] + 1e-5) * column[0] + column[1]
        inputs = [x, scale, bias, mean, variance]
        for opset in (7, 14, 15):
            constant = range(1, 5) if opset > 7 else ()
            name = f"batch-{n}-{opset}"
            attrs: dict[str, Any] = {"opset": opset, "constant": constant, "expected": [y]}
            found.append(node_case("BatchNormalization", inputs, name=name, **attrs))
    return found


def layer_cases() -> list[Case]:
    found = []
    for n, (shape, axis) in enumerate(
        [
            ((1, 1), -1),
            ((3, 17), -1),
            ((2, 3, 64), -1),
            ((2, 3, 65), 1),
            ((4, 5, 6), 0),
            ((0, 7), 1),
        ]
    ):
        x, scale, bias = data(*shape), data(*shape[axis:]), data(*shape[axis:])
        axes = tuple(range(axis % len(shape), len(shape)))
        y, mean, inverse = standardized(x, axes) if x.size else (x, x[:, :1], x[:, :1])
        root = x / np.sqrt((x.astype("f8") ** 2).mean(axes, keepdims=True) + 1e-5)
        full = [a.astype("f4") for a in (y * scale + bias, mean, inverse)]
        found += [
            node_case(
                "LayerNormalization", [x, scale, bias], name=f"layer-{n}", axis=axis,
                outputs=[FLOAT] * 3, expected=full, constant=[1, 2],
            ),
            node_case(
                "LayerNormalization", [x, scale], name=f"layer-{n} without bias", axis=axis,
                expected=[(y * scale).astype("f4")],
            ),
            node_case(
                "RMSNormalization", [x, scale], name=f"rms-{n}", axis=axis, opset=23,
                expected=[(root * scale).astype("f4")], fixed=[0, 1],
            ),
        ]  # fmt: skip
    return found


def parameter_cases() -> list[Case]:
    """Scale and bias that repeat, other types than float32."""
    x, column, row = data(4, 3, 5), data(3, 1), data(5)
    y, mean, inverse = standardized(x, (1, 2))
    root = x / np.sqrt((x.astype("f8") ** 2).mean((1, 2), keepdims=True) + 1e-5)
    wide, half = data(3, 33, dtype="f8"), data(3, 33).astype("f2")
    of_wide, wide_mean, wide_inverse = standardized(wide, -1)
    of_half, half_mean, half_inverse = standardized(half, -1)
    ones: Any = np.ones(33)
    root_half = half / np.sqrt((half.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-5)
    return [
        node_case(
            "RMSNormalization", [half, ones.astype("f4")], name="half with float scale", opset=23,
            outputs=[FLOAT], expected=[root_half.astype("f4")],
        ),
        node_case(
            "RMSNormalization", [half.astype("f4"), ones], name="float with double scale",
            opset=23, outputs=[TensorProto.DOUBLE], expected=[root_half],
        ),
        node_case(
            "LayerNormalization", [x, column, row], name="repeating", axis=1,
            expected=[(y * column + row).astype("f4")], dynamic=False,
        ),
        node_case(
            "RMSNormalization", [x, column], name="rms repeating", axis=1, opset=23,
            expected=[(root * column).astype("f4")],
        ),
        node_case(
            "LayerNormalization", [wide, ones], name="double", outputs=[0, FLOAT, FLOAT],
            expected=[of_wide, wide_mean.astype("f4"), wide_inverse.astype("f4")], rtol=1e-12,
        ),
        node_case(
            "LayerNormalization", [half, ones.astype("f2")], name="half", outputs=[0, FLOAT, FLOAT],
            expected=[of_half.astype("f2"), half_mean.astype("f4"), half_inverse.astype("f4")],
            rtol=1e-3, atol=1e-4,
        ),
    ]  # fmt: skip


def group_cases() -> list[Case]:
    found = []
    for n, (shape, groups) in enumerate(
        [((2, 6, 5), 3), ((1, 4, 3, 7), 1), ((3, 4, 17), 4), ((2, 8, 3, 3, 3), 2)]
    ):
        x, scale, bias = data(*shape), data(shape[1]), data(shape[1])
        y = standardized(x.reshape(shape[0], groups, -1), -1)[0].reshape(shape)
        ones = [1] * (len(shape) - 2)
        each = (y * scale.reshape(-1, *ones) + bias.reshape(-1, *ones)).astype("f4")
        found += [
            node_case(
                "GroupNormalization", [x, scale, bias], name=f"group-{n}", num_groups=groups,
                expected=[each],
            ),
            node_case("InstanceNormalization", [x, scale, bias], name=f"instance-{n}"),
        ]  # fmt: skip
    return found


def other_cases() -> list[Case]:
    x = data(2, 5, 4)
    x[0, :, 1] = 0
    found = []
    for axis in (0, 1, -1):
        for p in (1, 2):
            norm = np.linalg.norm(x, p, axis, keepdims=True)
            y = np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)
            name = f"lp-{p} along {axis}"
            found.append(node_case("LpNormalization", [x], name=name, axis=axis, p=p, expected=[y]))
    image = data(2, 7, 3, 5)
    for size in (1, 3, 5):
        attrs: dict[str, Any] = {"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5}
        found.append(node_case("LRN", [image], name=f"LRN-{size}", **attrs))
    wide = data(2, 4, 6, 6)
    found.append(node_case("LRN", [wide], name="LRN", size=2, expected=[lrn(wide)]))
    found.append(node_case("MeanVarianceNormalization", [wide], expected=[over_all(wide)]))
    return found


def lrn(x: Array) -> Array:
    """For size 2: this channel and the next."""
    square = x.astype("f8") ** 2
    square[:, :-1] += square[:, 1:].copy()
    return np.asarray((x / (1 + 1e-4 / 2 * square) ** 0.75).astype("f4"))


def over_all(x: Array) -> Array:
    return standardized(x, (0, 2, 3), 1e-9)[0].astype("f4")


CASES = [
    *batch_cases(), *layer_cases(), *parameter_cases(), *group_cases(), *other_cases()
]  # fmt: skip


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_reference(models: NativeModels, case: Case) -> None:
    check(models, case)


def test_training_is_refused_in_words() -> None:
    x, c = data(2, 3), data(3)
    case = node_case(
        "BatchNormalization", [x, c, c, c, c], opset=15, outputs=[0, 0, 0], training_mode=1,
        expected=[x, c, c],
    )  # fmt: skip
    with pytest.raises(UnsupportedModel, match="BatchNormalization 'y0': training"):
        compile_protos([("m", "1", case.proto)])


def test_groups_that_do_not_divide_are_refused() -> None:
    x, c = data(2, 5, 3), data(5)
    case = node_case("GroupNormalization", [x, c, c], num_groups=2, expected=[x], dynamic=False)
    with pytest.raises(CompileError, match="groups times channels of each: 4 and 5"):
        compile_protos([("m", "1", case.proto)])
