"""A trained torch module becomes what nnlet serves and what its tests check.

    models/NAME/1/model.onnx   a clean graph: good names, a free batch, no training leftovers
    models/NAME/model.toml     description with the held-out score, labels, columns and answer
                               for /predict, one real example
    tests/data/NAME.npz        the held-out rows, so that the score can be checked without torch

The same seed gives the same bytes in all three.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from common import ROOT, Data
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 18  # the exporter's own; read by every current onnxruntime, OpenVINO and Triton


@dataclass(frozen=True)
class Card:
    """What the ONNX file's tensors are called, and what model.toml says of them.

    `columns` maps the name of each column of the input, in order, to its type: none for an image.
    `label` is what the answer to a record calls the most probable of `labels`.
    """

    name: str
    description: str
    input: str
    output: str
    labels: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    label: str = ""


def ship(card: Card, model: nn.Module, data: Data) -> None:
    """Write the three files of `card.name` and say where they are."""
    folder = ROOT / "models" / card.name
    path = folder / "1" / "model.onnx"
    held_out = ROOT / "tests" / "data" / f"{card.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    held_out.parent.mkdir(parents=True, exist_ok=True)

    onnx.save(export(card, model, data.test_x[:2]), path)
    (folder / "model.toml").write_text(toml(card, data), encoding="utf-8")
    rows = {card.input: data.test_x.numpy(), "expected": data.test_y.numpy()}
    np.savez_compressed(held_out, allow_pickle=False, **rows)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes. {card.description}")


def export(card: Card, model: nn.Module, rows: Tensor) -> onnx.ModelProto:
    """The module as a checked ONNX model whose first dimension, "batch", is free."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, we do not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, on its own code
        program = torch.onnx.export(
            model.eval(),
            (rows,),
            input_names=[card.input],
            output_names=[card.output],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only for the exporter that dynamo replaces
    proto = program.model_proto
    proto.graph.name = card.name
    proto.doc_string = card.description
    strip(proto.graph)
    rename(proto.graph)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def strip(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes on where in the Python source each value came from."""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def rename(graph: onnx.GraphProto) -> None:
    """Number nodes by operator (conv_1, relu_1, conv_2), and name values after their node."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    constants = {tensor.name for tensor in graph.initializer}
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for node in graph.node:
        operator = node.op_type.lower()
        seen[operator] += 1
        node.name = f"{operator}_{seen[operator]}"
        formal = onnx.defs.get_schema(node.op_type, OPSET).inputs
        for value, parameter in zip(node.input, formal, strict=False):
            if value in constants:
                names.setdefault(value, f"{node.name}.{parameter.name}")
        for value in node.output:
            names[value] = value if value in kept else node.name
    for node in graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]


def toml(card: Card, data: Data) -> str:
    """model.toml, with the first held-out row as the example."""
    lines = [f'description = "{card.description}"']
    if card.labels:
        lines += ["", "[labels]", f"{card.output} = {strings(card.labels)}"]
    for position, (name, type_) in enumerate(card.columns.items()):
        seen = data.train_x[:, position].numpy()
        lines += [
            *("", "[[columns]]", f'name = "{name}"', f'type = "{type_}"'),
            *(f'input = "{card.input}"', f"position = {position}"),
            f"range = {nested(np.array([seen.min(), seen.max()]))}",
        ]
    if card.columns:
        lines += answer(card)
    lines += ["", "[example]", f"{card.input} = {nested(data.test_x[:1].numpy())}"]
    return "\n".join(lines) + "\n"


def answer(card: Card) -> list[str]:
    """The answer to a record: a label and the probability of each, or the number itself."""
    if not card.labels:
        return ["", "[[answer]]", f'name = "{card.output}"', 'kind = "number"']
    classes = f"classes = {strings(card.labels)}"
    return [
        *("", "[[answer]]", f'name = "{card.label}"', f'output = "{card.output}"'),
        *('kind = "label"', classes),
        *("", "[[answer]]", f'name = "{card.output}"', 'kind = "probabilities"', classes),
    ]


def strings(values: Sequence[str]) -> str:
    """A list in TOML."""
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def nested(values: NDArray[Any]) -> str:
    """Nested lists with one row a line, each number as short as its datatype allows."""
    if values.ndim == 1:
        return "[" + ", ".join(np.format_float_positional(v, trim="0") for v in values) + "]"
    separator = ",\n  " if values.ndim == 2 and len(values) > 1 else ", "
    return "[" + separator.join(nested(row) for row in values) + "]"
