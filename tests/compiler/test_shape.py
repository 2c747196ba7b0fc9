"""Operators that only change or tell a shape, against onnxruntime; their results are views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.compiler.load import from_proto
from nnlet.compiler.lower import lower
from nnlet.compiler.ops import OPS
from nnlet.errors import CompileError, InferenceError
from nnlet.native import NativeModels
from tests.compiler.nodes import INT64, node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(12)


def data(*shape: int, dtype: str = "f4") -> Array:
    return np.asarray(RNG.normal(size=shape) * 50).astype(dtype)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


# Operator, inputs (the second says sizes or axes), attributes.
Row = tuple[str, list[Array], dict[str, Any]]

ROWS: list[Row] = [
    ("Reshape", [data(2, 3, 4), ints(6, 4)], {}),
    ("Reshape", [data(2, 3, 4), ints(0, -1)], {}),
    ("Reshape", [data(2, 3, 4), ints(-1, 0, 2)], {}),
    ("Reshape", [data(2, 3, 4), ints(24)], {}),
    ("Reshape", [data(0, 3), ints(0, 5)], {"allowzero": 1}),
    ("Reshape", [data(0, 3), ints(0, 3, 1)], {}),
    ("Flatten", [data(2, 3, 4)], {}),
    ("Flatten", [data(2, 3, 4)], {"axis": 0}),
    ("Flatten", [data(2, 3, 4)], {"axis": 3}),
    ("Flatten", [data(2, 3, 4)], {"axis": -1}),
    ("Flatten", [data()], {"axis": 0}),
    ("Squeeze", [data(2, 1, 4, 1), ints(1)], {}),
    ("Squeeze", [data(2, 1, 4, 1), ints(-1, 1)], {}),
    ("Unsqueeze", [data(2, 3), ints(0)], {}),
    ("Unsqueeze", [data(2, 3), ints(-1, 1)], {}),
    ("Unsqueeze", [data(2, 3), ints(3, 0, 2)], {}),
    ("Identity", [data(2, 3)], {}),
    ("Identity", [data(2, 3, dtype="f2")], {}),
    ("Shape", [data(2, 3, 4)], {}),
    ("Shape", [data(2, 3, 4)], {"start": 1}),
    ("Shape", [data(2, 3, 4)], {"start": -9, "end": -1}),
    ("Shape", [data(2, 3, 4)], {"start": 2, "end": 1}),
    ("Size", [data(2, 3, 4)], {}),
    ("Size", [data(0, 3)], {}),
]  # fmt: skip


def cases() -> list[Case]:
    found = []
    for n, (op, inputs, attrs) in enumerate(ROWS):
        outputs = [INT64 if op in ("Shape", "Size") else 0]
        sizes = range(1, len(inputs))
        for dynamic, constant in ((False, sizes), (True, sizes), (True, range(0))):
            name = f"{op}-{n}-{'dynamic' if dynamic else 'static'}-{len(constant)}"
            found.append(
                node_case(
                    op, inputs, name=name, outputs=outputs, dynamic=dynamic, constant=constant,
                    fixed=sizes, **attrs,
                )
            )  # fmt: skip
    return found


def old_cases() -> list[Case]:
    """Axes as attributes, and all dimensions of 1."""
    x = data(2, 1, 4, 1)
    return [
        node_case("Squeeze", [x], name="squeeze-11", opset=11, axes=[1, -1]),
        node_case("Squeeze", [x], name="squeeze-all", dynamic=False),
        node_case("Unsqueeze", [x], name="unsqueeze-11", opset=11, axes=[0, 3]),
        node_case("Flatten", [x], name="flatten-9", opset=9, axis=2),
        node_case("Reshape", [x, ints(4, 2)], name="reshape-7", opset=7, constant=[1]),
        node_case("Reshape", [data(1), ints()], name="reshape-scalar", constant=[1]),
    ]


CASES = {case.name: case for case in [*cases(), *old_cases()]}


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_shapes_as_onnxruntime(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


@pytest.mark.parametrize(
    "name", ["Reshape-1-dynamic-1", "Flatten-7-dynamic-0", "Unsqueeze-15-dynamic-1"]
)
def test_nothing_is_copied(name: str) -> None:
    program = lower(from_proto(CASES[name].proto, "m", OPS), "m", "1", OPS)
    ((_, output),) = program.outputs
    assert output.storage == program.inputs[0].value.storage


BAD: list[tuple[str, list[Array], dict[str, Any], str]] = [
    ("Reshape", [data(2, 3), ints(4, 2)], {}, "does not fit"),
    ("Reshape", [data(2, 3), ints(-1, -1)], {}, "does not fit"),
    ("Reshape", [data(2, 3), ints(-2, -3)], {}, "does not fit"),
    ("Reshape", [data(2, 3), ints(2**62, 2**62)], {}, "does not fit"),
    ("Reshape", [data(2, 3), ints(6, 1, 0)], {}, "does not fit"),
    ("Squeeze", [data(2, 1), ints(0)], {}, "do not fit"),
    ("Squeeze", [data(1, 1), ints(0, 0)], {}, "do not fit"),
    ("Unsqueeze", [data(2, 1), ints(4)], {}, "do not fit"),
    ("Unsqueeze", [data(2, 1), ints(1, -3)], {}, "do not fit"),
]


@pytest.fixture(scope="module")
def refusing() -> NativeModels:
    ranks = {"Reshape": 0, "Squeeze": -1, "Unsqueeze": 1}
    made = []
    for n, (op, inputs, attrs, _) in enumerate(BAD):
        count = inputs[1].size
        rank = count if op == "Reshape" else inputs[0].ndim + ranks[op] * count
        made.append(
            node_case(
                op, inputs, name=f"bad-{n}", expected=[np.zeros((1,) * rank)], fixed=[1], **attrs
            )
        )
    return compiled(made)


@pytest.mark.parametrize("n", range(len(BAD)))
def test_what_does_not_fit_is_refused(refusing: NativeModels, n: int) -> None:
    _, inputs, _, words = BAD[n]
    with pytest.raises(InferenceError, match=words):
        refusing.run(f"bad-{n}", "1", {f"x{k}": x for k, x in enumerate(inputs)})


@pytest.mark.parametrize("n", range(len(BAD)))
def test_what_can_never_fit_is_no_model(n: int) -> None:
    op, inputs, attrs, _ = BAD[n]
    case = node_case(op, inputs, constant=[1], dynamic=False, expected=[np.zeros(1)], **attrs)
    with pytest.raises(CompileError):
        compiled([case])
