"""What a user has on disk (JSON, NumPy, an image) as the tensors that a model takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from nnlet.client import ModelInfo, TensorInfo
from nnlet.errors import RequestError

Array = np.ndarray[Any, np.dtype[Any]]

# Pillow's name for an image of so many channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read_inputs(path: Path, model: ModelInfo) -> dict[str, Any]:
    """The values in `path`, nested lists by input name. Raises RequestError."""
    if not path.is_file():
        raise RequestError(f"no such file: {path}")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_json(path, model)
    if suffix in (".npy", ".npz"):
        return _read_numpy(path, model)
    info = _only_input(path, model)
    return {info.name: image_values(path, info)}


def _read_json(path: Path, model: ModelInfo) -> dict[str, Any]:
    """An Open Inference Protocol request, an object by input name, or one input's values."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise RequestError(f"{path}: not valid JSON: {exc}") from exc
    if not isinstance(content, dict):
        return {_only_input(path, model).name: content}
    if not isinstance(content.get("inputs"), list):
        return content
    try:
        return {
            row["name"]: np.reshape(np.array(row["data"]), row["shape"]).tolist()
            for row in content["inputs"]
        }
    except (KeyError, TypeError, ValueError) as exc:
        raise RequestError(
            f"{path}: each of its inputs must have a name, a shape, and data of that shape: {exc}"
        ) from exc


def _read_numpy(path: Path, model: ModelInfo) -> dict[str, Any]:
    try:
        content = np.load(path, allow_pickle=False)
        arrays = (
            {_only_input(path, model).name: content}
            if isinstance(content, np.ndarray)
            else {name: content[name] for name in content.files}
        )
    except (ValueError, OSError, EOFError) as exc:
        raise RequestError(f"{path}: not a NumPy file of numbers: {exc}") from exc
    known = {info.name: info for info in model.inputs}
    return {name: _as_datatype(array, known.get(name)).tolist() for name, array in arrays.items()}


def _as_datatype(array: Array, info: TensorInfo | None) -> Array:
    """Whole numbers for a model of whole numbers, and the reverse, where nothing is lost."""
    if info is None:
        return array
    integral = info.datatype.lstrip("U").startswith("INT")
    if integral and array.dtype.kind == "f" and np.all(array == np.trunc(array)):
        return array.astype(np.int64)
    if info.datatype == "BOOL" and array.dtype.kind in "iu":
        return array.astype(bool)
    return array


def image_values(path: Path, info: TensorInfo) -> Any:
    """The image at `path` in the size, channels and order that the input asks for.

    Values go from 0 to 1, or from 0 to 255 where the input takes whole numbers.
    """
    height, width, channels, channels_first = _image_layout(path, info)
    try:
        with Image.open(path) as image:
            size = (width if width > 0 else image.width, height if height > 0 else image.height)
            pixels = np.asarray(image.convert(_MODES[channels]).resize(size))
    except (UnidentifiedImageError, OSError) as exc:
        raise RequestError(
            f"{path}: neither .json, .npy, .npz nor an image that Pillow reads"
        ) from exc
    pixels = pixels.reshape(size[1], size[0], channels)
    if channels_first:
        pixels = pixels.transpose(2, 0, 1)
    values = pixels[np.newaxis]
    return (values / 255 if info.datatype.startswith(("FP", "BF")) else values).tolist()


def _image_layout(path: Path, info: TensorInfo) -> tuple[int, int, int, bool]:
    """Height, width (-1: the image's own), channels, and whether channels come first."""
    if len(info.shape) == 4:
        _, first, middle, last = info.shape
        if first in _MODES:
            return middle, last, first, True
        if last in _MODES:
            return first, middle, last, False
    raise RequestError(
        f"{path}: input {info} takes no image: expected [batch, channels, height, width] or "
        "[batch, height, width, channels], with 1, 3 or 4 channels"
    )


def _only_input(path: Path, model: ModelInfo) -> TensorInfo:
    if len(model.inputs) != 1:
        names = ", ".join(info.name for info in model.inputs)
        raise RequestError(
            f"{path} holds one tensor, but {model.name} takes {names}: give a JSON object or "
            "an .npz file with these names"
        )
    return model.inputs[0]


def labels_of(about: Mapping[str, Any], output: str) -> tuple[str, ...]:
    """The labels that a model.toml gives to an output."""
    return tuple(about.get("labels", {}).get(output, ()))
