"""PyTorch: a module in eval mode, and what was added answer alike, for any number of rows."""

# ruff: noqa: E402  (what needs torch is imported after it is known to be there)
from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.convert.check import TOLERANCE, answers_of, check_onnxruntime
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError
from nnlet.model import read_repository

HOW = "PyTorch is not installed: pip install torch onnxscript (a build for the CPU is enough)"
pytest.importorskip("torch", reason=HOW)
pytest.importorskip("onnxscript", reason=HOW)

import torch
from torch import nn

from nnlet.convert.converters import read_model_file
from nnlet.convert.torch import convert

TABLE = np.random.default_rng(0).random((20, 4))


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit says that it is deprecated
        yield


def mlp() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)
    )


class Two(nn.Module):
    """Whole numbers into an embedding, others beside; two answers, one called as an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3)
        self.last = nn.Linear(5, 1)

    def forward(self, words: Any, numbers: Any) -> Any:
        beside = torch.cat([self.embedding(words).mean(1), numbers], 1)
        return {"score": self.last(beside), "mean": numbers.mean(1)}


class Branching(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2 if x.sum() > 0 else x


class Fixed(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.reshape(20, 2, 2)


WORDS, NUMBERS = np.arange(54).reshape(9, 6) % 10, np.linspace(0, 1, 18).reshape(9, 2)
CNN = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
EMBEDDING = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(24, 1))

MODELS = {
    "table": (mlp, TABLE, ["features"], ["output"]),
    "tensor": (mlp, torch.tensor(TABLE), ["features"], ["output"]),
    "double": (lambda: nn.Linear(4, 1).double(), TABLE, ["features"], ["output"]),
    "images": (lambda: CNN, torch.rand(6, 1, 8, 8), ["input"], ["output"]),
    "one image": (lambda: CNN, np.random.rand(1, 1, 8, 8), ["input"], ["output"]),
    "tokens": (lambda: EMBEDDING, WORDS, ["features"], ["output"]),
    "two, by place": (Two, (WORDS, NUMBERS), ["words", "numbers"], ["score", "mean"]),
    "two, by name": (
        Two,
        {"numbers": NUMBERS, "words": WORDS},
        ["words", "numbers"],
        ["score", "mean"],
    ),
    "scripted": (lambda: torch.jit.script(mlp()), TABLE, ["features"], ["output"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_module_answers_as_pytorch_for_any_number_of_rows(name: str) -> None:
    make, x, inputs, outputs = MODELS[name]
    converted = convert(make(), sample_of(x), "FP32")
    assert check_onnxruntime(converted, TOLERANCE).passed
    assert list(converted.feeds) == inputs
    assert list(converted.expected) == outputs
    one = {name: array[:1] for name, array in converted.feeds.items()}
    found = answers_of(converted.proto, one)
    for output in outputs:
        np.testing.assert_allclose(
            found[output], converted.expected[output][:1], rtol=1e-4, atol=1e-6
        )


def test_the_module_stays_as_it_is_and_nothing_tells_where_it_was_exported() -> None:
    module = mlp().train()
    converted = convert(module, sample_of(TABLE), "FP32")
    assert module.training
    assert str(Path(__file__).parent).encode() not in converted.proto.SerializeToString()
    assert b"site-packages" not in converted.proto.SerializeToString()


def test_a_classifier_with_labels_is_added(tmp_path: Path) -> None:
    labels = ("cat", "dog", "horse")
    added = nnlet.add(mlp(), "pets", TABLE, labels=labels, into=tmp_path)
    assert "output is no probability: a softmax was put behind it" in added.notes
    (spec,) = read_repository(tmp_path)
    assert [field.kind for field in spec.answer] == ["label", "probabilities"]
    assert spec.answer[0].classes == labels


def exported() -> Any:
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(mlp().eval(), (torch.rand(3, 4),), dynamic_shapes=shapes)


SAVED = {
    "script.pt": lambda path: torch.jit.script(mlp()).save(path),
    "module.pt": lambda path: torch.save(mlp(), path),
    "program.pt2": lambda path: torch.export.save(exported(), path),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_file_is_read_when_trusted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    SAVED[name](path)
    with pytest.raises(ConvertError, match="--trust"):
        read_model_file(path)
    converted = convert(read_model_file(path, trust=True), sample_of(TABLE), "FP32")
    assert check_onnxruntime(converted, TOLERANCE).passed


def test_weights_without_a_module_are_refused(tmp_path: Path) -> None:
    torch.save(mlp().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ConvertError, match="holds weights, not a model: build the module"):
        read_model_file(tmp_path / "weights.pt", trust=True)


@pytest.mark.parametrize(
    ("make", "x", "said"),
    [
        (mlp, TABLE[:, :3], "does not take the sample"),
        (lambda: nn.Linear, TABLE, "is a class: hand over a trained object"),
        (lambda: nn.LSTM(2, 4), np.zeros((3, 5, 2)), "forward answers a tuple as 'output_1'"),
        (Branching, TABLE, "torch.onnx cannot export Branching for any number of rows"),
        (Fixed, TABLE, "torch.onnx cannot export Fixed for any number of rows"),
        (Two, {"words": WORDS, "pictures": NUMBERS}, "'pictures', the module takes words, numbers"),
        (
            lambda: torch.export.export(mlp().eval(), (torch.rand(20, 4),)),
            TABLE,
            "input 'features' takes 20 rows and no other number",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(make: Any, x: Any, said: str) -> None:
    with pytest.raises(ConvertError) as refused:
        convert(make(), sample_of(x), "FP32")
    assert said in str(refused.value)
