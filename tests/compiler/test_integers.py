"""Quantized networks on integers: kernels against their naive twins and onnxruntime, exact, and
what the pass makes of DequantizeLinear -> operator -> QuantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnlet.compiler import compile_protos
from nnlet.compiler.integers import use_integers
from nnlet.compiler.load import from_proto
from nnlet.compiler.ops import OPS
from nnlet.native import NativeModels
from tests.compiler.nodes import node_case
from tests.compiler.oracle import Array, Case, check, compiled, reference

RNG = np.random.default_rng(11)
EXACT: dict[str, Any] = {"rtol": 0, "atol": 0}
Q, DQ = "QuantizeLinear", "DequantizeLinear"
FLOAT = TensorProto.FLOAT

# -- kernels ---------------------------------------------------------------------------------------

# Shapes with and without what is left over of 4 filters, 2 channels, 4 columns, 2 vectors.
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((2, 3, 7, 6), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((1, 4, 9, 8), (6, 2, 3, 2), {"group": 2, "strides": [2, 1], "dilations": [1, 2]}),
    ((1, 5, 6, 21), (5, 1, 3, 3), {"group": 5, "auto_pad": "SAME_UPPER"}),
    ((2, 6, 11, 18), (12, 1, 5, 3), {"group": 6, "strides": [2, 2], "pads": [2, 1, 2, 1]}),
    ((1, 3, 19, 37), (9, 3, 7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
    ((1, 2, 5, 17), (3, 2, 2, 4), {"strides": [3, 3], "pads": [0, 1, 2, 3], "dilations": [2, 2]}),
    ((3, 6, 4, 4), (8, 6, 1, 1), {"strides": [2, 2]}),
    ((2, 7, 18), (5, 7, 3), {"pads": [1, 1]}),
    ((1, 2, 3, 3), (2, 2, 3, 3), {"pads": [9, 9, 9, 9], "dilations": [5, 5]}),
    ((1, 40, 130, 33), (4, 40, 3, 3), {"pads": [1, 1, 1, 1]}),  # more than one strip of lines
]
PRODUCTS = [((1, 1), (1, 1)), ((4, 8), (8, 8)), ((7, 19), (19, 13)), ((2, 3, 64), (64, 9)),
            ((1, 33), (33, 100))]  # fmt: skip


def whole(dtype: str, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return np.asarray(RNG.integers(info.min, info.max, shape, dtype, endpoint=True), dtype)


def kernel_cases() -> list[Case]:
    """Each with all of its parameters constant, which takes the fast kernel, and with a scale that
    is not, which takes the naive one."""
    found = []
    for dtype, w_dtype, w_zero in (("u1", "i1", 0), ("i1", "i1", 0), ("u1", "u1", 128)):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        for n, (shape, kernel, attrs) in enumerate(CONVOLUTIONS):
            filters = kernel[0]
            inputs = [
                whole(dtype, *shape), np.array(0.02, "f4"), whole(dtype), whole(w_dtype, *kernel),
                (RNG.random(filters) / 30).astype("f4"), np.full(filters, w_zero, w_dtype),
                np.array(0.9, "f4"), whole(dtype), RNG.integers(-9999, 9999, filters, "i4"),
            ]  # fmt: skip
            for constant in (range(1, 9), range(3, 9)):
                for dynamic in (False, True):
                    name = f"conv-{n} {dtype} {w_dtype} {constant} {dynamic}"
                    found.append(
                        node_case(
                            "QLinearConv", inputs, name=name, outputs=[kind], constant=constant,
                            dynamic=dynamic, **EXACT, **attrs,
                        )
                    )  # fmt: skip
        for n, (a, b) in enumerate(PRODUCTS):
            inputs = [
                whole(dtype, *a), np.array(0.02, "f4"), whole(dtype), whole(w_dtype, *b),
                np.array(0.03, "f4"), np.array(w_zero, w_dtype), np.array(0.9, "f4"), whole(dtype),
            ]  # fmt: skip
            for constant in (range(1, 8), range(3, 8)):
                name = f"product-{n} {dtype} {w_dtype} {constant}"
                found.append(
                    node_case(
                        "QLinearMatMul", inputs, name=name, outputs=[kind], constant=constant,
                        **EXACT,
                    )
                )  # fmt: skip
    return found


KERNELS = kernel_cases()


@pytest.fixture(scope="module")
def kernels() -> NativeModels:
    return compiled(KERNELS)


@pytest.mark.parametrize("case", KERNELS, ids=lambda case: case.name)
def test_kernels_equal_the_reference(kernels: NativeModels, case: Case) -> None:
    check(kernels, case)


def test_the_kernels_are_those_that_were_meant() -> None:
    fast, naive = (
        compile_text(case) for case in KERNELS if case.name.startswith("conv-1 u1 i1 ") and
        case.name.endswith("False")
    )  # fmt: skip
    assert " qconv(" in fast and "conv_u32(" not in fast
    assert "conv_u32(" in naive and " qconv(" not in naive


def compile_text(case: Case) -> str:
    """The generated C."""
    return compile_protos([("m", "1", case.proto)]).source


# -- the pass --------------------------------------------------------------------------------------


class Net:
    """A quantized graph as exporters write it."""

    def __init__(self, *dims: int) -> None:
        self.dims = dims
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        result = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        return result

    def weights(self, dtype: str, *dims: int, zero: int = 0, axis: int | None = None) -> str:
        """Constant integers, dequantized as a whole or along an axis."""
        count = () if axis is None else (dims[axis],)
        scale = (0.5 + RNG.random(count)).astype("f4") / 100
        zeros = np.full(count, zero, dtype)
        attrs = {} if axis is None else {"axis": axis}
        names = [self.constant(a) for a in (whole(dtype, *dims), scale, zeros)]
        return self.op("DequantizeLinear", *names, **attrs)

    def quantized(self, x: str, scale: float, zero: Any) -> str:
        """x through QuantizeLinear and DequantizeLinear."""
        names = [self.constant(np.float32(scale)), self.constant(zero)]
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *names), *names)

    def model(self, *results: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", FLOAT, self.dims)],
            [helper.make_empty_tensor_value_info(r) for r in results],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 21)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnx.shape_inference.infer_shapes(proto)


def operators(proto: onnx.ModelProto) -> list[str]:
    """What the pass leaves of the graph."""
    return [node.op for node in use_integers(from_proto(proto, "test", OPS)).nodes]


def same_within(proto: onnx.ModelProto, shape: tuple[int, ...], step: float) -> None:
    """Our answer is onnxruntime's, but for `step`."""
    x = RNG.normal(size=shape).astype("f4")
    case = Case("net", proto, {"x": x}, rtol=0, atol=step * 1.001)
    check(compiled([case]), case)
    assert np.ptp(reference(case)[0]) > 20 * step  # it says something


