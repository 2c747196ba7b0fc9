"""repository: versions only ever added, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.convert.converted import Converted
from nnlet.convert.repository import remove, shelf, staged
from nnlet.errors import ConvertError, ModelError, NnletError
from nnlet.model import read_repository
from nnlet.signature import AnswerSpec, ColumnSpec


def model(categories: tuple[str, ...] = ("a", "b"), answer: str = "prediction") -> Converted:
    """Takes a word, answers its index."""
    row = ["N", 1]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["city"], ["prediction"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("city", TensorProto.INT64, row)],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, row)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return Converted(
        proto=proto,
        columns=(ColumnSpec("city", "category", "city", categories=categories),),
        answer=(AnswerSpec(answer, "prediction", "number"),),
        feeds={"city": np.array([[0], [1]])},
        expected={"prediction": np.array([[0.0], [1.0]])},
        made_by="a test",
    )


def add(models: Path, converted: Converted) -> None:
    with staged(shelf(models, "m"), converted, "A model."):
        pass


def test_versions_are_numbered_and_described(tmp_path: Path) -> None:
    add(tmp_path, model())
    add(tmp_path, model())
    assert [spec.graph for spec in read_repository(tmp_path)] == ["m@1", "m@2"]
    spec = read_repository(tmp_path)[1]
    assert (spec.description, spec.example) == ("A model.", {"city": [[0]]})
    assert (spec.columns, spec.answer) == (model().columns, model().answer)


def test_a_failure_leaves_the_repository_as_it_was(tmp_path: Path) -> None:
    add(tmp_path, model())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(NnletError, match="no"), staged(shelf(tmp_path, "m"), model(), ""):
        raise NnletError("no")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_version_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    add(tmp_path, model())
    other = tmp_path / "m" / "2" / "model.onnx"
    with pytest.raises(ConvertError, match="appeared while"):
        with staged(shelf(tmp_path, "m"), model(), ""):
            other.parent.mkdir()
            other.write_bytes(b"other")
    assert other.read_bytes() == b"other"


def test_new_categories_go_to_the_end_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    add(tmp_path, model())
    toml = tmp_path / "m" / "model.toml"
    toml.write_text(toml.read_text().replace("A model.", "Mine.") + "# kept\n")
    add(tmp_path, model(("a", "b", "c")))
    assert read_repository(tmp_path)[0].columns[0].categories == ("a", "b", "c")
    assert 'description = "Mine."' in toml.read_text()
    assert toml.read_text().endswith("# kept\n")


@pytest.mark.parametrize(
    ("converted", "said"),
    [
        (model(("b", "a")), "other categories of city"),
        (model(answer="price"), "other answer than version 1: price"),
    ],
)
def test_another_signature_is_another_model(
    tmp_path: Path, converted: Converted, said: str
) -> None:
    add(tmp_path, model())
    with pytest.raises(ConvertError) as refused:
        add(tmp_path, converted)
    assert said in str(refused.value)
    assert "add it under another name" in str(refused.value)


def test_remove_takes_a_version_or_all(tmp_path: Path) -> None:
    for _ in range(3):
        add(tmp_path, model())
    assert remove(tmp_path, "m", "2") == ["2"]
    assert [spec.version for spec in read_repository(tmp_path)] == ["1", "3"]
    assert remove(tmp_path, "m") == ["1", "3"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("x", None, "no model 'x'"),
        ("m", "2", "no version '2': it has 1"),
        ("m", "1", "the only version of m"),
        ("../m", None, "a model's name is letters"),
    ],
)
def test_what_cannot_be_removed_is_said(
    tmp_path: Path, name: str, version: str | None, said: str
) -> None:
    add(tmp_path, model())
    with pytest.raises(ModelError, match=said):
        remove(tmp_path, name, version)
    assert onnx.load(tmp_path / "m" / "1" / "model.onnx").graph.name == "g"
