from typing import Any

import pytest

from nnlet.errors import HTTPError, InferenceError
from nnlet.guest import Tensor
from nnlet.guest.models import Model, Models, TensorInfo
from nnlet.tensor import DATATYPES

from .conftest import CATALOGUE, model


@pytest.fixture
def models() -> Models:
    return Models(CATALOGUE)


def test_the_newest_version_is_the_default(models: Models) -> None:
    assert models.find("scores").graph == "scores@10"
    assert models.find("scores", "2").graph == "scores@2"
    assert models.versions("scores") == ["1", "2", "10"]


def test_each_name_is_listed_once(models: Models) -> None:
    assert models.names().count("scores") == 1


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("scores", "3", "'scores' has no version '3': it has 1, 2, 10"),
        ("nothing", "", "no model 'nothing': there is .*pair"),
        ("nothing", "1", "no model 'nothing'"),
    ],
)
def test_an_unknown_model_is_404(models: Models, name: str, version: str, message: str) -> None:
    with pytest.raises(HTTPError, match=message) as caught:
        models.find(name, version)
    assert caught.value.status == 404


def test_a_function_without_models_says_so() -> None:
    with pytest.raises(HTTPError, match="there is none"):
        Models([]).find("x")


INFO = TensorInfo("x", "FP32", (-1, 2, -1))


@pytest.mark.parametrize(
    ("shape", "count"), [([1, 2, 3], 6), ((4, 2, 1), 8), ([1, 2, 0], 0), ([2**20, 2, 2**10], 2**31)]
)
def test_a_shape_that_fits_is_counted(shape: Any, count: int) -> None:
    assert INFO.count(shape) == count


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([1, 2], r"\[1, 2\], of rank 2: expected rank 3"),
        ([], r"\[\], of rank 0: expected rank 3"),
        ([1, 3, 1], r"\[1, 3, 1\]: expected 2 at axis 1"),
        ([-1, 2, 1], "-1 at axis 0: expected a whole number from 1 to"),
        ([0, 2, 1], "0 at axis 0: expected a whole number from 1 to"),
        ([1, 2, -1], "-1 at axis 2: expected a whole number from 0 to"),
        ([2**31, 2, 1], "2147483648 at axis 0: expected a whole number from 1 to 2147483647"),
        ([1.0, 2, 1], "1.0 at axis 0"),
        ([True, 2, 1], "true at axis 0"),
        (["1", 2, 1], "'1' at axis 0"),
        ([1, 2, [3]], "a list at axis 2"),
        ("123", "'123': expected a list"),
        (None, "null: expected a list"),
        ({}, "an object: expected a list"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shape: Any, message: str) -> None:
    with pytest.raises(HTTPError, match=f"^input 'x': shape is {message}.*FP32") as caught:
        INFO.count(shape)
    assert caught.value.status == 400


@pytest.mark.parametrize("datatype", ["FP32", "INT16", "BOOL", "BF16"])
def test_a_datatype_that_converts_exactly_is_accepted(datatype: str) -> None:
    assert INFO.accept(datatype) is DATATYPES[datatype]


@pytest.mark.parametrize("datatype", ["FP64", "INT32", "BYTES", "fp32", "", None, 1, ["FP32"]])
def test_another_datatype_is_refused(datatype: Any) -> None:
    with pytest.raises(HTTPError, match="the model takes FP32 .or BOOL, INT8") as caught:
        INFO.accept(datatype)
    assert caught.value.status == 400


def test_a_binary_boolean_is_0_or_1() -> None:
    info = TensorInfo("x", "BOOL", (3,))
    assert info.to_carrier(DATATYPES["BOOL"], [3], b"\1\0\1").data == b"\1\0\1"
    with pytest.raises(HTTPError, match="element 1 is 2: BOOL expects 0 or 1"):
        info.to_carrier(DATATYPES["BOOL"], [3], b"\0\2\1")


def test_an_output_comes_back_in_the_models_datatype() -> None:
    info = TensorInfo("y", "INT8", (-1,))
    answer = info.from_carrier(Tensor.of("INT32", [2], [-128, 127]))
    assert (answer.datatype, answer.values()) == ("INT8", [-128, 127])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor.of("INT64", [1], [1]), "came as INT64: expected INT32"),
        (Tensor.of("INT32", [1], [128]), "a value that is no INT8"),
    ],
)
def test_a_wrong_output_is_the_providers_fault(tensor: Tensor, message: str) -> None:
    with pytest.raises(InferenceError, match=f"output 'y'.*{message}"):
        TensorInfo("y", "INT8", (-1,)).from_carrier(tensor)


@pytest.fixture
def pair() -> Model:
    return Model(model("pair", [("a", "FP32", (-1, 2)), ("b", "INT64", (2,))]))


def test_inputs_from_a_hook_are_converted_and_ordered(pair: Model) -> None:
    inputs = {"b": Tensor.of("INT8", [2], [1, 2]), "a": Tensor.of("FP32", [1, 2], [1, 2])}
    admitted = pair.admit(inputs)
    assert [(name, t.datatype, t.values()) for name, t in admitted] == [
        ("a", "FP32", [1.0, 2.0]),
        ("b", "INT64", [1, 2]),
    ]


A, B = Tensor.of("FP32", [1, 2], [1, 2]), Tensor.of("INT64", [2], [1, 2])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "inputs are none: 'pair' takes 'a', 'b'"),
        ({"a": A}, "inputs are 'a': 'pair' takes 'a', 'b'"),
        ({"a": A, "b": B, "c": A}, "inputs are 'a', 'b', 'c'"),
        ({"a": B, "b": B}, "input 'a': datatype is 'INT64'"),
        ({"a": A, "b": Tensor.of("INT64", [1], [1])}, "input 'b': shape is"),
        ({"a": A, "b": Tensor("INT64", [2], b"1")}, "found 1 bytes of data: INT64 .2. takes 16"),
    ],
)
def test_inputs_from_a_hook_are_checked(
    pair: Model, inputs: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(HTTPError, match=message):
        pair.admit(inputs)
