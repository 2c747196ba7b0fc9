"""Pooling against onnxruntime: every attribute, odd sizes, one to three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.kernels import Kernels
from tests.compiler.nodes import INT64, node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(3)


def data(*shape: int, dtype: str = "f4") -> Array:
    return (RNG.normal(size=shape) * 50).astype(dtype)


# Operator, input shape, attributes. Sizes hit the edges: windows that only padding fills
# partly, strides that leave a rest, a last window that ceil_mode drops.
WINDOWS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("MaxPool", (2, 3, 17), {"kernel_shape": [3]}),
    ("MaxPool", (1, 2, 9, 7), {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 1, 1]}),
    ("MaxPool", (1, 2, 9, 7), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    (
        "MaxPool",
        (1, 1, 5, 5),
        {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    ("MaxPool", (1, 2, 9, 8), {"kernel_shape": [3, 3], "dilations": [2, 3]}),
    (
        "MaxPool",
        (1, 2, 9, 8),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    ("MaxPool", (1, 2, 9, 8), {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("MaxPool", (1, 2, 9, 8), {"kernel_shape": [2, 4], "strides": [2, 1], "auto_pad": "VALID"}),
    ("MaxPool", (3, 3, 112, 13), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", (1, 5, 3, 3), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    (
        "MaxPool",
        (2, 1, 4, 5, 6),
        {"kernel_shape": [2, 3, 2], "strides": [1, 2, 3], "pads": [0, 1, 1, 1, 1, 0]},
    ),
    ("AveragePool", (2, 3, 17), {"kernel_shape": [4], "strides": [3]}),
    ("AveragePool", (1, 2, 9, 7), {"kernel_shape": [3, 3], "pads": [1, 1, 2, 2]}),
    (
        "AveragePool",
        (1, 2, 9, 7),
        {"kernel_shape": [3, 3], "pads": [1, 1, 2, 2], "count_include_pad": 1},
    ),
    ("AveragePool", (1, 2, 9, 7), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    (
        "AveragePool",
        (1, 2, 9, 7),
        {
            "kernel_shape": [3, 3],
            "strides": [2, 3],
            "pads": [1, 1, 1, 1],
            "ceil_mode": 1,
            "count_include_pad": 1,
        },
    ),
    ("AveragePool", (1, 2, 9, 8), {"kernel_shape": [2, 3], "dilations": [3, 2]}),
    (
        "AveragePool",
        (1, 2, 9, 8),
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    ("AveragePool", (2, 1, 4, 5, 6), {"kernel_shape": [2, 3, 2], "pads": [1, 1, 1, 0, 1, 1]}),
    ("LpPool", (2, 3, 17), {"kernel_shape": [4], "p": 1}),
    (
        "LpPool",
        (1, 2, 9, 7),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 2], "p": 3},
    ),
    ("LpPool", (1, 2, 5, 6, 7), {"kernel_shape": [3, 2, 2], "auto_pad": "SAME_UPPER"}),
    ("GlobalAveragePool", (2, 3, 17), {}),
    ("GlobalAveragePool", (1, 5, 7, 7), {}),
    ("GlobalMaxPool", (2, 3, 4, 5, 6), {}),
    ("GlobalLpPool", (2, 3, 5, 3), {"p": 3}),
]


def cases() -> list[Case]:
    found = [
        node_case(op, [data(*shape)], name=f"{op}-{n}-{dynamic}", dynamic=dynamic, **attrs)
        for n, (op, shape, attrs) in enumerate(WINDOWS)
        for dynamic in (False, True)
    ]
    square: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 1]}
    found += [
        node_case("MaxPool", [data(2, 3, 6, 5)], name="indices", outputs=[0, INT64], **square),
        node_case(
            "MaxPool",
            [data(2, 3, 6, 5)],
            name="columns",
            outputs=[0, INT64],
            storage_order=1,
            **square,
        ),
        node_case(
            "MaxPool",
            [data(1, 2, 4, 4, 5)],
            name="indices-3d",
            outputs=[0, INT64],
            kernel_shape=[2, 2, 3],
            pads=[1, 0, 1, 0, 1, 1],
        ),
        node_case("MaxPool", [data(1, 2, 6, 5, dtype="u1")], name="uint8", **square),
        node_case("MaxPool", [data(1, 2, 6, 5, dtype="i1")], name="int8", **square),
        node_case("MaxPool", [data(1, 2, 6, 5, dtype="f8")], name="double", **square),
        node_case(
            "MaxPool", [data(1, 2, 6, 5)], name="opset-8", opset=8, outputs=[0, INT64], **square
        ),
        node_case("MaxPool", [data(0, 2, 6, 5)], name="no-images", **square),
    ]
    return found + [unpool_case(), *roi_cases()]


def unpool_case() -> Case:
    x, indices = data(1, 2, 2, 3), np.array([0, 3, 5, 14, 9, 17, 20, 22, 35, 25, 30, 18])
    y = np.zeros((1, 2, 3, 6), "f4")
    y.reshape(-1)[indices] = x.reshape(-1)
    return node_case(
        "MaxUnpool",
        [x, indices.reshape(x.shape)],
        kernel_shape=[2, 3],
        strides=[1, 2],
        pads=[0, 0, 0, 1],
        expected=[y],
    )


def roi_cases() -> list[Case]:
    rois = np.array([[0, 0, 0, 6, 6], [1, 2, 1, 3, 9], [1, -3, 4, 40, 2], [0, 9, 9, 20, 20]], "f4")
    return [
        node_case("MaxRoiPool", [data(2, 3, 8, 9), rois], name="roi", pooled_shape=[2, 3]),
        node_case(
            "MaxRoiPool",
            [data(2, 3, 8, 9), rois],
            name="roi-scaled",
            pooled_shape=[3, 2],
            spatial_scale=0.5,
        ),
    ]


CASES = cases()


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_onnxruntime(models: NativeModels, case: Case) -> None:
    check(models, case)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 17, 40])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel, dilation", [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (3, 2)])
@pytest.mark.parametrize("type_, dtype", [("f32", "f4"), ("u8", "u1")])
def test_fast_equals_naive(
    width: int, stride: int, kernel: int, dilation: int, type_: str, dtype: str
) -> None:
    kernels = Kernels("pool", type_)
    pad, planes = 1, 3
    reach = (kernel - 1) * dilation + 1
    if width + 2 * pad < reach:
        pad = reach // 2
    out = (width + 2 * pad - reach) // stride + 1
    axis = [width, out, kernel, stride, dilation, pad, pad]
    windows = np.array([[1, 1, 1, 1, 1, 0, 0], axis, axis])
    x = data(planes, width, width, dtype=dtype)
    fast, naive = (np.empty((planes, out, out), dtype) for _ in range(2))
    row = np.empty((out - 1) * stride + reach, dtype)
    kernels.call("maxpool_rows", fast, x, row, windows, planes)
    kernels.call("maxpool", naive, np.empty(fast.shape, "i8"), x, windows, planes, 0)
    np.testing.assert_array_equal(fast, naive)


def test_an_index_outside_the_pooled_tensor_is_refused(models: NativeModels) -> None:
    x = data(1, 2, 2, 3)
    for index in (-1, 36, 2**40):
        indices = np.full(x.shape, index)
        with pytest.raises(InferenceError, match="an index is outside the tensor"):
            models.run("MaxUnpool", "1", {"x0": x, "x1": indices})


def test_a_region_of_no_image_is_refused(models: NativeModels) -> None:
    for image in (-1, 2, np.nan):
        rois = np.array([[image, 0, 0, 1, 1]], "f4")
        with pytest.raises(InferenceError, match="a region is of no image in the batch"):
            models.run("roi", "1", {"x0": data(2, 3, 8, 9), "x1": rois})
