"""Feature preparation of ai.onnx.ml: scaling, encoding, picking columns."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from nnlet.compiler.graph import Array
from nnlet.compiler.ops import ml
from nnlet.plain.builder import Builder, ints, real

STRINGS = "strings, which wasi-nn has not"


def scaler(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Scaler.html"""
    wide = b.type() == TensorProto.DOUBLE
    x, dtype = (b.input(), np.float64) if wide else (b.reals(), np.float32)
    # The attributes are FLOAT, whatever the input is.
    offset, scale = (
        np.array(b.attr(name, [default]), np.float32).astype(dtype)
        for name, default in (("offset", 0.0), ("scale", 1.0))
    )
    y = b.op("Mul", b.op("Sub", x, offset), scale)
    b.result(0, b.cast(y, TensorProto.FLOAT) if wide else y, TensorProto.FLOAT, b.rank())


def binarizer(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Binarizer.html"""
    threshold = np.float32(b.attr("threshold", 0.0))
    if b.type() == TensorProto.DOUBLE:
        above = b.op("Greater", b.input(), np.array(threshold, np.float64))
    else:
        above = b.op("Greater", b.reals(), real(threshold))
    b.result(0, b.cast(above, b.type()), b.type(), b.rank())


def normalizer(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html"""
    norm = str(b.attr("norm", "MAX"))
    if norm not in ("MAX", "L1", "L2"):
        b.fail(f"unknown norm {norm!r}")
    if b.rank() not in (1, 2):
        b.fail(f"an input of rank {b.rank()}: it should be [rows, features]")
    x = b.reals()
    squares = b.op("Mul", x, x)
    if norm == "MAX":
        size = b.reduce("ReduceMax", x, -1)
    else:
        size = b.reduce("ReduceSum", b.op("Abs", x) if norm == "L1" else squares, -1)
    size = b.op("Where", b.op("Equal", size, real(0)), real(1), size)
    if norm == "L2":
        root = b.op("Sqrt", b.op("Div", squares, size))
        y = b.op("Where", b.op("Less", x, real(0)), b.op("Neg", root), root)
    else:
        y = b.op("Div", x, size)
    b.result(0, y, TensorProto.FLOAT, b.rank())


def imputer(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Imputer.html"""
    x = b.input()
    floats = b.attr("imputed_value_floats", [])
    values = floats or b.attr("imputed_value_int64s", [])
    replaced = b.attr("replaced_value_float" if floats else "replaced_value_int64", 0)
    if not values:
        b.fail("imputed_value_floats or imputed_value_int64s is needed")
    if b.dtype().kind == "f" and np.isnan(replaced):
        hole = b.op("IsNaN", x)
    else:
        hole = b.op("Equal", x, np.array(replaced, b.dtype()))
    by = np.array(values if len(values) > 1 else values[0], b.dtype())
    if not floats:
        b.integers([*values, replaced], "value")
    b.result(0, b.op("Where", hole, by, x), b.type(), b.rank())


def label_encoder(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html

    Numbers to numbers; wasi-nn has no strings.
    """
    if any(b.attr(f"{name}_strings") for name in ("keys", "values", "classes")):
        b.unsupported(STRINGS)
    keys, values = ml.table(b, "keys"), ml.table(b, "values")
    if keys is None or values is None or keys.size != values.size or keys.size == 0:
        b.fail("keys and values of the same, not zero, number are needed")
    table = np.concatenate([values, ml.default_of(b, values)])
    for array, what in ((keys, "key"), (table, "value")):
        if array.dtype.kind == "i":
            b.integers(array.tolist(), what)
    keys = keys.astype(b.dtype())
    found = _matches(b, b.op("Unsqueeze", b.input(), ints(-1)), keys)
    # Of equal keys the first counts.
    places = b.op(
        "Where", found, np.arange(len(keys), dtype=np.int32), np.array(len(keys), np.int32)
    )
    place = b.reduce("ReduceMin", places, -1, keepdims=False)
    dtype = TensorProto.DataType.Value(
        {"f4": "FLOAT", "f8": "DOUBLE", "i8": "INT64"}.get(table.dtype.str[1:], "UNDEFINED")
    )
    if not dtype:
        b.unsupported(f"values of {table.dtype}")
    b.result(0, b.op("Gather", table, place), dtype, b.rank())


def _matches(b: Builder, x: str, keys: Array) -> str:
    """BOOL: whether x [.., 1] is each key [.., keys]. NaN is the key NaN."""
    found = b.op("Equal", x, keys)
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        nan = b.op("And", b.op("IsNaN", x), np.isnan(keys))
        found = b.op("Or", found, nan)
    return found


def one_hot_encoder(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_OneHotEncoder.html

    What is not a category is a row of zeros, whether `zeros` allows that or not: plain ONNX
    cannot refuse data.
    """
    if b.attr("cats_strings"):
        b.unsupported(STRINGS)
    categories = b.integers(b.attr("cats_int64s", []), "category")
    if not categories.size:
        b.fail("cats_int64s is needed")
    # Of equal categories the last counts.
    last = {category: n for n, category in enumerate(categories.tolist())}
    counts = np.zeros(len(categories), bool)
    counts[list(last.values())] = True
    if b.dtype().kind == "f":  # whole numbers, in a type that has a place for NaN too
        x = b.reals()
        x = b.op("Where", b.op("Less", x, real(0)), b.op("Ceil", x), b.op("Floor", x))
        keys = categories.astype(np.float32)
        counts &= keys.astype(np.int64) == categories  # a category that x cannot be
    else:
        x, keys = b.cast(b.input(), TensorProto.INT64), categories
    found = b.op("Equal", b.op("Unsqueeze", x, ints(-1)), keys)
    if not counts.all():
        found = b.op("And", found, counts)
    b.result(0, b.cast(found, TensorProto.FLOAT), TensorProto.FLOAT, b.rank() + 1)


def feature_vectorizer(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_FeatureVectorizer.html

    Of each input its first columns, so many as said, and zeros where it has fewer.
    """
    sizes = [int(n) for n in b.attr("inputdimensions", [])]
    if len(sizes) != len(b.node.inputs):
        b.fail(f"{len(sizes)} inputdimensions for {len(b.node.inputs)} inputs")
    parts = []
    for n, size in enumerate(sizes):
        x = b.reals(n)
        flat = b.op("Unsqueeze", x, ints(0)) if b.rank(n) == 1 else b.op("Flatten", x, axis=1)
        shape = b.op("Concat", b.rows(flat), ints(size), axis=0)
        zeros = b.op("Expand", real(0), shape)
        padded = b.op("Concat", flat, zeros, axis=1)
        parts.append(b.op("Slice", padded, ints(0), ints(size), ints(1)))
    b.result(0, b.op("Concat", *parts, axis=1), TensorProto.FLOAT, 2)


def array_feature_extractor(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_ArrayFeatureExtractor.html"""
    x = b.input()
    if b.rank() == 0:
        b.fail("a scalar has no features")
    if b.rank() == 1:
        x = b.op("Unsqueeze", x, ints(0))
    places = b.op("Reshape", b.input(1), ints(-1))
    b.result(0, b.op("Gather", x, places, axis=-1), b.type(), max(b.rank(), 2))


def zip_map(b: Builder) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html

    A list of maps from label to score: wasi-nn has no maps, so its tensor of scores stays.
    """
    b.result(0, b.input(), b.type(), b.rank())
