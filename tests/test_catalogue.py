"""The catalogue: what the build tells the guest of the models."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from nnlet.catalogue import MAX_EXAMPLE, entries, write_catalogue
from nnlet.errors import ModelError
from nnlet.guest.models import Models
from nnlet.model import AnswerSpec, ColumnSpec, ModelSpec, TensorSpec
from nnlet.tensor import DATATYPES


def spec(name: str = "iris", version: str = "1", **more: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        version=version,
        path=Path(f"models/{name}/{version}/model.onnx"),
        digest="0" * 64,
        size=7,
        inputs=(TensorSpec("features", DATATYPES["FP32"], (-1, 4)),),
        outputs=(TensorSpec("scores", DATATYPES["FP32"], (-1, 2), ("a", "ü")),),
        **more,
    )


EXAMPLE = {"features": [[1.0, 2.0, 3.5, -4.0]]}


def test_an_entry_holds_what_the_guest_must_know() -> None:
    assert entries([spec(description="Iris.", example=EXAMPLE)]) == [
        {
            "name": "iris",
            "version": "1",
            "description": "Iris.",
            "digest": "0" * 64,
            "inputs": [("features", "FP32", (-1, 4), ())],
            "outputs": [("scores", "FP32", (-1, 2), ("a", "ü"))],
            "example": EXAMPLE,
        }
    ]


def test_columns_and_answers_are_told_where_they_are_given() -> None:
    column = ColumnSpec("age", "number", "features", 1, missing="nan")
    (entry,) = entries(
        [spec(columns=(column,), answer=(AnswerSpec("sold", "scores", "label", ("no", "yes")),))]
    )
    assert entry["columns"] == [
        {"name": "age", "type": "number", "input": "features", "position": 1, "missing": "nan"}
    ]
    assert entry["answer"] == [
        {"name": "sold", "output": "scores", "kind": "label", "classes": ("no", "yes")}
    ]


def test_the_module_says_the_same(tmp_path: Path) -> None:
    specs = [spec(), spec(version="2", example=EXAMPLE), spec("other")]
    path = write_catalogue(specs, tmp_path / "build" / "guest")
    assert path.name == "nnlet_catalogue.py"
    assert runpy.run_path(str(path))["MODELS"] == entries(specs)


def test_equal_specs_give_equal_bytes(tmp_path: Path) -> None:
    first = write_catalogue([spec(example=EXAMPLE)], tmp_path / "a").read_bytes()
    assert write_catalogue([spec(example=EXAMPLE)], tmp_path / "b").read_bytes() == first


def test_the_guest_reads_it() -> None:
    model = Models(entries([spec(), spec(version="2")])).find("iris")
    assert model.graph == "iris@2"
    assert model.outputs["scores"].labels == ("a", "ü")


def test_a_large_example_is_left_out() -> None:
    example = {"features": [[0.5] * MAX_EXAMPLE]}
    assert entries([spec(example=example)])[0]["example"] == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_an_example_that_is_no_json_is_named(value: object) -> None:
    with pytest.raises(ModelError, match=r"models/iris/model.toml: \[example\] cannot be sent"):
        entries([spec(example={"features": [value]})])
