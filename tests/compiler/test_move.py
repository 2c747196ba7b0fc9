"""Operators that move elements, against onnxruntime: every form, odd sizes, sizes as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.kernels import Kernels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(6)


def data(*shape: int, dtype: str = "f4") -> Array:
    return np.asarray(abs(RNG.normal(size=shape)) * 50).astype(dtype)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


BIG, SMALL = 2**63 - 1, -(2**63)

# Operator, inputs (the first is data, the others say sizes), attributes.
Row = tuple[str, list[Array | None], dict[str, Any]]

ROWS: list[Row] = [
    ("Transpose", [data(5, 7)], {}),
    ("Transpose", [data(64, 33)], {}),
    ("Transpose", [data(2, 17, 3, 19)], {"perm": [0, 2, 3, 1]}),
    ("Transpose", [data(2, 17, 19, 3)], {"perm": [0, 3, 1, 2]}),
    ("Transpose", [data(3, 5, 7, 4)], {"perm": [3, 2, 1, 0]}),
    ("Transpose", [data(2, 9, 4, 16)], {"perm": [0, 2, 1, 3]}),
    ("Transpose", [data(1, 9, 1, 16)], {"perm": [2, 1, 0, 3]}),
    ("Transpose", [data(2, 0, 3)], {"perm": [2, 0, 1]}),
    ("Transpose", [data(20, 21, dtype="i8")], {}),
    ("Transpose", [data(20, 21, dtype="u2")], {}),
    ("Transpose", [data(20, 21, dtype="u1") % 2 == 1], {}),
    ("Concat", [data(2, 3), data(2, 4), data(2, 1)], {"axis": 1}),
    ("Concat", [data(2, 3), data(5, 3)], {"axis": 0}),
    ("Concat", [data(2, 3, 4), data(2, 3, 0)], {"axis": -1}),
    ("Concat", [data(2, 3, 4)], {"axis": -1}),
    ("Concat", [data(1, 3, 4, 5), data(1, 2, 4, 5)], {"axis": 1}),
    ("Slice", [data(7, 5), ints(1), ints(4)], {}),
    ("Slice", [data(7, 5), ints(1, -3), ints(BIG, -1), ints(0, 1)], {}),
    ("Slice", [data(7, 5), ints(-2), ints(SMALL), ints(0), ints(-2)], {}),
    ("Slice", [data(7, 5), ints(-1), ints(SMALL), ints(-1), ints(-1)], {}),
    ("Slice", [data(7, 5), ints(5, 0), ints(1, 9), ints(1, 0), ints(-3, 2)], {}),
    ("Slice", [data(7, 5), ints(5), ints(3), ints(0)], {}),
    ("Slice", [data(7, 5), ints(-100), ints(100), ints(-2), ints(4)], {}),
    ("Slice", [data(1, 7, 5), ints(2), ints(4), ints(1)], {}),
    ("Slice", [data(3, 1, 7), ints(-1), ints(BIG), ints(2)], {}),
    ("Slice", [data(0, 5), ints(0), ints(3), ints(0)], {}),
    ("Expand", [data(3, 1), ints(3, 4)], {}),
    ("Expand", [data(3, 1), ints(2, 1, 6)], {}),
    ("Expand", [data(1, 5, 1), ints(2, 1, 1, 3)], {}),
    ("Expand", [data(3, 4), ints(3, 4)], {}),
    ("Expand", [data(), ints(3, 4)], {}),
    ("Expand", [data(1, 4), ints(0, 4)], {}),
    ("Tile", [data(2, 3), ints(2, 2)], {}),
    ("Tile", [data(2, 3, 4), ints(1, 3, 1)], {}),
    ("Tile", [data(2, 3), ints(1, 1)], {}),
    ("Tile", [data(2, 3), ints(0, 1)], {}),
    ("Pad", [data(3, 4), ints(1, 2, 0, 3)], {}),
    ("Pad", [data(3, 4), ints(1, 2, 0, 3), data()], {}),
    ("Pad", [data(3, 4), ints(0, 0, 0, 0)], {}),
    ("Pad", [data(3, 4), ints(-1, 2, 0, -3)], {}),
    ("Pad", [data(2, 3, 4, 5), ints(2, 1), None, ints(-1)], {}),
    ("Pad", [data(2, 3, 4, 5), ints(2, 1, 3, 0), None, ints(3, 1)], {"mode": "reflect"}),
    ("Pad", [data(3, 4), ints(2, 3, 1, 3)], {"mode": "reflect"}),
    ("Pad", [data(3, 4), ints(2, 5, 1, 3)], {"mode": "edge"}),
    ("Pad", [data(3, 4), ints(2, 3, 1, 3)], {"mode": "wrap"}),
    ("Pad", [data(2, 4, 3), ints(0, 2, 0, 0, 2, 0)], {"mode": "edge"}),
    ("Pad", [data(3, 4, dtype="i8"), ints(0, 2, 1, 0), np.array(-7)], {}),
    ("DepthToSpace", [data(2, 12, 3, 5)], {"blocksize": 2}),
    ("DepthToSpace", [data(2, 12, 3, 5)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [data(2, 3, 4, 6)], {"blocksize": 2}),
    ("Trilu", [data(3, 5)], {}),
    ("Trilu", [data(2, 5, 3), np.array(-1)], {"upper": 0}),
    ("Trilu", [data(2, 5, 7), np.array(2)], {}),
    ("Trilu", [data(2, 5, 7), np.array(100)], {}),
    ("ReverseSequence", [data(4, 3, 2), ints(4, 0, 2)], {}),
    ("ReverseSequence", [data(3, 4), ints(1, 4, 3)], {"batch_axis": 0, "time_axis": 1}),
    ("CenterCropPad", [data(7, 5, 3), ints(4, 8)], {"axes": [0, 1]}),
    ("CenterCropPad", [data(7, 5, 3), ints(10, 5, 2)], {}),
]  # fmt: skip


def cases() -> list[Case]:
    found = []
    for n, (op, inputs, attrs) in enumerate(ROWS):
        sizes = range(1, len(inputs)) if op != "Concat" else range(0)
        for dynamic, constant in ((False, sizes), (True, sizes), (True, range(0))):
            name = f"{op}-{n}-{'dynamic' if dynamic else 'static'}-{len(constant)}"
            given = [k for k in constant if inputs[k] is not None]
            found.append(
                node_case(
                    op, inputs, name=name, dynamic=dynamic, constant=given, fixed=sizes, **attrs
                )
            )
    return found


def old_cases() -> list[Case]:
    """Sizes as attributes."""
    x = data(6, 5)
    return [
        node_case("Slice", [x], name="slice-1", opset=9, starts=[1, -3], ends=[-1, BIG]),
        node_case("Slice", [x], name="slice-1-axes", opset=9, starts=[-2], ends=[9], axes=[1]),
        node_case("Pad", [x], name="pad-2", opset=10, pads=[1, 0, 2, 3], value=1.5),
        node_case("Pad", [x], name="pad-2-edge", opset=10, pads=[1, 0, 2, 3], mode="edge"),
        *(old_split(form, axis) for form in ([1, 2, 3], None) for axis in (0, 1)),
    ]


def old_split(sizes: list[int] | None, axis: int) -> Case:
    name = f"split-11-{sizes}-{axis}"
    attrs = {"axis": axis, **({"split": sizes} if sizes else {})}
    return node_case("Split", [data(6, 6, 3)], name=name, opset=11, outputs=[0, 0, 0], **attrs)


def split_inputs() -> list[Case]:
    x = data(2, 7, 3)
    parts = ints(2, 0, 5)
    common: dict[str, Any] = {"outputs": [0, 0, 0], "fixed": [1], "axis": 1}
    return [
        node_case("Split", [x, parts], name="split-constant", constant=[1], **common),
        node_case("Split", [x, parts], name="split-data", **common),
        node_case("Split", [x[:1], parts], name="split-views", dynamic=False, **common),
        node_case("Split", [x], name="split-uneven", num_outputs=3, **common),
        node_case("Split", [x], name="split-uneven-static", num_outputs=3, dynamic=False, **common),
    ]


def half_cases() -> list[Case]:
    """float16 moves as it is."""
    x = data(3, 4, 5, dtype="f2")
    fill = np.array(1.5, "f2")
    return [
        node_case("Transpose", [x], name="half-transpose", perm=[2, 0, 1]),
        node_case("Concat", [x, x[:, :1]], name="half-concat", axis=1),
        node_case("Pad", [x, ints(0, 0, 1, 0, 2, 0), fill], name="half-pad", fixed=[1]),
        node_case("Expand", [x, ints(2, 3, 4, 5)], name="half-expand", fixed=[1]),
        node_case("Trilu", [x], name="half-trilu"),
    ]


CASES = {case.name: case for case in [*cases(), *old_cases(), *split_inputs(), *half_cases()]}


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_moves_as_onnxruntime(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


@pytest.mark.parametrize(("ctype", "dtype"), [("u8", "u1"), ("u16", "u2"), ("u32", "u4")])
def test_blocks_are_turned_as_single_elements(ctype: str, dtype: str) -> None:
    kernels = Kernels("strided", ctype)
    for rows in (1, 3, 4, 31, 32, 33, 70):
        for columns in (1, 2, 5, 32, 63):
            x = data(columns, rows + 2, dtype=dtype)  # lines of either side are not packed
            fast, naive = (np.zeros((rows, columns + 3), dtype) for _ in range(2))
            for name, y in (("turn", fast), ("turn_naive", naive)):
                kernels.call(name, y, x, rows, columns, columns + 3, rows + 2)
            np.testing.assert_array_equal(naive[:, :columns], x[:, :rows].T)
            np.testing.assert_array_equal(fast, naive)


BAD: list[tuple[str, list[Array], dict[str, Any], str]] = [
    ("Slice", [data(3), ints(0), ints(2), ints(0), ints(0)], {}, "a step of 0"),
    ("Slice", [data(3), ints(0), ints(2), ints(1)], {}, "no axis 1"),
    ("Expand", [data(3), ints(4)], {}, "3 and 4 do not broadcast"),
    ("Pad", [data(0, 2), ints(1, 0, 0, 0)], {"mode": "edge"}, "empty"),
    ("Pad", [data(2, 2), ints(1, 0, -4, 0)], {}, "would be -1"),
    ("Split", [data(4), ints(1, 2)], {}, "3 and 4 should be equal"),
    ("Split", [data(4), ints(-1, 5)], {}, "a part of size -1"),
    ("Tile", [data(4), ints(-1)], {}, "would be -4"),
    ("Tile", [data(4), ints(BIG)], {}, "memory"),
    ("ReverseSequence", [data(4, 2), ints(5, 1)], {}, "outside 0 to 4"),
    ("DepthToSpace", [data(1, 3, 2, 2)], {"blocksize": 2}, "should be equal"),
    ("Concat", [data(2, 3), data(3, 3)], {"axis": 1}, "3 and 2 should be equal"),
]


@pytest.fixture(scope="module")
def refusing() -> NativeModels:
    made = []
    for n, (op, inputs, attrs, _) in enumerate(BAD):
        outputs = [0, 0] if op == "Split" else [0]
        wanted = [np.zeros((1,) * inputs[0].ndim)] * len(outputs)
        fixed = range(1, len(inputs)) if op != "Concat" else range(0)
        made.append(
            node_case(
                op, inputs, name=f"bad-{n}", outputs=outputs, expected=wanted, fixed=fixed, **attrs
            )
        )
    return compiled(made)


@pytest.mark.parametrize("n", range(len(BAD)))
def test_what_does_not_fit_is_refused(refusing: NativeModels, n: int) -> None:
    _, inputs, _, words = BAD[n]
    with pytest.raises(InferenceError, match=words):
        refusing.run(f"bad-{n}", "1", {f"x{k}": x for k, x in enumerate(inputs)})
