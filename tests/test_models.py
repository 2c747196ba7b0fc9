"""The models that ship under models/: small, valid, and as good as their descriptions say.

tests/data/NAME.npz holds the rows that training never saw, the example of model.toml first.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from nnlet.model import ModelSpec, read_repository

ROOT = Path(__file__).parent.parent
SPECS = {spec.name: spec for spec in read_repository(ROOT / "models")}
SHIPPED = ("diabetes", "digits", "iris")


@pytest.fixture(params=SHIPPED)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return SPECS[request.param]


def held_out(spec: ModelSpec) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.load(ROOT / "tests" / "data" / f"{spec.name}.npz") as rows:
        return rows[spec.inputs[0].name], rows["expected"]


def answer(spec: ModelSpec, rows: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(spec.path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {spec.inputs[0].name: rows})
    return np.asarray(output)


def example(spec: ModelSpec) -> NDArray[Any]:
    return np.array(spec.example[spec.inputs[0].name], np.float32)


def right(spec: ModelSpec) -> int:
    rows, expected = held_out(spec)
    return int((answer(spec, rows).argmax(1) == expected).sum())


def test_three_models_ship() -> None:
    assert set(SHIPPED) <= set(SPECS)


def test_inputs_and_outputs_are_as_documented() -> None:
    found = {
        name: [(t.name, t.datatype.name, t.shape) for t in (*spec.inputs, *spec.outputs)]
        for name, spec in SPECS.items()
        if name in SHIPPED
    }
    assert found == {
        "diabetes": [("features", "FP32", (-1, 10)), ("progression", "FP32", (-1, 1))],
        "digits": [("image", "FP32", (-1, 1, 8, 8)), ("probabilities", "FP32", (-1, 10))],
        "iris": [("features", "FP32", (-1, 4)), ("probabilities", "FP32", (-1, 3))],
    }


def test_labels_name_the_classes() -> None:
    assert SPECS["digits"].outputs[0].labels == tuple("0123456789")
    assert SPECS["iris"].outputs[0].labels == ("setosa", "versicolor", "virginica")
    assert SPECS["diabetes"].outputs[0].labels == ()


def test_a_model_is_valid_onnx_under_one_megabyte(spec: ModelSpec) -> None:
    onnx.checker.check_model(spec.path, full_check=True)
    assert spec.size < 1_000_000


def test_a_model_carries_nothing_of_its_training(spec: ModelSpec) -> None:
    graph = onnx.load(spec.path).graph
    assert {graph.input[0].type.tensor_type.shape.dim[0].dim_param} == {"batch"}
    assert not any(item.metadata_props for item in (graph, *graph.node, *graph.initializer))
    assert not {"Dropout", "BatchNormalization"} & {node.op_type for node in graph.node}


def test_the_example_is_the_first_held_out_row(spec: ModelSpec) -> None:
    rows, _ = held_out(spec)
    np.testing.assert_allclose(example(spec), rows[:1], rtol=1e-6)


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_the_example_gets_its_own_class(name: str) -> None:
    _, expected = held_out(SPECS[name])
    assert answer(SPECS[name], example(SPECS[name])).argmax(1) == expected[:1]


def test_a_batch_gives_what_its_rows_give(spec: ModelSpec) -> None:
    rows = held_out(spec)[0][:5]
    one_by_one = np.concatenate([answer(spec, row[None]) for row in rows])
    np.testing.assert_allclose(answer(spec, rows), one_by_one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_probabilities_add_up_to_one(name: str) -> None:
    total = answer(SPECS[name], held_out(SPECS[name])[0]).sum(1)
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_the_score_in_the_description_is_true(name: str) -> None:
    spec = SPECS[name]
    assert f"{right(spec)} of {len(held_out(spec)[1])} held-out rows right" in spec.description


def test_digits_is_right_on_more_than_98_percent_of_unseen_images() -> None:
    assert right(SPECS["digits"]) > 0.98 * len(held_out(SPECS["digits"])[1])


def test_diabetes_explains_what_its_description_says() -> None:
    spec = SPECS["diabetes"]
    rows, expected = held_out(spec)
    error = answer(spec, rows) - expected
    score = 1 - (error**2).mean() / expected.var()
    assert f"R2 {score:.2f}, mean absolute error {abs(error).mean():.0f}" in spec.description
