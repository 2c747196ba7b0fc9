"""Quantized operators against NumPy and onnxruntime, exact: tensors, axes, blocks, all types."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(9)
FLOAT, INT32, UINT8 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8
EXACT: dict[str, Any] = {"rtol": 0, "atol": 0}


def data(*shape: int) -> Array:
    return (RNG.normal(size=shape) * 40).astype("f4")


def whole(dtype: str, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(RNG.integers(info.min, info.max, shape, dtype, endpoint=True), dtype)


def scales(*shape: int) -> Array:
    """Powers of two, so that ties are met and every division is exact."""
    return np.asarray(2.0 ** RNG.integers(-2, 2, shape), "f4")


def quantized(x: Array, scale: Array, zero: Array) -> Array:
    info = np.iinfo(zero.dtype)
    return np.clip(np.rint(x / scale) + zero, info.min, info.max).astype(zero.dtype)


def linear_cases() -> list[Case]:
    found = []
    x = data(3, 5, 7)
    x[0, 0, :4] = [1e30, -1e30, np.inf, -np.inf]
    for dtype in ("u1", "i1", "u2", "i2"):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        for axis, length, shape in (
            (0, 3, (3, 1, 1)),
            (1, 5, (5, 1)),
            (-1, 7, (7,)),
            (None, (), ()),
        ):
            scale, zero = scales(length) if axis is not None else scales(), whole(dtype)
            if axis is not None:
                zero = whole(dtype, length)
            attrs: dict[str, Any] = {**EXACT} if axis is None else {"axis": axis, **EXACT}
            broadcast = [p.reshape(shape) for p in (scale, zero)]
            q = whole(dtype, 3, 5, 7)
            y = (q.astype("f4") - broadcast[1].astype("f4")) * broadcast[0]
            name = f"{dtype} along {axis}"
            found += [
                node_case(
                    "QuantizeLinear", [x, scale, zero], name=f"quantize {name}", outputs=[kind],
                    constant=[1, 2], expected=[quantized(x, *broadcast)], **attrs,
                ),
                node_case(
                    "DequantizeLinear", [q, scale, zero], name=f"dequantize {name}",
                    outputs=[FLOAT], expected=[y], **attrs,
                ),
            ]  # fmt: skip
    return found


def block_cases() -> list[Case]:
    found = []
    for block in (2, 3, 4, 6, 7):
        x, count = data(2, 6, 5), -(-6 // block)
        scale, zero = scales(2, count, 5), whole("i1", 2, count, 5)
        wide = [np.repeat(p, block, 1)[:, :6] for p in (scale, zero)]
        q = quantized(x, *wide)
        y = (q.astype("f4") - wide[1]) * wide[0]
        for dynamic in (False, True):
            name = f"blocks of {block} {dynamic}"
            attrs: dict[str, Any] = {"block_size": block, "dynamic": dynamic, **EXACT}
            found += [
                node_case(
                    "QuantizeLinear", [x, scale, zero], name=f"quantize {name}",
                    outputs=[TensorProto.INT8], expected=[q], **attrs,
                ),
                node_case(
                    "DequantizeLinear", [q, scale, zero], name=f"dequantize {name}",
                    outputs=[FLOAT], expected=[y], **attrs,
                ),
            ]  # fmt: skip
    return found


def other_linear_cases() -> list[Case]:
    x, one, two = data(4, 9), np.array(0.5, "f4"), np.array([0.25], "f4")
    ties = (np.arange(24) / 4 - 3).astype("f4")
    half, half_scale = data(4, 9).astype("f2"), np.array(0.1, "f2")
    accumulator = whole("i4", 3, 4)
    in_half = np.rint((half / half_scale).astype("f4"))
    zero = np.uint8(0)
    return [
        node_case(
            "QuantizeLinear", [ties, one], name="ties and no zero point", outputs=[UINT8],
            expected=[quantized(ties, one, zero)], **EXACT,
        ),
        node_case(
            "QuantizeLinear", [x, two], name="output_dtype", outputs=[TensorProto.INT16],
            output_dtype=TensorProto.INT16, expected=[quantized(x, two, np.int16(0))], **EXACT,
        ),
        node_case(
            "QuantizeLinear", [half, half_scale], name="half", outputs=[UINT8],
            expected=[np.clip(in_half, 0, 255).astype("u1")], **EXACT,
        ),
        node_case("DequantizeLinear", [accumulator, one], name="int32", outputs=[FLOAT], **EXACT),
        node_case(
            "DequantizeLinear", [whole("u1", 5), half_scale], name="to half",
            outputs=[TensorProto.FLOAT16], rtol=0, atol=0,
        ),
        node_case("DynamicQuantizeLinear", [x], outputs=[UINT8, FLOAT, UINT8]),
        node_case("DynamicQuantizeLinear", [x + 200], name="above", outputs=[UINT8, FLOAT, UINT8]),
        node_case("DynamicQuantizeLinear", [x * 0], name="zeros", outputs=[UINT8, FLOAT, UINT8]),
    ]  # fmt: skip


def microsoft_cases() -> list[Case]:
    """What onnxruntime's quantizer writes for elementwise operators."""
    found = []
    for dtype in ("u1", "i1"):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        a = [whole(dtype, 3, 5, 7), np.array(0.031, "f4"), whole(dtype)]
        b = [whole(dtype, 5, 1), np.array(0.047, "f4"), whole(dtype)]
        result = [np.array(0.083, "f4"), whole(dtype)]
        for op, inputs in (
            ("QLinearAdd", [*a, *b]),
            ("QLinearMul", [*a, *b]),
            ("QLinearSigmoid", a),
            ("QLinearLeakyRelu", a),
        ):
            found.append(
                node_case(
                    op, [*inputs, *result], name=f"{op} {dtype}", domain="com.microsoft",
                    constant=[1, 2], outputs=[kind], rtol=0, atol=1,
                )
            )  # fmt: skip
    return found


