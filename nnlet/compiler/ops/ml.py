"""Feature preparation of ai.onnx.ml: scaling, encoding, picking columns."""

from __future__ import annotations

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.attributes import Attributes
from nnlet.compiler.graph import Array
from nnlet.compiler.ops.cast import converted
from nnlet.compiler.program import NUMPY, datatype_of
from nnlet.compiler.site import FP32, INT64, Site
from nnlet.tensor import DATATYPES

FP64 = DATATYPES["FP64"]


def scaler(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Scaler.html"""
    x = s.input(0)
    offset = s.value_of(np.array(s.attr("offset", [0.0]), np.float32))
    scale = s.value_of(np.array(s.attr("scale", [1.0]), np.float32))
    s.map(0, FP32, [x, offset, scale], (FP32, "(f32)((@0 - @1) * @2)"))


def binarizer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Binarizer.html"""
    x = s.input(0)
    threshold = s.argument(float(s.attr("threshold", 0.0)))
    s.map(0, x.dtype, [x], (x.dtype, f"@0 > {threshold}"))


def normalizer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html"""
    norm = str(s.attr("norm", "MAX"))
    if norm not in ("MAX", "L1", "L2"):
        s.fail(f"unknown norm {norm!r}")
    x = s.input(0)
    if x.dtype.kind != "f":
        x = converted(s, x, FP32)
    if x.rank not in (1, 2):
        s.fail(f"an input of rank {x.rank}: it should be [rows, features]")
    n = x.dims[-1]
    y = s.output(0, FP32, x.dims)
    s.call(f"ml.normalize_{norm.lower()}", x.dtype, y, x, d.product(x.dims[:-1]), n)


def imputer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_Imputer.html"""
    x = s.input(0)
    floats = s.attr("imputed_value_floats", [])
    values = floats or s.attr("imputed_value_int64s", [])
    replaced = s.attr("replaced_value_float" if floats else "replaced_value_int64", 0)
    if not values:
        s.fail("imputed_value_floats or imputed_value_int64s is needed")
    dtype = NUMPY[x.dtype.name]
    by = s.value_of(np.array(values if len(values) > 1 else values[0], dtype))
    # A NaN, which equals nothing, is replaced where NaN is what to replace.
    of = s.value_of(np.array(replaced, dtype))
    test = "@0 != @0" if x.dtype.kind == "f" and np.isnan(replaced) else "@0 == @2"
    s.map(0, x.dtype, [x, by, of], (x.dtype, f"{test} ? @1 : @0"))


def label_encoder(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html

    Numbers to numbers; wasi-nn has no strings.
    """
    x = s.input(0)
    if any(s.attr(f"{name}_strings") for name in ("keys", "values", "classes")):
        s.unsupported("strings, which wasi-nn has not")
    keys = table(s, "keys")
    values = table(s, "values")
    if keys is None or values is None or keys.size != values.size or keys.size == 0:
        s.fail("keys and values of the same, not zero, number are needed")
    default = default_of(s, values)
    dtype = datatype_of(values)
    keys = keys.astype(NUMPY[x.dtype.name])
    # Sorted, for a search by halves; NaN comes last. Of equal keys the first counts.
    keys, first = np.unique(keys, return_index=True)
    y = s.output(0, dtype, x.dims)
    s.call(
        "labels.encode", (x.dtype, dtype), y, x, s.value_of(keys), s.value_of(values[first]),
        s.value_of(default), x.size, len(keys),
    )  # fmt: skip


def table(s: Attributes, name: str) -> Array | None:
    """The attribute of that name that is there: a list by type, or a tensor."""
    tensor = s.attr(f"{name}_tensor")
    if tensor is not None:
        flat: Array = tensor.reshape(-1)
        return flat
    for suffix, dtype in (("floats", np.float32), ("int64s", np.int64)):
        if s.attr(f"{name}_{suffix}") is not None:
            return np.array(s.attr(f"{name}_{suffix}"), dtype)
    return None


def default_of(s: Attributes, values: Array) -> Array:
    """What stands for a key that is not there."""
    tensor = s.attr("default_tensor")
    if tensor is not None:
        one: Array = tensor.reshape(-1)[:1].astype(values.dtype)
        return one
    if values.dtype.kind == "f":
        return np.array([s.attr("default_float", -0.0)], values.dtype)
    return np.array([s.attr("default_int64", -1)], values.dtype)


def one_hot_encoder(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_OneHotEncoder.html"""
    if s.attr("cats_strings"):
        s.unsupported("strings, which wasi-nn has not")
    x = s.input(0)
    dtype = INT64
    if x.dtype.kind == "f":  # whole numbers, in a type that has a place for NaN too
        dtype = FP64
        x = s.elementwise(dtype, [x], (dtype, "trunc(@0)"))
    x = converted(s, x, dtype)
    categories = [int(c) for c in s.attr("cats_int64s", [])]
    if not categories:
        s.fail("cats_int64s is needed")
    # Of equal categories the last counts.
    places = {category: n for n, category in enumerate(categories)}
    keys = sorted(places)
    y = s.output(0, FP32, (*x.dims, len(categories)))
    found = s.invoke(
        "labels.one_hot", (dtype, FP32), y, x, s.value_of(np.array(keys, NUMPY[dtype.name])),
        s.value_of(np.array([places[k] for k in keys], np.int32)), x.size, len(keys),
        len(categories),
    )  # fmt: skip
    if s.attr("zeros", 1):
        s.emit(f"{found};")
    else:
        s.check(found, "a category that is not in the list")


def feature_vectorizer(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_FeatureVectorizer.html"""
    sizes = [int(n) for n in s.attr("inputdimensions", [])]
    if len(sizes) != s.input_count:
        s.fail(f"{len(sizes)} inputdimensions for {s.input_count} inputs")
    first = s.input(0)
    rows = 1 if first.rank == 1 else first.dims[0]
    for n in range(s.input_count):
        x = s.input(n)
        s.same(rows, 1 if x.rank == 1 else x.dims[0], "rows of the inputs")
    total = sum(sizes)
    y = s.output(0, FP32, (rows, total))
    start = 0
    for n, size in enumerate(sizes):
        x = s.input(n)
        columns = x.dims[0] if x.rank == 1 else d.product(x.dims[1:])
        s.call("ml.place_columns", x.dtype, y, x, rows, columns, size, start, total)
        start += size


def array_feature_extractor(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_ArrayFeatureExtractor.html"""
    x, indices = s.input(0), s.input(1)
    if x.rank == 0:
        s.fail("a scalar has no features")
    n = indices.size
    y = s.output(0, x.dtype, (1, n) if x.rank == 1 else (*x.dims[:-1], n))
    rows = d.product(x.dims[:-1])
    found = s.invoke(
        "ml.pick_columns", s.bits(x.dtype), s.raw(y), s.raw(x), indices, rows, x.dims[-1], n
    )
    s.check(found, "an index that is outside the input's last dimension")


def zip_map(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html

    A list of maps from label to score: wasi-nn has no maps, so its tensor of scores stays.
    """
    x = s.input(0)
    s.alias(0, x, x.dims)
