"""ONNX itself: checked, external data folded in, opset brought up, strings as indices.

Nothing is known of the model but its tensors, so onnxruntime's answers are the library's. A
sample with one column for each input [N] or [N, 1], or with K columns for one input [N, K],
names the columns; a dict of arrays by input name, or one array, is taken as tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from nnlet.carrier import numpy_dtype
from nnlet.convert import graphs, strings
from nnlet.convert.check import answers_of
from nnlet.convert.columns import number_spec
from nnlet.convert.converted import Array, Converted, Precision
from nnlet.convert.sample import Column, Sample
from nnlet.errors import ConvertError
from nnlet.model import load_onnx
from nnlet.signature import AnswerSpec, ColumnSpec
from nnlet.tensor import BY_ONNX

OPSET = 18  # what a model of an older opset than OLDEST is brought up to
OLDEST = 7
ML_OPSET = 3

Value = onnx.ValueInfoProto


def read(path: Path) -> onnx.ModelProto:
    """The model in the file, with weights that stand in files of their own. Raises ModelError."""
    return load_onnx(path)


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """An ONNX model as one that wasi-nn can carry, with onnxruntime's answers to the sample.

    Raises ConvertError for one that is not valid, or that the sample does not fit.
    """
    original = onnx.ModelProto()
    original.CopyFrom(model)
    _check(original)
    _require_opset(original)
    rows = sample.some()
    columns = _columns_of(original, sample)
    feeds = _feeds(original, rows, columns)
    proto = onnx.ModelProto()
    proto.CopyFrom(original)
    classes = _without_zip_maps(proto.graph)
    plain = onnx.ModelProto()
    plain.CopyFrom(proto)
    notes = _upgrade(proto)
    graphs.require_ml(proto, ML_OPSET)
    seen = {c.name: c.seen for c in sample.columns if columns and c.type == "category"}
    encoded = strings.encode(proto, seen, sample.known, {})
    answer = _answer(encoded, classes)
    found = answers_of(plain, feeds) if feeds else {}
    return Converted(
        proto=encoded.proto,
        columns=tuple(_spec(encoded, *pair) for pair in columns),
        answer=answer,
        feeds=strings.encoded_feeds(feeds, encoded) if feeds else {},
        expected={name: _expected(encoded, name, array) for name, array in found.items()},
        made_by=f"ONNX of {model.producer_name or 'an unknown producer'}",
        precision="FP64" if _is_double(original) else "FP32",
        notes=notes,
    )


def _is_double(proto: onnx.ModelProto) -> bool:
    types = {
        value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)
    }
    return TensorProto.DOUBLE in types


def _check(proto: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as exc:
        raise ConvertError(f"not valid ONNX: {str(exc).strip().splitlines()[0]}") from exc


def _require_opset(proto: onnx.ModelProto) -> None:
    """CatBoost imports no opset but ai.onnx.ml; nodes of the other are added here."""
    if not any(opset.domain in ("", "ai.onnx") for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("", OPSET))


def _upgrade(proto: onnx.ModelProto) -> tuple[str, ...]:
    """Bring an opset that is older than nnlet compiles up to OPSET, in place."""
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    if opset >= OLDEST:
        return ()
    try:
        newer = onnx.version_converter.convert_version(proto, OPSET)
    except Exception as exc:  # the converter is C++ and raises RuntimeError among others
        raise ConvertError(
            f"opset {opset} cannot be brought up to {OPSET} ({str(exc).splitlines()[0]}): export "
            f"the model with opset {OLDEST} or newer"
        ) from exc
    proto.CopyFrom(newer)
    return (f"its opset {opset} was brought up to {OPSET}",)


# Columns ----------------------------------------------------------------------


def _inputs(proto: onnx.ModelProto) -> list[Value]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in constants]


def _columns_of(proto: onnx.ModelProto, sample: Sample) -> list[tuple[Column, str, int]]:
    """Each column of the sample, with the input and the place that it goes to; [] for tensors."""
    inputs = _inputs(proto)
    if not sample.columns:
        return []
    columns = sample.columns
    if all(_width(value) == 1 for value in inputs) and len(inputs) == len(columns):
        by_name = {column.name: column for column in columns}
        named = {value.name for value in inputs} == set(by_name)
        pairs = zip(inputs, columns, strict=True)
        return [(by_name[v.name] if named else c, v.name, 0) for v, c in pairs]
    if len(inputs) == 1 and _width(inputs[0]) in (len(columns), -1):
        return [(column, inputs[0].name, n) for n, column in enumerate(columns)]
    told = ", ".join(f"{value.name} {_dims(value)}" for value in inputs)
    raise ConvertError(
        f"the sample has {len(columns)} columns ({', '.join(sample.names[:8])}), the model's "
        f"inputs are {told}: expected a column for each input, or for each place of one input; "
        "for other shapes, a dict of arrays by input name (.npz)"
    )


def _dims(value: Value) -> list[int]:
    return [dim.dim_value if dim.dim_value > 0 else -1 for dim in value.type.tensor_type.shape.dim]


def _width(value: Value) -> int:
    """How many columns an input takes: 1 for [N], K for [N, K], 0 if it takes none."""
    dims = _dims(value)
    return 1 if len(dims) == 1 else dims[1] if len(dims) == 2 else 0


def _spec(encoded: strings.Encoded, column: Column, name: str, position: int) -> ColumnSpec:
    if name in encoded.categories:
        return encoded.column(name, False, called=column.name)
    return number_spec(column, name, position)


def _feeds(
    proto: onnx.ModelProto, rows: Sample, columns: Sequence[tuple[Column, str, int]]
) -> dict[str, Array]:
    """The sample as the model's inputs; {} without a sample."""
    if rows.source is None:
        return {}
    inputs = {value.name: value for value in _inputs(proto)}
    if not columns:
        return _tensors(inputs, rows.source)
    if len(inputs) == 1 and len(columns) > 1:
        (name,) = inputs
        return {name: _typed(inputs[name], rows.matrix("float64"))}
    by_name = {column.name: column for column in rows.columns}
    return {
        name: _typed(inputs[name], by_name[column.name].values, column.type)
        for column, name, _ in columns
    }


