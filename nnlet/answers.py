"""[[answer]] of model.toml: read, and checked against the model's outputs.

The format is described in docs/predict.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnlet.errors import ModelError
from nnlet.fields import Fields, tables
from nnlet.signature import AnswerSpec, TensorSpec

KINDS = ("label", "probabilities", "number", "numbers")

_KEYS = ("name", "output", "kind", "classes", "names")


def read_answer(toml: Path, found: Any, outputs: Sequence[TensorSpec]) -> tuple[AnswerSpec, ...]:
    """The fields of an answer, in order. Raises ModelError."""
    return tuple(_field(fields, outputs) for fields in tables(toml, "answer", found, _KEYS))


def _field(fields: Fields, outputs: Sequence[TensorSpec]) -> AnswerSpec:
    kind = fields.choice("kind", KINDS)
    tensor = _output(fields, outputs)
    if kind in ("number", "numbers"):
        fields.absent("classes", 'kind = "label" and "probabilities"')
    if kind != "numbers":
        fields.absent("names", 'kind = "numbers"')
    answer = AnswerSpec(
        name=fields.name,
        output=tensor.name,
        kind=kind,
        classes=fields.scalars("classes", (str, int, bool, float)) if _is_class(kind) else (),
        names=fields.scalars("names", (str,)) if "names" in fields.table else (),
    )
    _check_datatype(fields, answer, tensor)
    if tensor.shape:  # else the model does not say
        _check_shape(fields, answer, tensor)
    return answer


def _is_class(kind: str) -> bool:
    return kind in ("label", "probabilities")


def _output(fields: Fields, outputs: Sequence[TensorSpec]) -> TensorSpec:
    """The output that the field is read from: by default the one of its own name."""
    name = fields.string("output", fields.name)
    for tensor in outputs:
        if tensor.name == name:
            return tensor
    raise ModelError(
        f"{fields.where}: there is no output {name!r}: the model's outputs are "
        f"{', '.join(tensor.name for tensor in outputs)}"
    )


def _check_datatype(fields: Fields, answer: AnswerSpec, tensor: TensorSpec) -> None:
    if answer.kind == "probabilities" and tensor.datatype.kind != "f":
        raise ModelError(
            f"{fields.where}: output {tensor.name!r} is {tensor.datatype}: expected floating "
            "point for kind = 'probabilities'"
        )


def _check_shape(fields: Fields, answer: AnswerSpec, tensor: TensorSpec) -> None:
    scores = answer.kind == "label" and tensor.datatype.kind == "f"
    many = scores or answer.kind in ("probabilities", "numbers")
    size = len(answer.classes) or len(answer.names) or -1
    if many:
        axis = "K" if size == -1 else size
        fits = len(tensor.shape) == 2 and (-1 in (size, tensor.shape[1]) or size == tensor.shape[1])
        expected = f"[N, {axis}]"
    else:
        fits = len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] in (1, -1))
        expected = "[N] or [N, 1]"
    if not fits:
        what = f"kind = {answer.kind!r}"
        if answer.classes:
            what += f" of {len(answer.classes)} classes"
        if answer.names:
            what += f" of {len(answer.names)} names"
        raise ModelError(
            f"{fields.where}: output {tensor.name!r} is {tensor.datatype} {list(tensor.shape)}: "
            f"expected {expected} for {what}"
        )
