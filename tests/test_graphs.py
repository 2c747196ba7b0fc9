"""The files that OpenVINO is handed, judged by OpenVINO itself against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from conftest import add_model
from onnx import TensorProto, helper, numpy_helper

from nnlet.graphs import write_graphs
from nnlet.model import ModelSpec, read_repository
from nnlet.tensor import DATATYPES

OPSET = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def save(path: Path, graph: onnx.GraphProto, **options: object) -> ModelSpec:
    path.parent.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path, **options)
    (spec,) = read_repository(path.parent.parent.parent)
    return spec


def test_an_ordinary_model_is_handed_over_as_it_is(tmp_path: Path) -> None:
    original = add_model(tmp_path / "models", "double")
    stale = tmp_path / "graphs" / "gone@1"
    stale.mkdir(parents=True)
    write_graphs(read_repository(tmp_path / "models"), tmp_path / "graphs")
    graph = tmp_path / "graphs" / "double@1"
    assert (graph / "model.xml").read_bytes() == original.read_bytes()
    assert (graph / "model.bin").read_bytes() == b"\0"
    assert not stale.exists()


def test_weights_in_files_of_their_own_move_inside(tmp_path: Path) -> None:
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "external",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "models" / "external" / "1" / "model.onnx"
    spec = save(path, graph, save_as_external_data=True, location="weights.bin", size_threshold=0)
    write_graphs([spec], tmp_path / "graphs")
    (answer,) = infer(tmp_path / "graphs" / spec.graph, {"x": np.ones((1, 4), np.float32)})
    assert answer.tolist() == [[18, 22, 26]]


def test_datatypes_that_wasi_nn_has_not_cross_in_their_carrier(tmp_path: Path) -> None:
    """A BOOL and an INT8 go in, a BOOL and an INT8 come out; one is used in a branch."""
    branch = helper.make_graph(
        [helper.make_node("Neg", ["number"], ["negative"])],
        "then",
        [],
        [helper.make_tensor_value_info("negative", TensorProto.INT8, [2])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["number"], ["same"])],
        "else",
        [],
        [helper.make_tensor_value_info("same", TensorProto.INT8, [2])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Not", ["flag"], ["inverse"]),
            helper.make_node("If", ["flag"], ["result"], then_branch=branch, else_branch=other),
        ],
        "typed",
        [
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
            helper.make_tensor_value_info("number", TensorProto.INT8, [2]),
        ],
        [
            helper.make_tensor_value_info("inverse", TensorProto.BOOL, []),
            helper.make_tensor_value_info("result", TensorProto.INT8, [2]),
        ],
    )
    spec = save(tmp_path / "models" / "typed" / "1" / "model.onnx", graph)
    write_graphs([spec], tmp_path / "graphs")
    folder = tmp_path / "graphs" / spec.graph
    onnx.checker.check_model(onnx.load(folder / "model.xml"), full_check=True)
    for flag, expected in ((True, [-1, 2]), (False, [1, -2])):
        number = np.array([1, -2])
        carried = {"flag": np.array(flag, np.uint8), "number": number.astype(np.int32)}
        inverse, result = infer(folder, carried)
        assert (inverse.dtype, result.dtype) == (np.uint8, np.int32)
        assert inverse.item() == int(not flag)
        assert result.tolist() == expected
        session = onnxruntime.InferenceSession(spec.path, providers=["CPUExecutionProvider"])
        own = {"flag": np.array(flag), "number": number.astype(np.int8)}
        assert session.run(None, own)[1].tolist() == expected


def infer(folder: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU")
    return [np.array(value) for value in compiled(feeds).values()]


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "INT16", "UINT16", "UINT32", "UINT64"])
def test_every_datatype_is_handed_over_in_one_that_wasi_nn_has(
    datatype: str, tmp_path: Path
) -> None:
    row = DATATYPES[datatype]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", row.onnx, [3])],
        [helper.make_tensor_value_info("y", row.onnx, [3])],
    )
    spec = save(tmp_path / "models" / "same" / "1" / "model.onnx", graph)
    write_graphs([spec], tmp_path / "graphs")
    carrier = np.dtype(f"{DATATYPES[row.carrier].kind}{DATATYPES[row.carrier].size}")
    values = np.array([0, 1, 1], carrier)
    (answer,) = infer(tmp_path / "graphs" / spec.graph, {"x": values})
    assert answer.dtype == carrier
    assert answer.tolist() == [0, 1, 1]


def test_trees_are_handed_over_as_plain_onnx(tmp_path: Path) -> None:
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_ids=[0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_weights=[10.0, 20.0],
    )
    graph = helper.make_graph(
        [node],
        "tree",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
    )
    spec = save(tmp_path / "models" / "tree" / "1" / "model.onnx", graph)
    write_graphs([spec], tmp_path / "graphs")
    rows = np.array([[9, 0.5], [0, 0.6]], np.float32)
    (answer,) = infer(tmp_path / "graphs" / spec.graph, {"x": rows})
    assert answer.tolist() == [[10], [20]]
