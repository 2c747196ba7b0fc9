import math

import pytest

from nnlet.guest import Tensor
from nnlet.guest.classification import Classes
from nnlet.guest.models import TensorInfo

LABELS = ("ant", "bee", "cat")
FREE = TensorInfo("y", "FP32", (-1, 3), LABELS)
FIXED = TensorInfo("y", "FP32", (1, 3), LABELS)
FLAT = TensorInfo("y", "INT64", (4,), LABELS)
ONE_ROW = Tensor.of("FP32", [1, 3], [0.25, 0.5, 0.125])


@pytest.mark.parametrize(
    ("info", "tensor", "k", "shape", "texts"),
    [
        (FREE, ONE_ROW, 2, [1, 2], ["0.500000:1:bee", "0.250000:0:ant"]),
        (FIXED, ONE_ROW, 1, [1], ["0.500000:1:bee"]),
        (FREE, ONE_ROW, 9, [1, 3], ["0.500000:1:bee", "0.250000:0:ant", "0.125000:2:cat"]),
        (
            FREE,
            Tensor.of("FP32", [2, 3], [0, 1, 0, 0, 0, 2]),
            1,
            [2, 1],
            ["1.000000:1:bee", "2.000000:2:cat"],
        ),
        (FREE, Tensor("FP32", [0, 3], b""), 2, [0, 0], []),
        (FLAT, Tensor.of("INT64", [4], [5, 7, 7, 9]), 3, [3], ["9:3", "7:1:bee", "7:2:cat"]),
        (TensorInfo("y", "BOOL", (2,)), Tensor.of("BOOL", [2], [False, True]), 1, [1], ["1:1"]),
        (
            TensorInfo("y", "FP32", (-1, 2, 2)),
            Tensor.of("FP32", [1, 2, 2], [1, 4, 2, 3]),
            2,
            [1, 2],
            ["4.000000:1", "3.000000:3"],
        ),
    ],
)
def test_the_highest_values_are_named(
    info: TensorInfo, tensor: Tensor, k: int, shape: list[int], texts: list[str]
) -> None:
    classes = Classes(info, tensor, k)
    assert (classes.shape, classes.texts) == (shape, texts)


def test_nan_comes_last() -> None:
    tensor = Tensor("FP32", [1, 3], Tensor.of("FP32", [3], [0, 1, 2]).data)
    tensor.data = Tensor.of("FP32", [2], [1, 2]).data + b"\0\0\xc0\x7f"
    texts = Classes(FREE, tensor, 3).texts
    assert texts == ["2.000000:1:bee", "1.000000:0:ant", f"{math.nan:f}:2:cat"]


def test_binary_form_has_a_length_before_each() -> None:
    classes = Classes(FLAT, Tensor.of("INT64", [4], [5, 0, 0, 0]), 1)
    assert classes.data() == b"\x07\0\0\0" + b"5:0:ant"
