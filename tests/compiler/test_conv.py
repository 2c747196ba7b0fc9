"""Convolutions against onnxruntime: every attribute, constant and computed weights, odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled, reference

RNG = np.random.default_rng(4)


def data(*shape: int, dtype: str = "f4") -> Array:
    return RNG.normal(size=shape).astype(dtype)


# Input, weights, whether there is a bias, attributes.
Row = tuple[tuple[int, ...], tuple[int, ...], bool, dict[str, Any]]

CONV: list[Row] = [
    ((2, 3, 17), (5, 3, 3), True, {"pads": [2, 0], "strides": [2]}),
    ((1, 1, 1), (1, 1, 1), False, {}),
    ((3, 8, 5, 7), (12, 8, 1, 1), True, {}),
    ((1, 9, 5, 7), (7, 9, 1, 1), False, {"strides": [2, 2]}),
    ((1, 9, 5, 7), (7, 9, 1, 1), True, {"pads": [1, 1, 1, 1]}),
    ((2, 4, 13, 13), (18, 4, 3, 3), True, {"pads": [1, 1, 1, 1]}),
    ((1, 3, 23, 21), (13, 3, 7, 7), True, {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
    ((1, 3, 9, 14), (4, 3, 3, 5), True, {"strides": [1, 3], "pads": [0, 2, 3, 1]}),
    ((1, 3, 12, 12), (4, 3, 3, 2), True, {"dilations": [2, 3], "pads": [1, 0, 2, 1]}),
    ((1, 3, 12, 11), (4, 3, 3, 2), True, {"strides": [2, 3], "auto_pad": "SAME_UPPER"}),
    ((1, 3, 12, 11), (4, 3, 4, 2), True, {"auto_pad": "SAME_LOWER"}),
    ((1, 3, 12, 11), (4, 3, 3, 2), True, {"auto_pad": "VALID"}),
    ((2, 6, 8, 9), (9, 2, 3, 3), True, {"group": 3, "pads": [1, 1, 1, 1]}),
    ((2, 8, 8, 9), (8, 4, 1, 1), True, {"group": 2}),
    ((2, 5, 11, 13), (5, 1, 3, 3), True, {"group": 5, "pads": [1, 1, 1, 1]}),
    ((1, 5, 11, 13), (5, 1, 3, 3), True, {"group": 5, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((1, 5, 11, 30), (5, 1, 5, 5), False, {"group": 5, "pads": [2, 2, 2, 2], "strides": [1, 1]}),
    ((1, 5, 11, 30), (10, 1, 3, 3), True, {"group": 5, "pads": [2, 1, 2, 1], "dilations": [2, 2]}),
    ((1, 4, 33), (4, 1, 5), True, {"group": 4, "pads": [4, 0]}),
    ((1, 2, 5, 6, 7), (4, 2, 3, 2, 3), True, {"strides": [1, 2, 2], "pads": [1, 1, 1, 0, 0, 2]}),
    ((1, 4, 5, 6, 7), (4, 1, 3, 3, 3), True, {"group": 4, "pads": [1] * 6}),
    ((1, 300, 3, 3), (20, 300, 3, 3), True, {"pads": [1, 1, 1, 1]}),
    ((1, 3, 2, 2), (4, 3, 5, 5), True, {"pads": [2, 2, 2, 2]}),
    # What winograd.c computes: tiles that are cut off, several rows of them, groups.
    ((1, 8, 5, 6), (16, 8, 3, 3), True, {"pads": [1, 1, 1, 1]}),
    ((2, 16, 13, 17), (20, 16, 3, 3), False, {}),
    ((1, 9, 8, 8), (24, 9, 3, 3), True, {"pads": [2, 0, 1, 1]}),
    ((1, 16, 35, 66), (32, 8, 3, 3), True, {"group": 2, "pads": [1, 1, 1, 1]}),
    ((1, 270, 6, 6), (16, 270, 3, 3), True, {"auto_pad": "SAME_LOWER"}),
    # Blocks of pixels and of depth that are full, and their rests.
    ((1, 40, 15, 15), (9, 40, 3, 3), True, {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ((1, 40, 31, 31), (9, 40, 3, 3), True, {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
]

CONV_TRANSPOSE: list[Row] = [
    ((2, 3, 7), (3, 5, 3), True, {"strides": [2], "pads": [1, 0]}),
    (
        (1, 4, 5, 6),
        (4, 3, 3, 3),
        True,
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    ((1, 4, 5, 6), (4, 3, 2, 2), True, {"strides": [2, 2]}),
    ((2, 4, 5, 6), (4, 3, 3, 4), False, {"strides": [3, 2], "group": 2}),
    ((1, 4, 5, 6), (4, 1, 3, 3), True, {"strides": [2, 2], "group": 4, "pads": [0, 1, 1, 0]}),
    ((1, 4, 5, 6), (4, 3, 3, 3), True, {"dilations": [2, 3], "strides": [2, 1]}),
    ((1, 4, 5, 6), (4, 3, 3, 3), True, {"output_shape": [10, 13], "strides": [2, 2]}),
    ((1, 4, 5, 6), (4, 3, 3, 3), True, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 4, 5, 6), (4, 3, 4, 3), True, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 2, 3, 4, 5), (2, 3, 2, 3, 2), True, {"strides": [2, 1, 2], "pads": [0, 1, 0, 1, 1, 0]}),
    ((1, 20, 9, 9), (20, 17, 4, 4), True, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
]


def conv_cases(op: str, rows: list[Row]) -> list[Case]:
    found = []
    for n, (shape, weights, biased, attrs) in enumerate(rows):
        filters = weights[0] if op == "Conv" else weights[1] * attrs.get("group", 1)
        # Sums of any length give answers of size 1, so that one tolerance fits all.
        taps = data(*weights) / np.sqrt(np.prod(weights[1:], dtype="f4"))
        inputs = [data(*shape), taps] + ([data(filters)] if biased else [])
        parameters = range(1, len(inputs))
        for name, constant, dynamic in (
            ("fixed", parameters, False),
            ("dynamic", parameters, True),
            ("computed", (), True),
        ):
            found.append(
                node_case(
                    op, inputs, name=f"{op}-{n}-{name}", constant=constant, dynamic=dynamic, **attrs
                )
            )
    return found


def other_cases() -> list[Case]:
    floats = [data(1, 4, 7, 9), data(6, 2, 3, 3), data(6)]
    answer = reference(node_case("Conv", floats, group=2))  # onnxruntime lacks doubles here
    double = node_case(
        "Conv",
        [x.astype("f8") for x in floats],
        name="double",
        group=2,
        expected=[y.astype("f8") for y in answer],
    )
    empty = node_case(
        "Conv",
        [data(0, 3, 8, 8), data(4, 3, 3, 3)],
        name="no-images",
        expected=[np.zeros((0, 4, 6, 6), "f4")],
    )
    bias = data(2)
    blind = node_case(
        "Conv",
        [data(1, 0, 4, 4), data(2, 0, 3, 3), bias],
        name="no-channels",
        expected=[np.broadcast_to(bias.reshape(1, 2, 1, 1), (1, 2, 2, 2))],
    )
    return [double, blind, empty, *deform_cases()]


def deform_cases() -> list[Case]:
    x, w, bias = data(2, 4, 7, 8), data(6, 2, 3, 2), data(6)
    offset, mask = data(2, 2 * 2 * 6, 4, 6) * 3, data(2, 2 * 6, 4, 6)
    attrs: dict[str, Any] = {
        "group": 2,
        "offset_group": 2,
        "pads": [1, 0, 1, 0],
        "strides": [2, 1],
        "dilations": [1, 2],
    }
    return [
        node_case("DeformConv", [x, w, offset, bias, mask], name="deform", **attrs),
        node_case("DeformConv", [x, w, offset], name="deform-plain", dynamic=False, **attrs),
    ]


CASES = [
    *conv_cases("Conv", CONV),
    *conv_cases("ConvTranspose", CONV_TRANSPOSE),
    *other_cases(),
]


def twin(kind: str, dtype: str) -> Case:
    """A model of one kind of convolution, for images of any size."""
    shape, weights, attrs = TWINS[kind]
    rng = np.random.default_rng(9)
    taps = (rng.normal(size=weights) / np.sqrt(np.prod(weights[1:]))).astype(dtype)
    # onnxruntime has no convolutions of float64: nothing is compared with it.
    return node_case(
        attrs.get("op", "Conv"), [np.zeros(shape, dtype), taps], name=f"{kind}-{dtype}",
        constant=[1], expected=[np.zeros((1, 1, 1, 1), dtype)],
        **{k: v for k, v in attrs.items() if k != "op"},
    )  # fmt: skip


# float64 is the naive twin: conv.c from the definition, where float32 has a kernel of its own.
TWINS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "packed": ((1, 5, 9, 9), (13, 5, 3, 3), {"pads": [1, 1, 1, 1], "strides": [1, 2]}),
    "packed-1x1": ((1, 70, 9, 9), (12, 70, 1, 1), {}),
    "winograd": ((1, 8, 9, 9), (20, 8, 3, 3), {"pads": [1, 1, 1, 1]}),
    "depthwise": ((1, 6, 9, 9), (6, 1, 3, 3), {"pads": [1] * 4, "group": 6, "strides": [1, 2]}),
    "transposed": ((1, 6, 9, 9), (6, 5, 3, 3), {"op": "ConvTranspose", "strides": [2, 2]}),
}  # fmt: skip
TWIN_SIZES = [(1, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 16), (7, 17), (13, 13), (9, 40), (3, 113)]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    twins = [twin(kind, dtype) for kind in TWINS for dtype in ("f4", "f8")]
    small = node_case("Conv", [data(1, 3, 8, 8), data(2, 3, 3, 3)], name="small")
    return compiled([*CASES, *twins, small])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_onnxruntime(models: NativeModels, case: Case) -> None:
    check(models, case)


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("size", TWIN_SIZES, ids=str)
def test_fast_equals_naive(models: NativeModels, kind: str, size: tuple[int, int]) -> None:
    x = data(2, TWINS[kind][0][1], *size)
    (fast,) = models.run(f"{kind}-f4", "1", {"x0": x})
    (naive,) = models.run(f"{kind}-f8", "1", {"x0": x.astype("f8")})
    np.testing.assert_allclose(fast, naive, rtol=1e-5, atol=1e-5)


def test_an_image_that_is_too_small_is_refused(models: NativeModels) -> None:
    x, w = data(1, 3, 2, 8), data(2, 3, 3, 3)
    with pytest.raises(InferenceError, match="a window of 3 does not fit an input of 2"):
        models.run("small", "1", {"x0": x, "x1": w})


def test_channels_that_differ_are_refused(models: NativeModels) -> None:
    x, w = data(1, 3, 8, 8), data(2, 4, 3, 3)
    with pytest.raises(InferenceError, match="channels of the input and of the weights: 3 and 4"):
        models.run("small", "1", {"x0": x, "x1": w})
