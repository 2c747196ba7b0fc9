"""RNN, GRU and LSTM in every form, against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnlet.compiler import compile_protos
from nnlet.errors import CompileError, InferenceError
from nnlet.native import NativeModels
from tests.compiler.oracle import Array, Case, check, compiled, reference

RNG = np.random.default_rng(3)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NAMES = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def case(
    name: str,
    op: str,
    *,
    steps: int = 5,
    batch: int = 2,
    inputs: int = 3,
    hidden: int = 5,
    given: Sequence[str] = (),
    outputs: Sequence[int] = (0, 1, 2),
    constant: bool = True,
    static: bool = False,
    dtype: str = "f4",
    **attrs: Any,
) -> Case:
    """One node; `given` are the optional inputs, weights are constants or inputs. What is not
    `static` has a batch that only the run knows."""
    count = 2 if attrs.get("direction") == "bidirectional" else 1
    rows = GATES[op] * hidden
    state = (count, batch, hidden)
    shapes = {
        "X": (steps, batch, inputs),
        "W": (count, rows, inputs),
        "R": (count, rows, hidden),
        "B": (count, 2 * rows),
        "initial_h": state,
        "initial_c": state,
        "P": (count, 3 * hidden),
    }
    data = {n: (RNG.normal(size=shape) * 0.7).astype(dtype) for n, shape in shapes.items()}
    data["sequence_lens"] = RNG.integers(1, steps + 1, size=batch).astype("i4")
    used = [n if n in ("X", "W", "R", *given) else "" for n in NAMES]
    while used[-1] == "":
        used.pop()
    last = 3 if op == "LSTM" else 2
    names = [("Y", "Y_h", "Y_c")[n] if n in outputs else "" for n in range(last)]
    node = helper.make_node(op, used, names, hidden_size=hidden, **attrs)
    fixed = {"W", "R", "B", "P"} if constant else set()
    b: int | str = batch if static else "b"
    dims = {"X": ["t", b, inputs], "sequence_lens": [b]}
    dims |= {n: [count, b, hidden] for n in ("initial_h", "initial_c")}
    real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ports = [
        helper.make_tensor_value_info(
            n, TensorProto.INT32 if n == "sequence_lens" else real, dims.get(n, shapes.get(n))
        )
        for n in used
        if n and n not in fixed
    ]
    ends = [
        helper.make_tensor_value_info(n, real, ["t", count, b, hidden] if n == "Y" else state)
        for n in names
        if n
    ]
    weights = [numpy_helper.from_array(data[n], n) for n in used if n in fixed]
    graph = helper.make_graph([node], op, ports, ends, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    fed = {n: data[n] for n in used if n and n not in fixed}
    return Case(name, proto, fed, rtol=1e-4, atol=1e-5)


def every_form() -> list[Case]:
    found = []
    for op in GATES:
        optional = ["B", "initial_h", *(["initial_c", "P"] if op == "LSTM" else [])]
        for direction in ("forward", "reverse", "bidirectional"):
            for lengths in (False, True):
                for constant in (False, True):
                    given = [*optional, *(["sequence_lens"] if lengths else [])]
                    found.append(
                        case(
                            f"{op}_{direction}_{lengths}_{constant}", op, direction=direction,
                            given=given, constant=constant, batch=3,
                        )
                    )  # fmt: skip
        for hidden in (1, 8, 11, 33):
            for batch in (1, 4, 9):
                found.append(case(f"{op}_{hidden}_{batch}", op, hidden=hidden, batch=batch))
        for batch in (1, 2, 6):  # a kernel of its own for each
            found.append(
                case(
                    f"{op}_static_{batch}", op, batch=batch, static=True, hidden=19,
                    given=[*optional, "sequence_lens"], direction="bidirectional",
                )
            )  # fmt: skip
        found.append(case(f"{op}_one_step", op, steps=1, batch=1, given=["B"]))
        found.append(case(f"{op}_clip", op, clip=0.3, given=["B"]))
        found.append(case(f"{op}_last", op, outputs=[1]))
        found.append(case(f"{op}_all", op, outputs=[0]))
    for constant in (False, True):
        found.append(
            case(
                f"GRU_before_reset_{constant}", "GRU", linear_before_reset=1, given=["B"],
                constant=constant, direction="bidirectional",
            )
        )  # fmt: skip
    found.append(case("LSTM_input_forget", "LSTM", input_forget=1, given=["B", "P"]))
    return found


def activations() -> list[Case]:
    """Each function as the only one of an RNN, then lists whose alphas only some take."""
    values = {
        "Affine": (0.5, 0.1), "Elu": (0.7, None), "HardSigmoid": (0.3, 0.4),
        "LeakyRelu": (0.1, None), "Relu": (None, None), "ScaledTanh": (0.8, 0.5),
        "Sigmoid": (None, None), "Softplus": (None, None), "Softsign": (None, None),
        "Tanh": (None, None), "ThresholdedRelu": (0.2, None),
    }  # fmt: skip
    found = []
    for name, (alpha, beta) in values.items():
        attrs: dict[str, Any] = {"activations": [name]}
        if alpha is not None:
            attrs["activation_alpha"] = [alpha]
        if beta is not None:
            attrs["activation_beta"] = [beta]
        found.append(case(f"RNN_{name}", "RNN", given=["B"], **attrs))
    found.append(
        case(
            "LSTM_mixed", "LSTM", activations=["HardSigmoid", "Tanh", "LeakyRelu"] * 2,
            activation_alpha=[0.3, 0.05, 0.25, 0.02], activation_beta=[0.4, 0.6],
            direction="bidirectional",
        )
    )  # fmt: skip
    found.append(case("RNN_default_alpha", "RNN", activations=["LeakyRelu"]))
    return found


def batch_first(each: Case) -> Case:
    """The same with layout = 1, which onnxruntime has not: its answer, transposed."""
    y, h, c = reference(each)
    proto = type(each.proto)()
    proto.CopyFrom(each.proto)
    proto.graph.node[0].attribute.append(helper.make_attribute("layout", 1))
    for port in (*proto.graph.input, *proto.graph.output):
        dims = port.type.tensor_type.shape.dim
        order = (2, 0, 1, 3) if len(dims) == 4 else (1, 0, 2)
        kept = [type(dims[0]).FromString(dims[n].SerializeToString()) for n in order]
        for dim, new in zip(dims, kept, strict=True):
            dim.CopyFrom(new)
    fed = {n: np.ascontiguousarray(x.swapaxes(0, 1)) for n, x in each.inputs.items()}
    expected = [y.transpose(2, 0, 1, 3), h.swapaxes(0, 1), c.swapaxes(0, 1)]
    return replace(each, name=f"{each.name}_layout", proto=proto, inputs=fed, expected=expected)


def other_types() -> list[Case]:
    """onnxruntime computes LSTMs in float32 only: its answer is that for the same numbers."""
    found = []
    for dtype, tolerance in (("f8", 1e-5), ("f2", 5e-3)):
        each = case(f"LSTM_{dtype}", "LSTM", dtype=dtype, constant=False, given=["B"])
        inputs = {n: x.astype("f4") for n, x in each.inputs.items()}
        single = case("single", "LSTM", constant=False, given=["B"])
        expected = [y.astype(dtype) for y in reference(replace(single, inputs=inputs))]
        found.append(replace(each, expected=expected, rtol=tolerance, atol=tolerance))
    return found


def layout_cases() -> list[Case]:
    optional = ["B", "initial_h", "initial_c", "P"]
    return [
        batch_first(case("forward", "LSTM", given=optional)),
        batch_first(case("both", "LSTM", given=optional, direction="bidirectional", batch=3)),
    ]


CASES = [*every_form(), *activations(), *other_types(), *layout_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("each", CASES, ids=lambda c: c.name)
def test_answers_as_onnxruntime(models: NativeModels, each: Case) -> None:
    check(models, each)


@pytest.fixture(scope="module")
def lengths() -> tuple[NativeModels, dict[str, Array]]:
    each = case("m", "LSTM", given=["sequence_lens"], steps=4, batch=2)
    module = compile_protos([("m", "1", each.proto)])
    return NativeModels(module.source, module.weights, level=0), dict(each.inputs)


@pytest.mark.parametrize("length", [5, -1])
def test_a_length_beyond_the_steps_is_refused(
    lengths: tuple[NativeModels, dict[str, Array]], length: int
) -> None:
    models, inputs = lengths
    inputs["sequence_lens"] = np.array([1, length], "i4")
    with pytest.raises(InferenceError, match=f"length {length}, but there are 4 steps"):
        models.run("m", "1", inputs)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_any_number_of_steps_and_sequences(models: NativeModels, steps: int, batch: int) -> None:
    x = np.zeros((steps, batch, 3), "f4")
    state = np.ones((1, batch, 5), "f4")
    given = {"X": x, "initial_h": state, "initial_c": state}
    y, h, _ = models.run("LSTM_forward_False_True", "1", given)
    assert y.shape == (steps, 1, batch, 5)
    np.testing.assert_array_equal(h, y[-1] if steps else state)


def test_weights_of_the_wrong_shape_are_refused() -> None:
    each = case("m", "GRU")
    each.proto.graph.node[0].op_type = "LSTM"
    with pytest.raises(CompileError, match="dimension 1 of input 1: 15 and 20 should be equal"):
        compile_protos([("m", "1", each.proto)])
