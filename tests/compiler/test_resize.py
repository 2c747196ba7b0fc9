"""Resize and Upsample against onnxruntime: modes, coordinates, opsets, sizes as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nnlet.errors import InferenceError, UnsupportedModel
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(9)


def data(*shape: int, dtype: str = "f4") -> Array:
    return np.asarray(RNG.normal(size=shape) * 50).astype(dtype)


def scales(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def sizes(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


COORDINATE = "coordinate_transformation_mode"
COORDINATES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
NO_REGION = np.zeros(0, np.float32)

# Input shape, scales or sizes, attributes.
Row = tuple[tuple[int, ...], Array, dict[str, Any]]

ROWS: list[Row] = [
    ((2, 3, 5, 7), scales(1, 1, 2, 2), {}),
    ((2, 3, 5, 7), scales(1, 1, 0.5, 3), {}),
    ((1, 2, 5, 7), sizes(1, 2, 8, 3), {}),
    ((1, 2, 5, 7), sizes(1, 2, 5, 7), {"mode": "linear"}),
    ((1, 2, 1, 1), sizes(1, 2, 3, 4), {"mode": "linear"}),
    ((1, 2, 3, 4), sizes(1, 2, 1, 1), {"mode": "linear", COORDINATE: "pytorch_half_pixel"}),
    ((2, 1, 4, 5), sizes(2, 1, 4, 15), {"mode": "linear"}),
    ((2, 4, 5, 3), sizes(2, 9, 7, 3), {"mode": "linear"}),
    ((2, 3, 17), sizes(2, 3, 33), {"mode": "linear"}),
    ((1, 2, 3, 4, 5), sizes(1, 2, 5, 7, 4), {"mode": "linear"}),
    ((1, 2, 6, 7), sizes(1, 2, 9, 5), {"mode": "cubic"}),
    ((1, 2, 6, 7), sizes(1, 2, 9, 5), {"mode": "cubic", "cubic_coeff_a": -0.5}),
    ((1, 2, 6, 7), sizes(1, 2, 9, 5), {"mode": "cubic", "exclude_outside": 1}),
    ((1, 2, 16, 17), sizes(1, 2, 7, 5), {"mode": "linear", "antialias": 1}),
    ((1, 2, 16, 17), sizes(1, 2, 7, 30), {"mode": "cubic", "antialias": 1}),
    ((1, 2, 6, 7), sizes(12, 10), {"mode": "linear", "axes": [2, 3]}),
    ((1, 2, 6, 7), sizes(10, 12), {"mode": "nearest", "axes": [3, 2]}),
    ((1, 2, 6, 7), sizes(12, 20), {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}),
    ((1, 2, 6, 7), sizes(12, 20), {"axes": [2, 3], "keep_aspect_ratio_policy": "not_smaller"}),
]  # fmt: skip


def rows() -> Iterator[Row]:
    yield from ROWS
    for mode in ("nearest", "linear", "cubic"):
        for coordinates in COORDINATES:
            how = {"mode": mode, COORDINATE: coordinates}
            for wanted in (sizes(1, 2, 9, 4), scales(1, 1, 2, 3), scales(1, 1, 0.5, 0.7)):
                yield (1, 2, 6, 7), wanted, how
    for rounding in ROUNDINGS:
        for coordinates in COORDINATES:
            how = {"nearest_mode": rounding, COORDINATE: coordinates}
            yield (1, 1, 5, 9), sizes(1, 1, 10, 6), how


def cases() -> list[Case]:
    found = []
    for n, (shape, wanted, attrs) in enumerate(rows()):
        tail = [None, wanted] if wanted.dtype == np.float32 else [None, None, wanted]
        at = len(tail)
        for dynamic, constant in ((False, [at]), (True, [at]), (True, [])):
            name = f"{n}-{'dynamic' if dynamic else 'static'}-{len(constant)}"
            inputs = [data(*shape), *tail]
            found.append(
                node_case(
                    "Resize", inputs, name=name, dynamic=dynamic, constant=constant, fixed=[at],
                    atol=1e-3, **attrs,
                )
            )  # fmt: skip
    return found


def other_cases() -> list[Case]:
    x, twice = data(1, 2, 4, 5), scales(1, 1, 2, 2)
    small, wanted = scales(1, 1, 0.5, 0.6), sizes(1, 2, 7, 6)
    crop: dict[str, Any] = {
        "mode": "linear", COORDINATE: "tf_crop_and_resize",
        "extrapolation_value": 7.5,
    }  # fmt: skip
    region = scales(0, 0, 0.2, -0.3, 1, 1, 0.8, 1.2)
    return [
        node_case("Upsample", [x], name="upsample-7", opset=7, scales=[1.0, 1.0, 2.0, 3.0]),
        node_case("Upsample", [x, twice], name="upsample-9", opset=9, mode="linear", constant=[1]),
        node_case("Resize", [x, twice], name="resize-10", opset=10, constant=[1]),
        node_case("Resize", [x, small], name="resize-10-down", opset=10, constant=[1]),
        node_case("Resize", [x, NO_REGION, twice], name="resize-11", opset=11, constant=[1, 2]),
        node_case("Resize", [x, region, None, wanted], name="crop", constant=[1, 3], **crop),
        node_case("Resize", [x, region, None, wanted], name="crop-data", fixed=[1, 3], **crop),
        node_case("Resize", [abs(x).astype("u1"), None, twice], name="uint8", constant=[2]),
        node_case("Resize", [x.astype("i4"), None, twice], name="int32", constant=[2]),
    ]


def exact_cases() -> list[Case]:
    """Types that onnxruntime lacks, and the standard's own rounding to integers."""
    x = np.array([[0.0, 10.0, 255.0]], np.float64)
    wanted = np.array([[0, 2.5, 7.5, 71.25, 193.75, 255]])
    return [
        node_case(
            "Resize", [x, None, scales(1, 2)], name="float64", mode="linear", constant=[2],
            expected=[wanted],
        ),
        node_case(
            "Resize", [x.astype("u1"), None, scales(1, 2)], name="bytes", mode="linear",
            constant=[2], expected=[np.rint(wanted).astype("u1")],
        ),
        node_case(
            "Resize", [x.astype("f2"), None, scales(1, 2)], name="float16", constant=[2],
            expected=[np.repeat(x, 2, 1).astype("f2")],
        ),
    ]  # fmt: skip


CASES = {case.name: case for case in [*cases(), *other_cases(), *exact_cases()]}


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_resizes_as_onnxruntime(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


def test_an_empty_image_is_refused(models: NativeModels) -> None:
    with pytest.raises(InferenceError, match="an empty tensor cannot be resized"):
        models.run("2-dynamic-1", "1", {"x0": data(1, 2, 0, 7)})


def test_an_unknown_mode_is_refused() -> None:
    case = node_case(
        "Resize", [data(1, 1, 2, 2), None, scales(1, 1, 2, 2)], constant=[2], mode="area",
        expected=[data(1, 1, 4, 4)],
    )  # fmt: skip
    with pytest.raises(UnsupportedModel, match="mode 'area'"):
        compiled([case])
