"""nnlet.model: what it reads, and the one clear line for everything it cannot read."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnlet.errors import ModelError, UnsupportedModel
from nnlet.model import (
    AnswerSpec,
    ColumnSpec,
    ModelSpec,
    load_onnx,
    read_repository,
    read_toml,
    tensor_spec,
)


def relu(elem_type: int = TensorProto.FLOAT, shape: tuple[int | str, ...] = ("batch", 3)) -> bytes:
    """The smallest model: y = relu(x)."""
    x = helper.make_tensor_value_info("x", elem_type, shape)
    y = helper.make_tensor_value_info("y", elem_type, shape)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    return bytes(helper.make_model(graph).SerializeToString())


def put(
    root: Path, name: str = "m", version: str = "1", onnx_file: bytes = b"", toml: str = ""
) -> Path:
    """A model folder under `root`; a ReLU unless `onnx_file` says otherwise."""
    folder = root / name
    (folder / version).mkdir(parents=True)
    (folder / version / "model.onnx").write_bytes(onnx_file or relu())
    if toml:
        (folder / "model.toml").write_text(toml, encoding="utf-8")
    return folder


def refused(root: Path, *words: str) -> None:
    """Reading `root` raises a ModelError of one line that holds all `words`."""
    with pytest.raises(ModelError) as caught:
        read_repository(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_model_is_read_with_its_toml(tmp_path: Path) -> None:
    put(
        tmp_path,
        toml='description = "d"\n[labels]\ny = ["a", "b", "c"]\n[example]\nx = [[1, 2, 3]]\n',
    )
    (spec,) = read_repository(tmp_path)
    assert (spec.name, spec.version, spec.graph) == ("m", "1", "m@1")
    assert (spec.description, spec.example) == ("d", {"x": [[1, 2, 3]]})
    assert (spec.inputs[0].shape, spec.inputs[0].datatype.name) == ((-1, 3), "FP32")
    assert spec.outputs[0].labels == ("a", "b", "c")
    assert spec.size == len(relu())


def test_columns_and_answers_are_read_with_it(tmp_path: Path) -> None:
    columns = "".join(
        f'[[columns]]\nname = "{name}"\ntype = "number"\ninput = "x"\nposition = {position}\n'
        for position, name in enumerate("abc")
    )
    put(tmp_path, toml=f'{columns}[[answer]]\nname = "y"\nkind = "numbers"\n')
    (spec,) = read_repository(tmp_path)
    assert spec.columns[2] == ColumnSpec("c", "number", "x", 2)
    assert spec.answer == (AnswerSpec("y", "y", "numbers"),)


def test_a_model_needs_no_toml(tmp_path: Path) -> None:
    put(tmp_path)
    assert read_repository(tmp_path)[0].description == ""


def test_versions_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for version in ("10", "9", "1"):
        put(tmp_path, version=version)
    assert [spec.version for spec in read_repository(tmp_path)] == ["1", "9", "10"]


def test_the_digest_follows_the_bytes(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    put(tmp_path, "c", onnx_file=relu(shape=(1, 3)))
    a, b, c = (spec.digest for spec in read_repository(tmp_path))
    assert a == b != c


def test_hidden_and_unnumbered_folders_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path)
    put(tmp_path, ".cache")
    (tmp_path / "m" / "drafts").mkdir()
    assert [spec.graph for spec in read_repository(tmp_path)] == ["m@1"]


def test_initializers_are_not_inputs(tmp_path: Path) -> None:
    proto = onnx.load_from_string(relu())
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    put(tmp_path, onnx_file=proto.SerializeToString())
    assert [t.name for t in read_repository(tmp_path)[0].inputs] == ["x"]


def test_a_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no models folder", "NAME/VERSION/model.onnx")


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "holds no model")


@pytest.mark.parametrize("name", ["a b", "-a", "_a", "é", "a" * 129, "a@1"])
def test_a_bad_folder_name(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    refused(tmp_path, repr(name), "rename the folder")


@pytest.mark.parametrize("version", ["v1", "0", "01", "latest"])
def test_no_version_folder(tmp_path: Path, version: str) -> None:
    put(tmp_path, version=version)
    refused(tmp_path, "has no version", "m/1/model.onnx")


def test_a_version_without_a_model(tmp_path: Path) -> None:
    (put(tmp_path) / "1" / "model.onnx").unlink()
    refused(tmp_path, "model.onnx", "no such file")


def test_a_folder_where_the_model_should_be(tmp_path: Path) -> None:
    path = put(tmp_path) / "1" / "model.onnx"
    path.unlink()
    path.mkdir()
    refused(tmp_path, str(path))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("labels = [\n?]", ("not valid TOML", "line 2")),
        ("descripton = 'typo'", ("unknown key 'descripton'", "description, example, labels")),
        ("description = 3", ("'description' must be a string",)),
        ("labels = ['a']", ("[labels] must map",)),
        ("[labels]\ny = 'a'", ("[labels] must map",)),
        ("[labels]\ny = [1, 2, 3]", ("[labels] must map",)),
        ("example = [1]", ("[example] must map",)),
        ("[labels]\nz = ['a']", ("[labels] names output 'z'", "outputs are y")),
        ("[[columns]]\nname = 'z'\ntype = 'number'", ("'z'", "inputs are x")),
        ("[[answer]]\nname = 'z'\nkind = 'number'", ("'z'", "outputs are y")),
        ("[example]\nz = [1]", ("[example] names input 'z'", "inputs are x")),
    ],
)
def test_a_broken_toml(tmp_path: Path, toml: str, words: tuple[str, ...]) -> None:
    put(tmp_path, toml=toml)
    refused(tmp_path, "model.toml", *words)


def test_a_toml_that_is_not_utf8(tmp_path: Path) -> None:
    (put(tmp_path) / "model.toml").write_bytes(b'description = "\xff"')
    refused(tmp_path, "model.toml", "not valid TOML")


def test_an_absent_toml_is_an_empty_one(tmp_path: Path) -> None:
    assert read_toml(tmp_path / "model.toml") == {}


@pytest.mark.parametrize(
    "content",
    [b"not a model", b"\x00" * 64, relu()[:-20], b"<!DOCTYPE html><html></html>"],
    ids=["text", "zeros", "truncated", "html"],
)
def test_a_corrupt_model(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, onnx_file=content)
    refused(tmp_path, "model.onnx", "ONNX")


def test_an_empty_model(tmp_path: Path) -> None:
    (put(tmp_path) / "1" / "model.onnx").write_bytes(b"")
    refused(tmp_path, "model.onnx", "not an ONNX model")


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path = put(tmp_path) / "1" / "model.onnx"
    proto = onnx.load_from_string(relu())
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(999, np.float32), "w"))
    onnx.save(
        proto, path, save_as_external_data=True, location="weights.bin", convert_attribute=False
    )
    assert load_onnx(path).graph.initializer[0].raw_data
    (path.parent / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx.*weights\.bin"):
        load_onnx(path)


def test_a_datatype_that_is_not_served(tmp_path: Path) -> None:
    put(tmp_path, onnx_file=relu(TensorProto.STRING))
    refused(tmp_path, "input 'x' has datatype string", "FP32")


def test_an_input_without_a_shape(tmp_path: Path) -> None:
    proto = onnx.load_from_string(relu())
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    put(tmp_path, onnx_file=proto.SerializeToString())
    refused(tmp_path, "input 'x' has no shape")


def test_a_sequence_says_how_to_export_instead() -> None:
    value = helper.make_tensor_sequence_value_info("probabilities", TensorProto.FLOAT, None)
    with pytest.raises(UnsupportedModel, match="zipmap"):
        tensor_spec(value, Path("model.onnx"), "output")


def test_specs_do_not_change_after_reading(tmp_path: Path) -> None:
    put(tmp_path)
    spec = read_repository(tmp_path)[0]
    assert isinstance(spec, ModelSpec)
    with pytest.raises(AttributeError):
        spec.name = "other"  # type: ignore[misc]
