"""[[answer]] of model.toml: what is read, and the one clear line for what is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nnlet.answers import read_answer
from nnlet.errors import ModelError
from nnlet.signature import AnswerSpec, TensorSpec
from nnlet.tensor import DATATYPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOML = Path("models/m/model.toml")


def tensor(name: str = "y", datatype: str = "FP32", *shape: int) -> TensorSpec:
    return TensorSpec(name, DATATYPES[datatype], shape)


SCORES = tensor("y", "FP32", -1, 2)


def read(text: str, *outputs: TensorSpec) -> tuple[AnswerSpec, ...]:
    found: Any = tomllib.loads(text).get("answer", [])
    return read_answer(TOML, found, outputs or (SCORES,))


def answer(*lines: str, name: str = "y") -> str:
    """One table."""
    return "\n".join(["[[answer]]", f'name = "{name}"', *lines, ""])


def refused(text: str, *words: str, outputs: tuple[TensorSpec, ...] = ()) -> None:
    with pytest.raises(ModelError) as caught:
        read(text, *outputs)
    message = str(caught.value)
    assert message.startswith(f"{TOML}: ") and "\n" not in message
    for word in words:
        assert word in message


LABEL = 'kind = "label"'
PROBABILITIES = 'kind = "probabilities"'
NUMBER = 'kind = "number"'
NUMBERS = 'kind = "numbers"'
CLASSES = 'classes = ["no", "yes"]'


def test_an_answer_is_read_in_order() -> None:
    text = (
        answer(LABEL, CLASSES, 'output = "label"', name="sold")
        + answer(PROBABILITIES, CLASSES, 'output = "y"', name="probabilities")
        + answer(NUMBER, name="price")
        + answer(NUMBERS, 'names = ["0.05", "0.95"]', name="quantiles")
    )
    outputs = (
        tensor("label", "INT64", -1),
        SCORES,
        tensor("price", "FP32", -1, 1),
        tensor("quantiles", "FP64", -1, 2),
    )
    assert read(text, *outputs) == (
        AnswerSpec("sold", "label", "label", ("no", "yes")),
        AnswerSpec("probabilities", "y", "probabilities", ("no", "yes")),
        AnswerSpec("price", "price", "number"),
        AnswerSpec("quantiles", "quantiles", "numbers", names=("0.05", "0.95")),
    )


@pytest.mark.parametrize("values", ["[0, 1]", "[true, false]", "[0.5, 1.5]", '["a", "b"]'])
def test_classes_are_scalars_of_one_type(values: str) -> None:
    (found,) = read(answer(PROBABILITIES, f"classes = {values}"))
    assert list(found.classes) == tomllib.loads(f"v = {values}")["v"]


@pytest.mark.parametrize(
    ("lines", "output"),
    [
        ((LABEL, CLASSES), tensor("y", "INT64", -1)),
        ((LABEL, CLASSES), tensor("y", "BOOL", -1, 1)),
        ((LABEL, CLASSES), tensor("y", "FP32", -1, 2)),
        ((LABEL, CLASSES), tensor("y", "FP32", -1, -1)),
        ((PROBABILITIES, CLASSES), tensor("y", "FP16", 1, 2)),
        ((NUMBER,), tensor("y", "INT32", -1)),
        ((NUMBERS,), tensor("y", "FP32", -1, 7)),
        ((NUMBERS,), tensor("y", "FP32")),
    ],
    ids=repr,
)
def test_an_output_that_fits(lines: tuple[str, ...], output: TensorSpec) -> None:
    assert len(read(answer(*lines), output)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("answer = 'y'", ("answer is 'y'", "[[answer]]")),
        (answer(), ("kind is missing", "label, probabilities, number, numbers")),
        (answer('kind = "class"'), ("kind is 'class'", "label, probabilities, number, numbers")),
        (answer(NUMBER, "class = 1"), ("unknown key 'class'", "classes")),
        (answer(NUMBERS) * 2, ("'y' stands there twice",)),
        (answer(NUMBERS, name="z"), ("no output 'z'", "outputs are y")),
        (answer(NUMBERS, 'output = ""'), ("output is ''",)),
        (answer(LABEL), ("classes is missing",)),
        (answer(LABEL, 'classes = ["a", "a"]'), ("classes has 'a' twice",)),
        (answer(LABEL, 'classes = ["a", 1]'), ("values of one type",)),
        (answer(NUMBERS, CLASSES), ("classes belongs to kind =",)),
        (answer(LABEL, CLASSES, 'names = ["a"]'), ('names belongs to kind = "numbers" only',)),
        (answer(NUMBERS, "names = [1, 2]"), ("names is [1, 2]", "strings")),
        (answer(NUMBER), ("FP32 [-1, 2]", "expected [N] or [N, 1]")),
        (answer(NUMBERS, 'names = ["a"]'), ("[-1, 2]", "expected [N, 1]", "of 1 names")),
        (answer(LABEL, "classes = [1, 2, 3]"), ("expected [N, 3]", "of 3 classes")),
        (answer(PROBABILITIES, "classes = [1]"), ("expected [N, 1]", "of 1 classes")),
    ],
)
def test_a_broken_answer(text: str, words: tuple[str, ...]) -> None:
    refused(text, *words)


def test_probabilities_are_floating_point() -> None:
    output = tensor("y", "INT64", -1, 2)
    refused(answer(PROBABILITIES, CLASSES), "INT64", "floating point", outputs=(output,))


def test_a_label_of_integers_is_one_a_row() -> None:
    output = tensor("y", "INT64", -1, 2)
    refused(answer(LABEL, CLASSES), "INT64 [-1, 2]", "[N] or [N, 1]", outputs=(output,))
