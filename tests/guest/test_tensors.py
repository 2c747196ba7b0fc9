import math
import struct
from typing import Any

import pytest

from nnlet.errors import HTTPError
from nnlet.guest.tensors import (
    EXACT,
    Tensor,
    convert,
    describe,
    finite,
    flatten,
    pack,
    to_json,
    unpack,
)
from nnlet.tensor import DATATYPES, DataType

INF, NAN = math.inf, math.nan
BITS = {"FP16": 11, "BF16": 8, "FP32": 24, "FP64": 53}


def limits(row: DataType) -> tuple[int, int]:
    if row.kind == "b":
        return 0, 1
    bits = 8 * row.size
    return (0, 2**bits - 1) if row.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def holds_all(target: DataType, source: DataType) -> bool:
    """The rule that the table EXACT writes out."""
    if target.kind == "b":
        return False
    if source.kind == "f":
        return (
            target.kind == "f"
            and BITS[target.name] >= BITS[source.name]
            and (target.size > source.size)
        )
    low, high = limits(source)
    if target.kind != "f":
        return limits(target)[0] <= low and high <= limits(target)[1]
    # A power of two is exact whatever its size, so only the bits below it count.
    return max(high.bit_length(), (-low - 1).bit_length()) <= BITS[target.name]


@pytest.mark.parametrize("target", DATATYPES.values(), ids=repr)
def test_the_table_of_exact_conversions_follows_from_ranges(target: DataType) -> None:
    expected = {s.name for s in DATATYPES.values() if s is not target and holds_all(target, s)}
    assert set(EXACT[target.name]) == expected


@pytest.mark.parametrize(
    ("target", "source"), [(t, s) for t, sources in EXACT.items() for s in sources]
)
def test_extreme_values_survive_each_exact_conversion(target: str, source: str) -> None:
    row = DATATYPES[source]
    values = [0, 1, 0.5, -2.0] if row.kind == "f" else [0, 1, *limits(row)]
    if row.kind == "b":
        values = [False, True]
    data = pack(row, values, "t")
    assert unpack(DATATYPES[target], convert(data, row, DATATYPES[target])) == values


@pytest.mark.parametrize("row", DATATYPES.values(), ids=repr)
def test_values_survive_packing(row: DataType) -> None:
    values = {"b": [True, False], "f": [1.5, -2.0, 0.0]}.get(row.kind, [*limits(row), 7])
    assert len(pack(row, values, "t")) == len(values) * row.size
    assert unpack(row, pack(row, values, "t")) == values


@pytest.mark.parametrize("row", DATATYPES.values(), ids=repr)
def test_values_survive_the_carrier(row: DataType) -> None:
    values = {"b": [True, False], "f": [1.5, -2.0]}.get(row.kind, [*limits(row), 7])
    carrier = DATATYPES[row.carrier]
    data = pack(row, values, "t")
    assert convert(convert(data, row, carrier), carrier, row) == data


def test_uint64_crosses_as_the_same_bits() -> None:
    data = struct.pack("<Q", 2**64 - 1)
    assert convert(data, DATATYPES["UINT64"], DATATYPES["INT64"]) is data


def test_floats_may_be_given_as_whole_numbers() -> None:
    assert unpack(DATATYPES["FP32"], pack(DATATYPES["FP32"], [1, 2.5], "t")) == [1.0, 2.5]


@pytest.mark.parametrize(
    ("value", "bits"), [(1.0, 0x3F80), (-0.1, 0xBDCD), (1.00390625, 0x3F80), (1.01171875, 0x3F82)]
)
def test_bf16_rounds_to_the_nearest_even(value: float, bits: int) -> None:
    assert pack(DATATYPES["BF16"], [value], "t") == struct.pack("<H", bits)


@pytest.mark.parametrize(
    ("datatype", "values", "message"),
    [
        ("INT32", [1, 3.0], "element 1 is 3.0: INT32 expects a whole number, without"),
        ("INT32", [True], "element 0 is true: INT32 expects"),
        ("INT8", [0, 128], "element 1 is 128: out of range for INT8"),
        ("UINT8", [-1], "element 0 is -1: out of range for UINT8"),
        ("UINT64", [2**64], "element 0 is 184.*: out of range for UINT64"),
        ("INT64", [-(2**63) - 1], "element 0 is -922.*: out of range for INT64"),
        ("BOOL", [True, 1], "element 1 is 1: BOOL expects true or false"),
        ("FP32", [1.0, False], "element 1 is false: FP32 expects a number"),
        ("FP32", [0.0, None], "element 1 is null"),
        ("FP32", ["1"], "element 0 is '1'"),
        ("FP32", [[1]], "element 0 is a list"),
        ("FP32", [{}], "element 0 is an object"),
        ("FP32", [0.0, 1e39], r"element 1 is 1e\+39: out of range for FP32"),
        ("FP32", [0.0, INF], "element 1 is a number beyond 1.8e308: out of range for FP32"),
        ("FP64", [1.0, -INF], "element 1 is a number beyond 1.8e308: out of range for FP64"),
        ("FP64", [INF, -INF], "element 0 is"),
        ("FP64", [NAN], "element 0 is nan"),
        ("FP64", [0.5, 10**400], "element 1 is 1000.*: out of range for FP64"),
        ("FP16", [65520], "element 0 is 65520: out of range for FP16"),
        ("BF16", [1e39], "element 0 is"),
    ],
)
def test_a_wrong_element_is_named(datatype: str, values: list[Any], message: str) -> None:
    with pytest.raises(HTTPError, match=f"^here: {message}") as caught:
        pack(DATATYPES[datatype], values, "here")
    assert caught.value.status == 400