@pytest.mark.parametrize("zero", [np.int8(-128), np.int8(3), np.uint8(0), np.uint8(90)])
@pytest.mark.parametrize("limit", ["Relu", "Clip", ""])
def test_a_convolution_and_its_limits_become_integer(zero: Any, limit: str) -> None:
    net = Net(1, 3, 9, 10)
    x = net.quantized("x", 0.02, type(zero)(7))
    w = net.weights("i1", 6, 3, 3, 3, axis=0)
    y = net.op("Conv", x, w, pads=[1, 1, 1, 1])
    if limit == "Relu":
        y = net.op("Relu", y)
    if limit == "Clip":
        y = net.op("Clip", y, net.constant(np.float32(-0.3)), net.constant(np.float32(0.9)))
    proto = net.model(net.quantized(y, 0.02, zero))
    found = operators(proto)
    assert [op for op in found if op != "Clip"] == [Q, "QLinearConv", DQ]
    assert ("Clip" in found) == (limit == "Clip" or (limit == "Relu" and zero in (3, 90)))
    same_within(proto, (1, 3, 9, 10), 0.02)


@pytest.mark.parametrize("dtype,zero", [("i1", 0), ("u1", 77)])
def test_depthwise_convolutions_become_integer(dtype: str, zero: int) -> None:
    net = Net(1, 5, 9, 20)
    x = net.quantized("x", 0.02, np.uint8(100))
    y = net.op("Conv", x, net.weights(dtype, 10, 1, 3, 3, zero=zero), pads=[1] * 4, group=5)
    proto = net.model(net.quantized(y, 0.02, np.uint8(120)))
    assert operators(proto) == [Q, "QLinearConv", DQ]
    same_within(proto, (1, 5, 9, 20), 0.02)


def test_biases_become_integers_of_the_products_scale() -> None:
    for quantized in (True, False):
        net = Net(2, 4, 6, 6)
        x = net.quantized("x", 0.02, np.uint8(128))
        scale = np.float32(0.01)
        names = [whole("i1", 5, 4, 1, 1), scale, np.int8(0)]
        w = net.op(DQ, *(net.constant(a) for a in names))
        if quantized:
            numbers = RNG.integers(-3000, 3000, 5, "i4")
            bias = net.op(DQ, net.constant(numbers), net.constant(np.float32(0.02) * scale))
        else:
            bias = net.constant(RNG.normal(size=5).astype("f4"))
        proto = net.model(net.quantized(net.op("Conv", x, w, bias), 0.05, np.uint8(128)))
        assert operators(proto) == [Q, "QLinearConv", DQ]
        same_within(proto, (2, 4, 6, 6), 0.05)


def test_matrix_products_become_integer() -> None:
    for trans in (0, 1):
        net = Net(5, 17)
        x = net.quantized("x", 0.02, np.int8(5))
        w = net.weights("i1", *((9, 17) if trans else (17, 9)), axis=1 - trans)
        y = net.op("Gemm", x, w, net.constant(RNG.normal(size=9).astype("f4")), transB=trans)
        proto = net.model(net.quantized(y, 0.1, np.int8(0)))
        assert operators(proto) == [Q, "com.microsoft.QGemm", DQ]
        same_within(proto, (5, 17), 0.1)
    net = Net(2, 3, 17)
    w = net.weights("u1", 17, 10, zero=128)
    y = net.op("MatMul", net.quantized("x", 0.02, np.uint8(120)), w)
    proto = net.model(net.quantized(y, 0.1, np.uint8(128)))
    assert operators(proto) == [Q, "com.microsoft.QGemm", DQ]
    same_within(proto, (2, 3, 17), 0.1)


