"""Files: models and samples from disk, and what is said of those that cannot be read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import nnlet
from nnlet.convert.converters import CONVERTERS, LOADERS, converter_of, read_model_file, require
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError, NnletError, ToolMissing
from nnlet.model import read_repository
from tests.conftest import add_model


class Evil:
    """Its pickle would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_loaded_unless_trusted(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "was here")))
    with pytest.raises(ConvertError, match=r"runs whatever code .* --trust"):
        read_model_file(path)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"cno_such_package\nModel\n.", ToolMissing, "needs no_such_package, which is not"),
        (b"cnnlet.errors\nNewer\n.", ConvertError, "needs something that this version"),
        (b"\x80\x05", ConvertError, "cannot be unpickled"),
    ],
)
def test_a_pickle_that_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, error: type[NnletError], said: str
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(error, match=said):
        read_model_file(path, trust=True)


def test_what_no_library_made_is_refused() -> None:
    with pytest.raises(ConvertError, match="a builtins.dict is of no library that nnlet converts"):
        converter_of({})


def test_a_missing_library_comes_with_the_line_that_installs_it() -> None:
    with pytest.raises(ToolMissing, match="needs nothing_like_it: pip install nothing_like_it"):
        require(("nothing_like_it",), "sklearn", "this")


def test_every_row_of_the_tables_leads_to_a_function() -> None:
    rows = [*CONVERTERS, *LOADERS.values()]
    for row in rows:
        module, _, name = row.function.partition(":")
        path = Path(nnlet.__file__).parent.parent / (module.replace(".", "/") + ".py")
        assert f"def {name}(" in path.read_text()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"when": np.array(["2026-01-01"], "datetime64[D]")}, "'when' .* neither a number nor"),
        ({"mixed": np.array([1, "a"], object)}, "'mixed' .* not both"),
        ({"a": [1, 2], "b": [1]}, "differ in length: a 2, b 1"),
        ({"a": []}, "no rows"),
    ],
)
def test_a_sample_that_is_no_table_is_refused(data: Any, said: str) -> None:
    with pytest.raises(ConvertError, match=said):
        sample_of(data)


def test_columns_have_types_ranges_and_gaps() -> None:
    values = np.array([1.5, None, float("nan")], object)
    words = np.array(["b", None, "a"], object)
    sample = sample_of({"n": values, "w": words, "i": [3, 1, 2], "t": [True, False, True]})
    assert [c.type for c in sample.columns] == ["number", "category", "integer", "boolean"]
    assert [c.range for c in sample.columns] == [(1.5, 1.5), None, (1.0, 3.0), None]
    assert sample.columns[1].seen == ("a", "b")
    assert [list(c.missing) for c in sample.columns[:2]] == [
        [False, True, True],
        [False, True, False],
    ]


def test_the_target_is_left_out() -> None:
    assert sample_of({"x": [1], "y": [2]}, target="y").names == ("x",)
    with pytest.raises(ConvertError, match="no column 'z' to leave out: it has x, y"):
        sample_of({"x": [1], "y": [2]}, target="z")


def words_to_words() -> onnx.ModelProto:
    """city -> where it is, by LabelEncoder: strings in, strings out."""
    node = helper.make_node(
        "LabelEncoder",
        ["city"],
        ["province"],
        domain="ai.onnx.ml",
        keys_strings=["Utrecht", "Haarlem"],
        values_strings=["UT", "NH"],
        default_string="?",
    )
    row = ["N"]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("city", TensorProto.STRING, row)],
        [helper.make_tensor_value_info("province", TensorProto.STRING, row)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_an_onnx_file_of_words_is_served_with_indices(tmp_path: Path) -> None:
    path = tmp_path / "words.onnx"
    onnx.save(words_to_words(), path)
    added = nnlet.add(path, "words", {"city": ["Utrecht", "Haarlem", "Breda"]}, into=tmp_path / "m")
    assert added.error == 0
    (spec,) = read_repository(tmp_path / "m")
    assert spec.columns[0].categories == ("Utrecht", "Haarlem")
    assert spec.answer[0].classes == ("UT", "NH", "?")
    assert spec.inputs[0].datatype.name == spec.outputs[0].datatype.name == "INT64"


def test_an_onnx_file_without_a_sample_is_compared_on_random_inputs(tmp_path: Path) -> None:
    path = add_model(tmp_path / "from", "double")
    added = nnlet.add(path, "double", into=tmp_path / "m")
    assert "random inputs" in repr(added)
    assert "<table>" in added._repr_html_()
    assert read_repository(tmp_path / "m")[0].columns == ()


def test_a_sample_of_other_columns_than_the_onnx_file_is_refused(tmp_path: Path) -> None:
    path = add_model(tmp_path / "from", "double")
    with pytest.raises(
        ConvertError, match=r"2 columns \(a, b\), the model's inputs are x \[-1, 4\]"
    ):
        nnlet.add(path, "double", {"a": [1.0], "b": [2.0]}, into=tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_cut_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"\xff" * 10)
    with pytest.raises(NnletError, match="not a readable ONNX file"):
        nnlet.add(path, "cut", into=tmp_path / "m")