def test_large_finite_values_are_finite() -> None:
    assert finite([1.7e308, 1.7e308])
    assert finite([10**308] * 20 + [0.5])
    assert not finite([1.7e308, 1.7e308, NAN])


def test_a_tensor_is_made_of_values_and_gives_them_back() -> None:
    tensor = Tensor.of("FP32", [2, 1], [0.5, 1])
    assert tensor.shape == (2, 1)
    assert tensor.values() == [0.5, 1.0]
    assert repr(tensor) == "Tensor('FP32', (2, 1), 8 bytes)"


@pytest.mark.parametrize(
    ("datatype", "values", "text"),
    [
        ("FP32", [0.1, -0.0, 1e20, 3.0], "[0.100000001,-0,1.00000002e+20,3]"),
        ("FP64", [0.1, 1e-7, 1e22], "[0.1,1e-07,1e+22]"),
        ("INT8", [-1, 2], "[-1,2]"),
        ("UINT64", [2**64 - 1], "[18446744073709551615]"),
        ("BOOL", [True, False], "[true,false]"),
        ("FP32", [], "[]"),
        ("INT32", [], "[]"),
    ],
)
def test_values_become_json(datatype: str, values: list[Any], text: str) -> None:
    row = DATATYPES[datatype]
    assert to_json(row, pack(row, values, "t"), "output") == text


def test_nine_digits_are_exact_for_fp32() -> None:
    values = [0.1, 1 / 3, 3.4028234e38, 1.4e-45, 16777217.0]
    row = DATATYPES["FP32"]
    data = pack(row, values, "t")
    assert pack(row, [float(t) for t in to_json(row, data, "t")[1:-1].split(",")], "t") == data


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("FP32", struct.pack("<2f", 1, NAN), "element 1 of the answer is nan.*binary_data"),
        ("FP64", struct.pack("<2d", -INF, 1), "element 0 of the answer is -inf.*binary_data"),
        ("FP16", b"\0\0", "FP16, which has no JSON form: .*binary_data"),
        ("BF16", b"\0\0", "BF16, which has no JSON form: .*binary_data"),
    ],
)
def test_what_json_cannot_say_is_refused(datatype: str, data: bytes, message: str) -> None:
    with pytest.raises(HTTPError, match=message) as caught:
        to_json(DATATYPES[datatype], data, "output 'y'")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3, 4], [2, 2]),
        ([[1, 2], [3, 4]], [2, 2]),
        ([[[1], [2]], [[3], [4]]], [2, 2, 1]),
        ([1, 2, 3, 4], [1, 1, 4]),
        ([[[1, 2, 3, 4]]], [1, 1, 4]),
    ],
)
def test_data_is_flat_or_nested_as_its_shape(data: list[Any], shape: list[int]) -> None:
    assert flatten(data, shape, "t") == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "shape"), [([], [0, 3]), ([[], []], [2, 0]), ([[[]]], [1, 1, 0]), ([7], [])]
)
def test_empty_data_and_scalars_have_shapes_too(data: list[Any], shape: list[int]) -> None:
    assert flatten(data, shape, "t") == ([7] if shape == [] else [])


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        (7, [1], "data is 7: expected a list"),
        ({"a": 1}, [1], "data is an object: expected a list"),
        ([1, 2, 3], [2, 2], r"data has 3 elements: shape \[2, 2\] has 4"),
        ([1, 2, 3, 4, 5], [2, 2], r"data has 5 elements: shape \[2, 2\] has 4"),
        (
            [[1, 2]],
            [2, 2],
            r"shape \[2, 2\] says: item 0 at depth 0 is a list of 1: expected a list",
        ),
        ([[1, 2], [3]], [2, 2], "item 1 at depth 1 is a list of 1: expected a list of 2"),
        ([[1, 2], 3], [2, 2], "item 1 at depth 1 is 3: expected a list of 2"),
        ([[1, 2], [3, 4]], [2, 2, 1], "item 0 at depth 2 is 1: expected a list of 1"),
    ],
)
def test_data_of_another_shape_is_refused(data: Any, shape: list[int], message: str) -> None:
    with pytest.raises(HTTPError, match=f"^here: .*{message}"):
        flatten(data, shape, "here")


def test_data_nested_deeper_than_its_shape_fails_as_an_element() -> None:
    assert flatten([[[1], [2]]], [1, 2], "t") == [[1], [2]]


def test_a_long_value_is_described_briefly() -> None:
    assert describe("x" * 1000) == "'" + "x" * 39 + "..."
