"""Cast between every two types, BitCast, CastLike, and what is out of range."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from nnlet.compiler import compile_protos
from nnlet.errors import UnsupportedModel
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(4)
TYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
        "float16", "float32", "float64",
    )
}  # fmt: skip
TYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
FLOATS = ("float16", "bfloat16", "float32", "float64")


def onnx_type(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def values(name: str) -> Array:
    """Of every magnitude that the type has; for floats such that an int8 holds some."""
    if name == "bool":
        return np.array([True, False, True])
    if name in FLOATS:
        spread = RNG.normal(size=60) * np.exp(RNG.normal(size=60) * 2)
        return np.concatenate([spread, [0.0, -0.0, 1.0, 126.5, 2.5, 3.5]]).astype(TYPES[name])
    info = np.iinfo(name)
    some = RNG.integers(info.min, info.max, 60, name, endpoint=True)
    return np.concatenate([some, np.array([info.min, info.max, 0, 1, 77], name)])


def converted(x: Array, to: str) -> Array:
    """NumPy's answer, by way of int64 for floats: then everything that follows is defined."""
    with np.errstate(all="ignore"):
        if to == "bool":
            return x.astype("f8") != 0
        if to in FLOATS or x.dtype.name not in FLOATS:
            return x.astype(TYPES[to])
        return np.trunc(x.astype("f8")).astype("i8").astype(TYPES[to])


def pair_cases() -> list[Case]:
    found = []
    for source in TYPES:
        for to, dtype in TYPES.items():
            x = values(source)
            kind = onnx_type(dtype)
            found.append(
                node_case(
                    "Cast", [x], name=f"{source} to {to}", outputs=[kind], to=kind, rtol=0, atol=0,
                    expected=[converted(x, to)],
                )
            )  # fmt: skip
    return found


def edge_cases() -> list[Case]:
    """What no integer holds becomes the nearest bound; narrow types take its low bits."""
    x = [math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**31), 300.0, -1.0]
    bounds = {
        "int32": [0, 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 300, -1],
        "int64": [0, 2**63 - 1, -(2**63), 2**63 - 1, -(2**63), 2**31, -(2**31), 300, -1],
        "uint8": [0, 255, 0, 255, 0, 255, 0, 44, 255],
        "uint64": [0, 2**64 - 1, 2**63, 2**64 - 1, 2**63, 2**31, 2**64 - 2**31, 300, 2**64 - 1],
    }
    found = []
    for source in ("float32", "float64"):
        for to, y in bounds.items():
            kind = onnx_type(TYPES[to])
            found.append(
                node_case(
                    "Cast", [np.array(x, source)], name=f"edges of {source} to {to}",
                    outputs=[kind], to=kind, expected=[np.array(y, to)],
                )
            )  # fmt: skip
    return found


def rounding_cases() -> list[Case]:
    """A double is rounded once on its way to a half: these are next to ties."""
    ties = np.array([1 + 2**-11, 1 + 3 * 2**-11, 2049, 2051, 65519.99, 65520, 2**-25, 3 * 2**-25])
    x = np.concatenate([ties, ties * (1 + 2.0**-40), ties * (1 - 2.0**-40), -ties])
    half = onnx_type(TYPES["float16"])
    with np.errstate(over="ignore"):
        y = x.astype(np.float16)
    return [
        node_case("Cast", [x], name="ties", outputs=[half], to=half, expected=[y], rtol=0, atol=0)
    ]


def bit_cases() -> list[Case]:
    found = []
    for source, to in (("float32", "int32"), ("uint64", "float64"), ("float16", "uint16")):
        x, kind = values(source), onnx_type(TYPES[to])
        found.append(
            node_case(
                "BitCast", [x], name=f"bits of {source} as {to}", outputs=[kind], to=kind,
                opset=26, expected=[x.view(to)], rtol=0, atol=0,
            )
        )  # fmt: skip
    return found


def other_cases() -> list[Case]:
    x, kind = values("float32"), onnx_type(TYPES["int16"])
    y = converted(x, "int16")
    like = np.zeros(2, "int16")
    return [
        node_case("CastLike", [x, like], outputs=[kind], expected=[y]),
        node_case(
            "Cast", [np.zeros((3, 0), "f4")], name="nothing", outputs=[kind], to=kind,
            expected=[np.zeros((3, 0), "i2")],
        ),
    ]  # fmt: skip


CASES = [*pair_cases(), *edge_cases(), *rounding_cases(), *bit_cases(), *other_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_numpy(models: NativeModels, case: Case) -> None:
    check(models, case)


def test_a_type_that_the_runtime_lacks_is_named() -> None:
    case = node_case("Cast", [np.zeros(2, "f4")], outputs=[1], to=17, expected=[np.zeros(2, "f4")])
    with pytest.raises(UnsupportedModel, match="Cast 'y0': to = 17"):
        compile_protos([("m", "1", case.proto)])
