"""Labels: a network's scores become a class with a name, and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.convert.check import TOLERANCE, check_onnxruntime
from nnlet.convert.converted import Converted
from nnlet.convert.labels import labelled
from nnlet.convert.onnxfile import convert
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError

SCORES = np.array([[2.0, 0.0, -1.0], [0.0, 0.5, 0.4]], np.float32)


def handed_on(scores: Any) -> Converted:
    """A model that answers what it is given."""
    width = scores.shape[1]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["label"])],  # a name that the new output has, too
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("label", TensorProto.FLOAT, ["N", width])],
    )
    opset = [helper.make_opsetid("", 18)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return convert(model, sample_of(scores), "FP32")


@pytest.mark.parametrize(
    ("scores", "labels", "right", "note"),
    [
        (SCORES, ("cat", "dog", "horse"), [0, 1], "a softmax was put behind it"),
        (SCORES[:, :1], ("no", "yes"), [1, 0], "a sigmoid was put behind it"),
        (np.eye(3, dtype=np.float32), (7, 8, 9), [0, 1, 2], ""),
        (np.array([[0.2], [0.9]], np.float32), (False, True), [0, 1], ""),
    ],
)
def test_scores_become_labels(scores: Any, labels: Any, right: Any, note: str) -> None:
    converted = labelled(handed_on(scores), labels)
    assert [spec.kind for spec in converted.answer] == ["label", "probabilities"]
    assert converted.answer[0].classes == labels
    assert converted.expected["label"].tolist() == right
    np.testing.assert_allclose(converted.expected["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert check_onnxruntime(converted, TOLERANCE).passed
    assert note in "".join(converted.notes)
    assert bool(converted.notes) == bool(note)


def test_labels_that_no_output_has_are_refused() -> None:
    with pytest.raises(ConvertError, match=r"2 labels are for one output \[N, 2\], and a sample"):
        labelled(handed_on(SCORES), ("a", "b"))
    with pytest.raises(ConvertError, match="names its classes itself"):
        labelled(labelled(handed_on(SCORES), (1, 2, 3)), ("a", "b", "c"))