def int4_weights() -> list[Case]:
    """As language models are exported: 4-bit weights, a scale for each block of a row."""
    q = RNG.integers(-8, 8, (6, 8))
    scale = scales(6, 2)
    x = data(3, 6)
    y = x @ (q * np.repeat(scale, 4, 1)).astype("f4")
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], axis=1, block_size=4),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "int4",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", FLOAT, ["n", 8])],
        [
            helper.make_tensor("q", TensorProto.INT4, q.shape, q.reshape(-1)),
            onnx.numpy_helper.from_array(scale, "scale"),
        ],
    )
    opsets = [helper.make_opsetid("", 21)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return [Case("int4", proto, {"x": x}, [y], 1e-5, 1e-3)]


def integer_products() -> list[Case]:
    found = []
    for n, (a, b) in enumerate(
        [((3, 5), (5, 7)), ((1, 64), (64, 17)), ((2, 3, 5), (5, 4)), ((2, 1, 3, 4), (3, 4, 5))]
    ):
        left, right = whole("u1", *a), whole("i1", *b)
        zeros = [np.array(128, "u1"), np.array(-3, "i1")]
        rows, columns = whole("u1", a[-2]), whole("i1", b[-1])
        attrs: dict[str, Any] = {"outputs": [INT32], **EXACT}
        signed = [left.astype("i4"), right.astype("i4")]
        per_axis = np.matmul(signed[0] - rows[:, None], signed[1] - columns)
        found += [
            node_case("MatMulInteger", [left, right], name=f"product-{n}", **attrs),
            node_case(
                "MatMulInteger", [left, right, *zeros], name=f"product-{n} with zeros",
                constant=[1, 3], **attrs,
            ),
            node_case(
                "MatMulInteger", [left, right, rows, columns], name=f"product-{n} per axis",
                expected=[per_axis.astype("i4")], **attrs,
            ),
        ]  # fmt: skip
    return found


def requantized_products() -> list[Case]:
    found = []
    for dtype in ("u1", "i1"):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        left, right = whole(dtype, 4, 19), whole(dtype, 19, 6)
        zeros = [np.array(z, dtype) for z in (3, 5, 7)]
        for scale in (np.array(0.013, "f4"), np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06], "f4")):
            right_zero = np.full(scale.shape, 5, dtype)
            inputs = [left, np.array(0.07, "f4"), zeros[0], right, scale, right_zero]
            inputs += [np.array(1.9, "f4"), zeros[2]]
            name, attrs = f"requantized {dtype} {scale.ndim}", {"outputs": [kind], **EXACT}
            found.append(node_case("QLinearMatMul", inputs, name=name, constant=[3, 4, 5], **attrs))
    return found


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 3, 3), (1, 1, 2, 2), {}),
    ((2, 3, 7, 6), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 4, 9, 8), (6, 2, 3, 2), {"group": 2, "strides": [2, 1], "dilations": [1, 2]}),
    ((1, 5, 6, 6), (5, 1, 3, 3), {"group": 5, "auto_pad": "SAME_UPPER"}),
]


def convolution_cases() -> list[Case]:
    found = []
    for n, (shape, kernel, attrs) in enumerate(CONVOLUTIONS):
        x, w, filters = whole("u1", *shape), whole("i1", *kernel), kernel[0]
        zero = np.array(128, "u1")
        found += [
            node_case(
                "ConvInteger", [x, w.view("u1"), zero], name=f"convolution-{n}", outputs=[INT32],
                constant=[1], **EXACT, **attrs,
            ),
            node_case(
                "QLinearConv",
                [
                    x, np.array(0.02, "f4"), zero, w, (RNG.random(filters) / 30).astype("f4"),
                    np.zeros(filters, "i1"), np.array(0.9, "f4"), np.array(100, "u1"),
                    RNG.integers(-9999, 9999, filters, "i4"),
                ],
                name=f"requantized convolution-{n}", outputs=[UINT8], constant=[3, 4, 5, 8],
                **EXACT, **attrs,
            ),
        ]  # fmt: skip
    return found


CASES = [
    *linear_cases(), *block_cases(), *other_linear_cases(), *microsoft_cases(), *int4_weights(),
    *integer_products(), *requantized_products(), *convolution_cases(),
]  # fmt: skip


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equals_the_reference(models: NativeModels, case: Case) -> None:
    check(models, case)