def _typed(value: Value, array: Array, kind: str = "number") -> Array:
    """Values in the datatype and rank of an input. Raises ConvertError."""
    elem_type = value.type.tensor_type.elem_type
    if (elem_type == TensorProto.STRING) != (kind == "category"):
        found = "strings" if kind == "category" else "numbers"
        raise ConvertError(f"input {value.name!r} does not take {found}, which its column has")
    given = strings.texts(array) if kind == "category" else array.astype(_dtype(value))
    return given if len(_dims(value)) == 2 and given.ndim == 2 else given.reshape(_shape(value))


def _shape(value: Value) -> tuple[int, ...]:
    return (-1,) if len(_dims(value)) == 1 else (-1, _width(value))


def _tensors(inputs: Mapping[str, Value], source: Any) -> dict[str, Array]:
    if not isinstance(source, Mapping):
        source = {name: source for name in list(inputs)[:1]}
    if set(source) != set(inputs):
        raise ConvertError(
            f"the sample has {', '.join(map(str, source))}, the model's inputs are "
            f"{', '.join(inputs)}: expected an array for each"
        )
    return {name: np.asarray(source[name]).astype(_dtype(inputs[name])) for name in inputs}


def _dtype(value: Value) -> np.dtype[Any]:
    datatype = BY_ONNX.get(value.type.tensor_type.elem_type)
    if datatype is None:
        raise ConvertError(f"input {value.name!r} has a datatype that nnlet does not serve")
    return numpy_dtype(datatype)


# Answers ----------------------------------------------------------------------


def _without_zip_maps(graph: onnx.GraphProto) -> dict[str, tuple[Any, ...]]:
    """Let outputs be tensors that are lists of maps from class to score; the classes by output."""
    found: dict[str, tuple[Any, ...]] = {}
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        values = [helper.get_attribute_value(attribute) for attribute in node.attribute]
        classes = tuple(x.decode() if isinstance(x, bytes) else x for x in values[0])
        output = next((v for v in graph.output if v.name == node.output[0]), None)
        graph.node.remove(node)
        graph.node.append(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
        if output is not None:
            shape = [None, len(classes)]
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))
            found[output.name] = classes
    return found


def _answer(
    encoded: strings.Encoded, classes: Mapping[str, tuple[Any, ...]]
) -> tuple[AnswerSpec, ...]:
    """What is known of the outputs; () where nothing is, so that they are answered as they are."""
    fields = []
    outputs = encoded.proto.graph.output
    for value in outputs:
        words = encoded.labels.get(value.name)
        width = _width(value)
        if words is not None:
            fields.append(AnswerSpec(value.name, value.name, "label", words))
        elif value.name in classes:
            fields.append(AnswerSpec(value.name, value.name, "probabilities", classes[value.name]))
        elif width == 0:
            return ()
        elif len(encoded.labels) == 1 and width == len(next(iter(encoded.labels.values()))):
            words = next(iter(encoded.labels.values()))
            fields.append(AnswerSpec(value.name, value.name, "probabilities", words))
        else:
            fields.append(AnswerSpec(value.name, value.name, "number" if width == 1 else "numbers"))
    return tuple(fields)


def _expected(encoded: strings.Encoded, name: str, array: Array) -> Array:
    words = encoded.labels.get(name)
    if words is None:
        return array
    index = {word: n for n, word in enumerate(words)}
    found = [index[str(word)] for word in array.reshape(-1)]
    return np.array(found, np.int64).reshape(array.shape)
