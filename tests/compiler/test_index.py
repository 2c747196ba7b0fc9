"""Reading, writing and choosing by index, against onnxruntime; every bad index is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(7)
INT64 = TensorProto.INT64


def data(*shape: int, dtype: str = "f4") -> Array:
    return np.asarray(RNG.normal(size=shape) * 50).astype(dtype)


def at(n: int, *shape: int, dtype: str = "i8") -> Array:
    """Indices of n elements, from both ends."""
    return RNG.integers(-n, n, shape).astype(dtype)


def mask(*shape: int) -> Array:
    return RNG.integers(0, 2, shape) == 1


def ties(*shape: int, dtype: str = "f4") -> Array:
    """Few different values."""
    return RNG.integers(0, 4, shape).astype(dtype)


# Operator, inputs, attributes.
Row = tuple[str, list[Array | None], dict[str, Any]]

ROWS: list[Row] = [
    ("Gather", [data(7, 5), at(7, 4)], {}),
    ("Gather", [data(7, 5), at(5, 2, 3, dtype="i4")], {"axis": 1}),
    ("Gather", [data(2, 7, 5), at(7)], {"axis": -2}),
    ("Gather", [data(7, 5), at(7)], {}),
    ("Gather", [data(7, 5), at(7, 0)], {}),
    ("Gather", [data(7, 5, dtype="f8"), at(7, 3)], {}),
    ("Gather", [data(7, 0), at(7, 3)], {}),
    ("GatherElements", [data(3, 4), at(3, 5, 4)], {}),
    ("GatherElements", [data(3, 4, 5), at(4, 3, 2, 5)], {"axis": 1}),
    ("GatherElements", [data(3, 4), at(4, 2, 3, dtype="i4")], {"axis": -1}),
    ("GatherND", [data(3, 4, 5), at(3, 6, 2)], {}),
    ("GatherND", [data(3, 4, 5), at(3, 2, 3)], {}),
    ("GatherND", [data(2, 3, 4), at(3, 2, 1)], {"batch_dims": 1}),
    ("GatherND", [data(2, 3, 4, 5), at(4, 2, 3, 2, 1)], {"batch_dims": 2}),
    ("ScatterElements", [data(3, 4), at(3, 2, 4), data(2, 4)], {}),
    ("ScatterElements", [data(3, 4, 2), at(4, 3, 1, 2), data(3, 1, 2)], {"axis": 1}),
    ("ScatterElements", [data(3, 4), at(4, 3, 9), data(3, 9)], {"axis": 1, "reduction": "add"}),
    ("ScatterElements", [data(3, 4), at(3, 9, 4), data(9, 4)], {"reduction": "mul", "axis": 0}),
    ("ScatterElements", [data(3, 4), at(3, 9, 4), data(9, 4)], {"reduction": "min"}),
    ("ScatterElements", [data(3, 4), at(3, 9, 4, dtype="i4"), data(9, 4)], {"reduction": "max"}),
    ("ScatterND", [data(5, 4), at(5, 3, 1), data(3, 4)], {}),
    ("ScatterND", [data(5, 4), at(4, 2, 3, 2), data(2, 3)], {"reduction": "add"}),
    ("ScatterND", [data(5, 4), at(5, 7, 1), data(7, 4)], {"reduction": "min"}),
    ("ScatterND", [data(5, 4, dtype="f8"), at(5, 0, 1), data(0, 4, dtype="f8")], {}),
    ("OneHot", [at(9, 4), np.array(5), data(2)], {}),
    ("OneHot", [at(4, 2, 3, dtype="i4"), np.array(4.0, "f4"), data(2)], {"axis": 0}),
    ("OneHot", [at(9, 2, 3, dtype="f4"), np.array(4.0, "f4"), data(2)], {"axis": 1}),
    ("OneHot", [at(4, 6), np.array(4), data(2, dtype="i8")], {"axis": 0}),
    ("Compress", [data(4, 5), mask(4)], {"axis": 0}),
    ("Compress", [data(4, 5), mask(3)], {"axis": -1}),
    ("Compress", [data(4, 5), mask(17)], {}),
    ("Compress", [data(4, 5), mask(4) & False], {"axis": 0}),
    ("NonZero", [mask(3, 4)], {}),
    ("NonZero", [ties(2, 3, 4)], {}),
    ("NonZero", [ties(7, dtype="i8")], {}),
    ("NonZero", [ties(0, 3)], {}),
    ("Where", [mask(3, 1), data(1, 4), data(3, 4)], {}),
    ("Where", [mask(2, 3, 4), data(4), data()], {}),
    ("Where", [mask(5), data(5, dtype="i8"), data(1, dtype="i8")], {}),
    ("TopK", [ties(3, 9), np.array([4])], {}),
    ("TopK", [ties(3, 9), np.array([9])], {"largest": 0}),
    ("TopK", [ties(9, 3, 2), np.array([1])], {"axis": 0}),
    ("TopK", [ties(2, 17, 3, dtype="i8"), np.array([5])], {"axis": 1, "largest": 0}),
    ("TopK", [ties(3, 9), np.array([0])], {}),
    ("TopK", [data(1, 100), np.array([17])], {"sorted": 1}),
    ("Unique", [ties(9)], {}),
    ("Unique", [ties(9, dtype="i8")], {"sorted": 0}),
    ("Unique", [ties(6, 2)], {"axis": 0}),
    ("Unique", [ties(3, 2, 5)], {"axis": 1, "sorted": 0}),
    ("Unique", [data(33)], {}),
    ("CumSum", [data(3, 5, 2), np.array(1)], {}),
    ("CumSum", [data(3, 5, 2), np.array(-1)], {"exclusive": 1}),
    ("CumSum", [data(3, 5), np.array(0)], {"reverse": 1}),
    ("CumSum", [data(3, 5, dtype="i4"), np.array(1)], {"reverse": 1, "exclusive": 1}),
    ("Range", [np.array(2), np.array(11), np.array(3)], {}),
    ("Range", [np.array(7, "i4"), np.array(-2, "i4"), np.array(-2, "i4")], {}),
    ("Range", [np.array(0.5, "f4"), np.array(3.1, "f4"), np.array(0.25, "f4")], {}),
    ("Range", [np.array(3), np.array(3), np.array(1)], {}),
    ("ConstantOfShape", [np.array([2, 3])], {}),
    ("EyeLike", [data(3, 5)], {"k": 1}),
    ("EyeLike", [data(4, 3)], {"k": -2, "dtype": INT64}),
]  # fmt: skip


def output_types(op: str, inputs: list[Array | None], attrs: dict[str, Any]) -> list[int]:
    """As node_case wants them: 0 for the type of the first input."""
    special = {
        "TopK": [0, INT64],
        "Unique": [0, INT64, INT64, INT64],
        "NonZero": [INT64],
        "ConstantOfShape": [TensorProto.FLOAT],
        "EyeLike": [attrs.get("dtype", 0)],
    }
    if op in ("OneHot", "Where"):
        return [helper.np_dtype_to_tensor_dtype(np.asarray(inputs[2]).dtype)]
    return special.get(op, [0])


def fixed_inputs(op: str) -> list[int]:
    """Inputs whose shape is always known: the number of sizes, or the depth of indices."""
    return {"TopK": [1], "ConstantOfShape": [0], "GatherND": [1], "ScatterND": [1]}.get(op, [])


def cases() -> list[Case]:
    found = []
    for n, (op, inputs, attrs) in enumerate(ROWS):
        for dynamic, constant in ((False, []), (True, []), (True, range(1, len(inputs)))):
            name = f"{op}-{n}-{'dynamic' if dynamic else 'static'}-{len(constant)}"
            found.append(
                node_case(
                    op, inputs, name=name,
                    outputs=output_types(op, inputs, attrs), dynamic=dynamic,
                    constant=constant, fixed=fixed_inputs(op), **attrs,
                )
            )  # fmt: skip
    return found


def half_cases() -> list[Case]:
    """Operators that move bits, with bits of two bytes; and those that compute in float32."""
    x = data(4, 5).astype(ml_dtypes.bfloat16)
    rows = np.array([3, 0, -1])
    cast = TensorProto.BFLOAT16
    two = np.array([0, 2]).astype(ml_dtypes.bfloat16)
    order = np.argsort(-x.astype("f4"), 1, kind="stable")[:, :2]
    return [
        node_case("Gather", [x, rows], name="half-gather", expected=[x[rows]]),
        node_case(
            "Where", [x > 0, x, x[:1]], name="half-where", outputs=[cast],
            expected=[np.where(x > 0, x, x[:1])],
        ),
        node_case(
            "OneHot", [rows, np.array(4), two], name="half-onehot", outputs=[cast], opset=28,
            expected=[2 * np.eye(4)[rows].astype(ml_dtypes.bfloat16)],
        ),
        node_case(
            "TopK", [x, np.array([2])], name="half-topk", outputs=[0, INT64], fixed=[1], opset=24,
            expected=[np.take_along_axis(x, order, 1), order],
        ),
        node_case(
            "ScatterND", [x, rows[:, None], x[:3]], name="half-scatter", fixed=[1],
            expected=[np.stack([x[1], x[1], x[2], x[2]])],
        ),
    ]  # fmt: skip


CASES = {case.name: case for case in [*cases(), *half_cases()]}


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_indexes_as_onnxruntime(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


# The operator, the data, what is wrong with the indices, the words.
BAD: list[tuple[str, list[Array], str]] = [
    ("Gather", [data(3, 4), np.array([0, 3])], "index 3 is outside a dimension of 3"),
    ("Gather", [data(3, 4), np.array([-4])], "index -4 is outside a dimension of 3"),
    ("Gather", [data(0, 4), np.array([0])], "index 0 is outside a dimension of 0"),
    ("GatherElements", [data(3, 2), np.array([[0, 2**40]])], f"index {2**40} is outside"),
    ("GatherND", [data(3, 4), np.array([[2, 4]])], "index 4 is outside its dimension"),
    ("ScatterElements", [data(3, 2), np.array([[3, 0]]), data(1, 2)], "index 3 is outside"),
    ("ScatterND", [data(3, 4), np.array([[-4]]), data(1, 4)], "index -4 is outside"),
    ("ScatterND", [data(3, 4), np.array([[1]]), data(1, 3)], "3 and 4 should be equal"),
    ("TopK", [data(3, 4), np.array([5])], "k is 5 of 4"),
    ("CumSum", [data(3, 4), np.array(2)], "there is no axis 2"),
    ("Range", [np.array(1), np.array(4), np.array(0)], "the step is 0"),
]


@pytest.fixture(scope="module")
def refusing() -> NativeModels:
    made = [
        node_case(
            op, inputs, name=f"{op}-{n}", outputs=output_types(op, [*inputs, None], {}),
            fixed=fixed_inputs(op), expected=[np.zeros((1,) * inputs[0].ndim)] * 2,
        )
        for n, (op, inputs, _) in enumerate(BAD)
    ]  # fmt: skip
    return compiled(made)


@pytest.mark.parametrize("n", range(len(BAD)))
def test_bad_indices_are_refused(refusing: NativeModels, n: int) -> None:
    op, inputs, words = BAD[n]
    with pytest.raises(InferenceError, match=words):
        refusing.run(f"{op}-{n}", "1", {f"x{k}": x for k, x in enumerate(inputs)})
