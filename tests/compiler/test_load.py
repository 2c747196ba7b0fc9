"""load: what is read, what is refused, and in which words."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.compiler.graph import Graph, captured
from nnlet.compiler.load import from_proto, load
from nnlet.compiler.ops import OPS
from nnlet.errors import ModelError, UnsupportedModel
from tests.compiler.onnxtext import model

RELU = "f (float[n, 3] x) => (float[n, 3] y) { y = Relu (x) }"


def test_nodes_ports_and_constants_become_plain_data() -> None:
    proto = model(
        "f (float[n, 3] x) => (float[n, 3] y) { y = Add (x, b) }",
        constants={"b": np.ones(3, np.float32)},
    )
    graph = from_proto(proto, "m", OPS)
    assert [n.op for n in graph.nodes] == ["Add"]
    assert graph.inputs[0].dims == ("n", 3)
    assert graph.constants["b"].tolist() == [1, 1, 1]


def test_all_missing_operators_are_named_at_once() -> None:
    proto = model("f (float[n] x) => (float[n] z) { y = Relu (x) z = Neither (y) }", opset=21)
    proto.graph.node[1].domain = "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    proto.graph.node.append(
        helper.make_node("Nor", ["y"], ["w"], name="nor1", domain="com.example")
    )
    with pytest.raises(UnsupportedModel) as caught:
        from_proto(proto, "m.onnx", OPS)
    text = str(caught.value)
    assert "m.onnx: 2 operator(s)" in text
    assert "com.example.Neither" in text and "com.example.Nor" in text and "'nor1'" in text


@pytest.mark.parametrize("opset", [6, 1000])
def test_unknown_opsets_are_refused(opset: int) -> None:
    with pytest.raises((UnsupportedModel, ModelError), match="opset|version"):
        from_proto(model(RELU, opset=opset), "m.onnx", OPS)


def test_model_functions_are_expanded() -> None:
    proto = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 21, "own" : 1]>
        f (float[n] x) => (float[n] y) { y = own.twice (x) }
        <domain: "own", opset_import: ["" : 21]>
        twice (a) => (b) { b = Add (a, a) }
    """)
    assert [n.op for n in from_proto(proto, "m", OPS).nodes] == ["Add"]


def test_operators_with_a_function_body_and_no_kernel_are_expanded() -> None:
    proto = model("f (float[n] x) => (float[n] y) { y = Relu (x) }")
    table = {name: op for name, op in OPS.items() if name != "Relu"}
    ops = {n.op for n in from_proto(proto, "m", table).nodes}
    assert ops == {"Max", "CastLike", "Constant"} or "Max" in ops


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not"), (b"\x00\xff garbage", "not"), (b"<html>", "not")],
    ids=["empty", "garbage", "html"],
)
def test_files_that_are_not_onnx_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        load(path, OPS)
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = model(
        "f (float[n, 300] x) => (float[n, 300] y) { y = Add (x, b) }",
        constants={"b": np.ones(300, np.float32)},
    )
    path.write_bytes(proto.SerializeToString()[:-200])
    with pytest.raises(ModelError, match="model.onnx"):
        load(path, OPS)


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = model(
        "f (float[n, 300] x) => (float[n, 300] y) { y = Add (x, b) }",
        constants={"b": np.ones(300, np.float32)},
    )
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="weights.bin"):
        load(path, OPS)


def test_captured_names_of_a_subgraph() -> None:
    then = helper.make_graph(
        [helper.make_node("Add", ["x", "k"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [3])],
        [helper.make_tensor("k", TensorProto.FLOAT, [1], [2.0])],
    )
    proto = model("f (float[3] x, bool c) => (float[3] y) { y = Relu (x) }")
    node = helper.make_node("If", ["c"], ["z"], then_branch=then, else_branch=then)
    proto.graph.node.append(node)
    graph = from_proto(proto, "m", [*OPS, "If"])
    branch = graph.nodes[1].attrs["then_branch"]
    assert isinstance(branch, Graph)
    assert captured(branch) == {"x"}
