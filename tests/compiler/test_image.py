"""Sampling images, choosing boxes and transforming signals, against onnxruntime and NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import INT64, node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(10)
F4 = np.float32


def data(*shape: int, dtype: str = "f4") -> Array:
    return np.asarray(RNG.normal(size=shape)).astype(dtype)


def grids() -> Iterator[Case]:
    """Places inside, on the border and far outside."""
    flat = np.concatenate(
        [RNG.uniform(-1.2, 1.2, (2, 3, 4, 2)), RNG.uniform(-4, 4, (2, 2, 4, 2))], 1
    )
    flat[0, 0] = [[-1, 1], [0, 0], [1, 1], [-1, -1]]
    deep = RNG.uniform(-1.3, 1.3, (1, 2, 3, 4, 3))
    for padding in ("zeros", "border", "reflection"):
        for align in (0, 1):
            how: dict[str, Any] = {"padding_mode": padding, "align_corners": align}
            for mode in ("bilinear", "nearest", "bicubic"):
                name = f"grid-16-{mode}-{padding}-{align}"
                given = [data(2, 3, 5, 7), flat.astype(F4)]
                yield node_case("GridSample", given, name=name, opset=16, mode=mode, **how)
            for mode in ("linear", "nearest"):
                name = f"grid-3d-{mode}-{padding}-{align}"
                given = [data(1, 2, 3, 4, 5), deep.astype(F4)]
                yield node_case("GridSample", given, name=name, opset=20, mode=mode, **how)
    yield node_case(
        "GridSample", [data(1, 1, 1, 1), flat[:1].astype(F4)], name="grid-one", opset=20
    )


def affine_grids() -> Iterator[Case]:
    for align in (0, 1):
        for size in ([2, 3, 4, 5], [2, 1, 2, 3, 4]):
            theta = data(2, len(size) - 2, len(size) - 1)
            for constant in ([], [1]):
                yield node_case(
                    "AffineGrid", [theta, np.array(size)], name=f"affine-{size}-{align}-{constant}",
                    opset=20, constant=constant, fixed=[1], align_corners=align,
                )  # fmt: skip


def region_cases() -> Iterator[Case]:
    x = data(2, 3, 9, 8)
    regions = np.array([[0, 0, 7, 8], [-3, 1, 2, 3], [4, 4, 30, 6], [1, 1, 1.2, 1.1]], F4)
    images = np.array([0, 1, 1, 0])
    common: dict[str, Any] = {"output_height": 3, "output_width": 2}
    for opset in (10, 16):
        for mode in ("avg", "max"):
            for ratio in (0, 2):
                yield node_case(
                    "RoiAlign", [x, regions, images], name=f"roi-{opset}-{mode}-{ratio}",
                    opset=opset, mode=mode, sampling_ratio=ratio, spatial_scale=0.5, **common,
                )  # fmt: skip


def box_cases() -> Iterator[Case]:
    boxes = RNG.uniform(0, 10, (2, 30, 4)).astype(F4)
    scores = RNG.uniform(0, 1, (2, 3, 30)).astype(F4)
    scores[0, 0, 3] = scores[0, 0, 7]
    limits = [np.array([5]), np.array([0.3], F4), np.array([0.4], F4)]
    types = [INT64]
    for center in (0, 1):
        for constant in ([], [2, 3, 4]):
            yield node_case(
                "NonMaxSuppression", [boxes, scores, *limits], name=f"nms-{center}-{len(constant)}",
                outputs=types, constant=constant, fixed=[2], center_point_box=center,
            )  # fmt: skip
    yield node_case("NonMaxSuppression", [boxes, scores], name="nms-none", outputs=types)
    yield node_case(
        "NonMaxSuppression", [boxes[:1], scores[:1], np.array([2**40])], name="nms-all",
        outputs=types, constant=[2],
    )  # fmt: skip
    yield node_case(
        "NonMaxSuppression", [boxes[:, :0], scores[:, :, :0], *limits], name="nms-empty",
        outputs=types, constant=[2],
    )  # fmt: skip


def block_cases() -> Iterator[Case]:
    rows: list[tuple[list[int], list[int], int, dict[str, Any]]] = [
        ([5, 7], [2, 3], 18, {"strides": [2, 1], "pads": [0, 1, 1, 0]}),
        ([7, 6], [2, 3], 10, {"dilations": [2, 2]}),
        ([12], [3], 6, {"pads": [1, 1], "strides": [2]}),
    ]
    for n, (image, block, columns, attrs) in enumerate(rows):
        inputs = [data(2, 3 * int(np.prod(block)), columns), np.array(image), np.array(block)]
        for constant in ([], [1, 2]):
            yield node_case(
                "Col2Im", inputs, name=f"col2im-{n}-{len(constant)}", opset=18, constant=constant,
                fixed=[1, 2], **attrs,
            )  # fmt: skip


def signal_cases() -> Iterator[Case]:
    x, window = data(2, 50, 1), np.hanning(16).astype(F4)
    step, length = np.array(5), np.array(16)
    for constant in ([], [1, 2, 3]):
        name = f"stft-{len(constant)}"
        given = [x, step, window, length]
        yield node_case("STFT", given, name=name, constant=constant, dynamic=False, atol=1e-4)
    yield node_case(
        "STFT", [data(1, 30, 2), step, None, np.array(7)], name="stft-complex", onesided=0,
        dynamic=False, constant=[1, 3], atol=1e-4,
    )  # fmt: skip
    edges = [np.array(0.0, F4), np.array(8000.0, F4)]
    numbers = [np.array(n) for n in (20, 128, 16000)]
    for constant in ([], [0, 1, 2]):
        yield node_case(
            "MelWeightMatrix", [*numbers, *edges], name=f"mel-{len(constant)}", constant=constant,
            outputs=[TensorProto.FLOAT],
        )  # fmt: skip


def transform_cases() -> Iterator[Case]:
    """Every length takes another way through the transform."""
    for n in (1, 2, 7, 12, 16, 30, 64):
        x = data(2, n, 3, 2)
        number = x[..., 0] + 1j * x[..., 1]
        yield dft(f"dft-{n}", x, np.fft.fft(number, axis=1))
        yield dft(f"dft-inverse-{n}", x, np.fft.ifft(number, axis=1), inverse=1)
        real = np.fft.rfft(x[..., 0], axis=1)
        yield dft(f"dft-real-{n}", x[..., :1], real, onesided=1)
    x = data(2, 5, 3, 1)
    longer, shorter = np.fft.fft(x[..., 0], 8, 1), np.fft.fft(x[..., 0], 4, 1)
    yield dft("dft-longer", x, longer, length=8)
    yield dft("dft-shorter", x, shorter, length=4)


def dft(name: str, x: Array, wanted: Array, length: int = 0, **attrs: Any) -> Case:
    expected = np.stack([wanted.real, wanted.imag], -1).astype(F4)
    inputs = [x, np.array(length) if length else None, np.array(1)]
    return node_case(
        "DFT", inputs, name=name, opset=20, constant=[2], fixed=[0], expected=[expected],
        atol=1e-4, **attrs,
    )  # fmt: skip


CASES = {
    case.name: case
    for case in [
        *grids(),
        *affine_grids(),
        *region_cases(),
        *box_cases(),
        *block_cases(),
        *transform_cases(),
    ]
}


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


def test_a_region_of_no_image_is_refused(models: NativeModels) -> None:
    case = CASES["roi-16-avg-0"]
    with pytest.raises(InferenceError, match="a batch index is outside a batch of 2"):
        models.run(case.name, "1", {**case.inputs, "x2": np.array([0, 1, 2, 0])})


def test_a_region_of_any_size_ends(models: NativeModels) -> None:
    """The number of samples grows with the region; those off the image cost nothing."""
    case = CASES["roi-10-avg-0"]
    regions = np.array(
        [[-1e9, -1e9, 1e9, 1e9], [np.nan] * 4, [1e30, 0, -1e30, 9], [0, 0, np.inf, 1]]
    )
    (found,) = models.run(case.name, "1", {**case.inputs, "x1": regions.astype(F4)})
    assert found.shape == (4, 3, 3, 2)
