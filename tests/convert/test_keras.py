"""Keras: a trained model, and what was added answer alike."""

# ruff: noqa: E402  (what needs Keras is imported after it is known to be there)
from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.convert.check import TOLERANCE, check_onnxruntime
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError

HOW = "Keras is not installed: pip install --require-hashes -r requirements/keras.txt"
for package in ("keras", "tensorflow", "tf2onnx"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(HOW, allow_module_level=True)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras
    from keras import layers

    from nnlet.convert.converters import read_model_file
    from nnlet.convert.keras import convert

RNG = np.random.default_rng(0)
TABLE = RNG.random((20, 4))


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own, of NumPy's next version
        yield


def mlp() -> Any:
    return keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


def cnn() -> Any:
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def two() -> Any:
    a, b = layers.Input((4,), name="a"), layers.Input((2,), name="b")
    return keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))


def lstm() -> Any:
    return keras.Sequential([layers.Input((5, 2)), layers.LSTM(4), layers.Dense(1)])


MODELS = {
    "mlp": (mlp, TABLE),
    "cnn": (cnn, RNG.random((5, 8, 8, 1))),
    "two": (two, {"b": RNG.random((6, 2)), "a": RNG.random((6, 4))}),
    "two, by place": (two, (RNG.random((6, 4)), RNG.random((6, 2)))),
    "lstm": (lstm, RNG.random((6, 5, 2))),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_keras(name: str) -> None:
    make, x = MODELS[name]
    converted = convert(make(), sample_of(x), "FP32")
    assert check_onnxruntime(converted, TOLERANCE).passed
    assert list(converted.expected) == ["output"]
    for value in converted.proto.graph.input:
        assert not value.type.tensor_type.shape.dim[0].dim_value


def test_a_keras_file_is_added_when_trusted(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    mlp().save(path)
    with pytest.raises(ConvertError, match="--trust"):
        read_model_file(path)
    added = nnlet.add(path, "mlp", TABLE, into=tmp_path / "models", trust=True)
    assert added.error <= TOLERANCE
    assert added.made_by.startswith("Sequential of Keras")


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ConvertError, match="does not take the sample"):
        convert(mlp(), sample_of(TABLE[:, :3]), "FP32")
    with pytest.raises(ConvertError, match="inputs are a, b: expected an array for each"):
        convert(two(), sample_of(TABLE), "FP32")
    with pytest.raises(ConvertError, match="is not a model"):
        convert(layers.Dense(1), sample_of(TABLE), "FP32")