def test_what_only_moves_elements_works_on_integers() -> None:
    net = Net(1, 3, 8, 8)
    zero = np.int8(9)
    x = net.quantized("x", 0.02, zero)
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = net.quantized(x, 0.02, zero)
    x = net.quantized(net.op("Transpose", x, perm=[0, 2, 3, 1]), 0.02, zero)
    proto = net.model(net.quantized(net.op("Flatten", x), 0.02, zero))
    assert operators(proto) == [Q, "MaxPool", "Transpose", "Flatten", DQ]
    same_within(proto, (1, 3, 8, 8), 0)


def test_a_sum_has_its_own_conversions() -> None:
    net = Net(4, 33)
    a = net.quantized("x", 0.02, np.int8(4))
    b = net.quantized(net.op("Relu", a), 0.03, np.int8(-128))
    proto = net.model(net.quantized(net.op("Relu", net.op("Add", a, b)), 0.05, np.int8(-128)))
    found = operators(proto)
    assert found.count("Add") == 1 and found.count(DQ) == 4
    same_within(proto, (4, 33), 0.05)


def left_alone() -> list[tuple[str, onnx.ModelProto]]:
    """Graphs whose products cannot be exact integers, or would be slower so."""

    found = []
    net = Net(1, 4, 5, 5)
    x = net.quantized("x", 0.02, np.uint8(3))
    extremes = np.resize(np.array([0, 255], "u1"), (4, 4, 1, 1))
    w = net.op(DQ, *(net.constant(a) for a in (extremes, np.float32(0.01), np.uint8(100))))
    y = net.quantized(net.op("Conv", x, w), 0.02, np.uint8(5))
    found.append(("weights beyond 8 bits", net.model(y)))

    net = Net(1, 4, 5, 5)
    x = net.quantized("x", 0.02, np.uint8(3))
    y = net.op("Conv", x, net.weights("i1", 4, 2, 1, 1), group=2)
    found.append(("two filters in a group", net.model(net.quantized(y, 0.02, np.uint8(5)))))

    net = Net(1, 4, 5, 5)
    x = net.quantized("x", 0.02, np.uint8(3))
    y = net.op("Conv", x, net.weights("i1", 4, 4, 1, 1))
    found.append(("a result that is read twice", net.model(y, net.quantized(y, 0.02, np.uint8(5)))))

    net = Net(1, 4, 5, 5)
    y = net.op("Conv", "x", net.weights("i1", 4, 4, 1, 1))
    found.append(("an input of floats", net.model(net.quantized(y, 0.02, np.uint8(5)))))

    net = Net(1, 4, 5, 5)
    x = net.quantized("x", 0.02, np.uint8(3))
    y = net.op("Conv", x, net.weights("i1", 4, 4, 1, 1), net.constant(np.full(4, 1e9, "f4")))
    found.append(("a bias beyond 32 bits", net.model(net.quantized(y, 0.02, np.uint8(5)))))

    net = Net(1, 4, 5, 5)
    x = net.quantized("x", 0.02, np.uint8(3))
    y = net.op("MaxPool", x, kernel_shape=[2, 2])
    found.append(("a pool between two scales", net.model(net.quantized(y, 0.03, np.uint8(3)))))
    return found


@pytest.mark.parametrize("name,proto", left_alone(), ids=lambda x: x if isinstance(x, str) else "")
def test_others_are_left_as_they_are(name: str, proto: onnx.ModelProto) -> None:
    found = operators(proto)
    assert "QLinearConv" not in found and found.count(Q) >= 1
    assert {"Conv", "MaxPool"} & set(found)


def test_a_whole_network_equals_onnxruntime_on_integers() -> None:
    net = Net(1, 3, 20, 20)
    x = net.quantized("x", 0.02, np.int8(1))
    y = net.op("Conv", x, net.weights("i1", 8, 3, 7, 7, axis=0), strides=[2, 2], pads=[3] * 4)
    x = net.quantized(net.op("Relu", y), 0.08, np.int8(-128))
    y = net.op("Conv", x, net.weights("i1", 8, 8, 3, 3, axis=0), pads=[1] * 4)
    y = net.quantized(y, 0.5, np.int8(10))
    x = net.quantized(net.op("Relu", net.op("Add", y, x)), 0.4, np.int8(-128))
    y = net.quantized(net.op("GlobalAveragePool", x), 0.1, np.int8(-128))
    y = net.quantized(net.op("Flatten", y), 0.1, np.int8(-128))
    y = net.op("Gemm", y, net.weights("i1", 8, 10, axis=1))
    same_within(net.model(net.quantized(y, 0.1, np.int8(0))), (1, 3, 20, 20), 0.1)
