"""Files on disk as tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnlet.client import ModelInfo, TensorInfo
from nnlet.errors import RequestError
from nnlet.inputs import read_inputs


def model(*inputs: TensorInfo) -> ModelInfo:
    return ModelInfo("model", ("1",), inputs, ())


ROW = model(TensorInfo("x", "FP32", (-1, 2)))
PAIR = model(TensorInfo("a", "FP32", (-1,)), TensorInfo("b", "INT64", (-1,)))
GREY = TensorInfo("image", "FP32", (-1, 1, 2, 4))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([[1, 2]], {"x": [[1, 2]]}),
        ({"x": [[1, 2]]}, {"x": [[1, 2]]}),
        ({"inputs": [{"name": "x", "shape": [1, 2], "data": [1, 2]}]}, {"x": [[1, 2]]}),
    ],
)
def test_json_in_three_forms(tmp_path: Path, content: Any, expected: Any) -> None:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(content))
    assert read_inputs(path, ROW) == expected


def test_numpy_arrays_by_position_and_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "row.npy", np.array([[1.5, 2]]))
    assert read_inputs(tmp_path / "row.npy", ROW) == {"x": [[1.5, 2]]}
    np.savez(tmp_path / "pair.npz", a=np.array([0.5]), b=np.array([3.0]))
    values = read_inputs(tmp_path / "pair.npz", PAIR)
    assert values == {"a": [0.5], "b": [3]}
    assert isinstance(values["b"][0], int)


def test_an_image_gets_the_size_and_channels_that_the_model_takes(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (40, 20), (255, 0, 0)).save(path)
    grey = np.array(read_inputs(path, model(GREY))["image"])
    assert grey.shape == (1, 1, 2, 4)
    assert np.allclose(grey, 76 / 255)
    bytes_last = TensorInfo("image", "UINT8", (1, 2, 4, 3))
    colour = np.array(read_inputs(path, model(bytes_last))["image"])
    assert colour.shape == (1, 2, 4, 3)
    assert colour[0, 0, 0].tolist() == [255, 0, 0]
    any_size = TensorInfo("image", "FP32", (-1, 3, -1, -1))
    assert np.array(read_inputs(path, model(any_size))["image"]).shape == (1, 3, 20, 40)


@pytest.mark.parametrize(
    ("name", "content", "info", "message"),
    [
        ("gone.json", None, ROW, "no such file"),
        ("input.json", b"[1,", ROW, "not valid JSON"),
        ("input.json", b'{"inputs": [{"name": "x"}]}', ROW, "must have a name, a shape, and data"),
        ("input.json", b"[1]", PAIR, "holds one tensor, but model takes a, b"),
        ("input.npy", b"no numpy", ROW, "not a NumPy file"),
        ("input.npz", b"no zip", PAIR, "not a NumPy file"),
        ("input.png", b"no image", model(GREY), "nor an image that Pillow reads"),
        ("input.png", b"", ROW, r"input x FP32 \[\?, 2\] takes no image"),
    ],
)
def test_what_cannot_be_sent_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, info: ModelInfo, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        read_inputs(path, info)
