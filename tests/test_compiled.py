"""The compiled provider: made once, checked once, composed, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT, add_model

from nnlet import compiled
from nnlet.build import Component
from nnlet.cli import app
from nnlet.compiled import compile_repository, composed, models_component, verify_models
from nnlet.errors import BuildError, UnsupportedModel, VerifyError
from nnlet.interfaces import Interfaces
from nnlet.model import read_repository
from nnlet.project import Project


def test_a_repository_becomes_a_provider_that_answers_as_onnxruntime(project: Project) -> None:
    output = project.build / "m.wasm"
    size = compile_repository(project.models, output)
    assert size == output.stat().st_size
    (report,) = verify_models(read_repository(project.models), output)
    assert report.passed and report.compared > 3
    assert not Interfaces(output.read_bytes()).imports


def test_the_same_models_give_the_same_bytes(project: Project) -> None:
    first, second = project.build / "1.wasm", project.build / "2.wasm"
    compile_repository(project.models, first)
    compile_repository(project.models, second)
    assert first.read_bytes() == second.read_bytes()


def test_only_models_that_changed_are_verified_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fake(specs: list[compiled.ModelSpec], component: Path) -> list[object]:
        asked.extend(spec.graph for spec in specs)
        return []

    monkeypatch.setattr(compiled, "verify_models", fake)
    models_component(project)
    models_component(project)
    assert asked == ["double@1"]
    add_model(project.models, "triple")
    models_component(project)
    assert asked == ["double@1", "triple@1"]


def test_a_model_that_differs_is_not_served(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(specs: object, component: Path) -> list[object]:
        raise VerifyError("double@1: the compiled model and onnxruntime disagree")

    monkeypatch.setattr(compiled, "verify_models", wrong)
    for _ in range(2):  # and is not taken for verified the next time
        with pytest.raises(VerifyError, match="disagree"):
            models_component(project)


def test_what_is_no_component_is_not_composed(project: Project, tmp_path: Path) -> None:
    models = models_component(project)
    broken = tmp_path / "app.wasm"
    broken.write_bytes(b"\0asm")
    with pytest.raises(BuildError, match="the function"):
        composed(project, Component(broken, "k"), models, compiled.silent)


def test_missing_operators_are_listed_with_exit_code_1(project: Project) -> None:
    import onnx

    path = project.models / "double" / "1" / "model.onnx"
    proto = onnx.load(path)
    proto.graph.node[0].op_type = "RandomNormalLike"
    del proto.graph.node[0].input[1:]
    onnx.save(proto, path)
    with pytest.raises(UnsupportedModel, match="RandomNormalLike"):
        compile_repository(project.models, project.build / "m.wasm")
    assert not (project.build / "m.wasm").exists()


@pytest.mark.parametrize("flavour", ["relaxed", "simd128"])
def test_the_commands_compile_and_verify(tmp_path: Path, flavour: str) -> None:
    output = tmp_path / "models.wasm"
    runner = CliRunner()
    models = str(ROOT / "models")
    made = runner.invoke(
        app, ["compile", models, "-o", str(output), "--flavour", flavour, "--json"]
    )
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["bytes"] == output.stat().st_size
    checked = runner.invoke(app, ["verify", models, "--component", str(output), "--json"])
    assert checked.exit_code == 0, checked.output
    reports = json.loads(checked.stdout)
    assert [r["model"] for r in reports] == ["diabetes@1", "digits@1", "iris@1"]
    assert all(r["passed"] and r["compared"] == 5 for r in reports)


def test_a_classifier_with_words_for_classes_answers_with_its_scores(tmp_path: Path) -> None:
    """As skl2onnx writes one: a label of strings, and scores in a ZipMap."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, 0.0, 0.0, 1.0],
            intercepts=[0.0, 0.5],
            classlabels_strings=["ash", "beech"],
            post_transform="SOFTMAX",
        ),
        helper.make_node(
            "ZipMap",
            ["scores"],
            ["maps"],
            domain="ai.onnx.ml",
            classlabels_strings=["ash", "beech"],
        ),
    ]
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(
            TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        )
    )
    graph = helper.make_graph(
        nodes,
        "classes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            onnx.ValueInfoProto(name="maps", type=maps),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = tmp_path / "trees" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    (spec,) = read_repository(tmp_path)
    assert [(o.name, o.shape, o.labels) for o in spec.outputs] == [
        ("maps", (-1, 2), ("ash", "beech"))
    ]
    compile_repository(tmp_path, tmp_path / "m.wasm")
    (report,) = verify_models([spec], tmp_path / "m.wasm")
    assert report.passed and report.compared == 4
