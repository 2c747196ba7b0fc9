"""labels: names for the classes of a model that knows only numbers, a network mostly.

Its scores [N, C] become `label` and `probabilities`. Scores that are no probabilities, as they
come out of a last linear layer, go through a softmax first; one score for two classes through a
sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnlet.convert.converted import Array, Converted
from nnlet.convert.graphs import keep_outputs
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec, Scalar

LABEL, PROBABILITIES = "label", "probabilities"
CLOSE = 1e-3  # probabilities of float32, or of less, add up to 1 within this


def labelled(converted: Converted, labels: Sequence[Scalar]) -> Converted:
    """With names for the classes. Raises ConvertError unless one output has a score for each."""
    name, scores = _scores(converted, labels)
    proto = onnx.ModelProto()
    proto.CopyFrom(converted.proto)
    graph = proto.graph
    others = [value.name for value in graph.output if value.name != name]
    value, note = _as_probabilities(graph, name, scores)
    graph.node.append(helper.make_node("ArgMax", [value], ["labels/index"], axis=1, keepdims=0))
    elem = next(v for v in graph.output if v.name == name).type.tensor_type.elem_type
    graph.output.extend(
        [
            helper.make_tensor_value_info("labels/index", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("labels/scores", elem, ["N", len(labels)]),
        ]
    )
    graph.node.append(helper.make_node("Identity", [value], ["labels/scores"]))
    keep_outputs(
        proto,
        {"labels/index": LABEL, "labels/scores": PROBABILITIES, **{o: o for o in others}},
    )
    classes = tuple(labels)
    right = _probabilities(scores)
    return replace(
        converted,
        proto=proto,
        answer=(
            AnswerSpec(LABEL, LABEL, "label", classes),
            AnswerSpec(PROBABILITIES, PROBABILITIES, "probabilities", classes),
            *(spec for spec in converted.answer if spec.output != name),
        ),
        expected={
            LABEL: right.argmax(axis=1),
            PROBABILITIES: right,
            **{other: converted.expected[other] for other in others},
        },
        notes=(*converted.notes, *([note] if note else [])),
    )


def _scores(converted: Converted, labels: Sequence[Scalar]) -> tuple[str, Array]:
    """The output that has a score for each label, or one score for two."""
    if any(spec.kind == "label" for spec in converted.answer):
        raise ConvertError("the model names its classes itself: leave labels out")
    widths = (len(labels), 1) if len(labels) == 2 else (len(labels),)
    found = [
        (name, values)
        for name, values in converted.expected.items()
        if values.ndim == 2 and values.shape[1] in widths and values.dtype.kind == "f"
    ]
    if len(found) == 1:
        return found[0]
    shapes = {name: list(values.shape) for name, values in converted.expected.items()}
    raise ConvertError(
        f"{len(labels)} labels are for one output [N, {len(labels)}], and a sample: found "
        f"{shapes or 'no sample'}"
    )


def _is_probable(scores: Array) -> bool:
    """Whether the scores are probabilities already."""
    within = bool(((scores >= 0) & (scores <= 1)).all())
    return within and (scores.shape[1] == 1 or bool(np.allclose(scores.sum(axis=1), 1, atol=CLOSE)))


def _probabilities(scores: Array) -> Array:
    if scores.shape[1] == 1:
        one = scores if _is_probable(scores) else 1 / (1 + np.exp(-scores))
        return np.concatenate([1 - one, one], axis=1)
    if _is_probable(scores):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


def _as_probabilities(graph: onnx.GraphProto, name: str, scores: Array) -> tuple[str, str]:
    """The value that is probabilities, and what a person should know of it."""
    probable = _is_probable(scores)
    value, note = name, ""
    if not probable:
        value = "labels/probabilities"
        op = "Sigmoid" if scores.shape[1] == 1 else "Softmax"  # whose axis is the last
        graph.node.append(helper.make_node(op, [name], [value]))
        note = f"{name} is no probability: a {op.lower()} was put behind it"
    if scores.shape[1] == 1:
        one = numpy_helper.from_array(np.array([[1]], scores.dtype), "labels/one")
        graph.initializer.append(one)
        graph.node.append(helper.make_node("Sub", [one.name, value], ["labels/other"]))
        both = helper.make_node("Concat", ["labels/other", value], ["labels/both"], axis=1)
        graph.node.append(both)
        value = "labels/both"
    return value, note
