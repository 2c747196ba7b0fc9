"""The models and inputs that kernels are compared on, made by script: the same every time.

    python -m benchmarks.workloads build/kernels     writes NAME/model.onnx and its inputs

Weights are random and no answer means anything; sizes, operators and the way in which nodes are
written are those of real exports. A folder holds `model.onnx`, `inputs.json` (name, type, dims
and file of each input) and the inputs' bytes, so that a runner in any language can read it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.served import SIZES, perceptron

Array = NDArray[Any]
SEED = 4
OPSETS = {"": 18, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Workload:
    """A model and one set of inputs for it.

    `counted`: it is in the geometric mean. `tolerance`: what an answer may differ by, as
    `nnlet.verify` counts. `flops`: of one call, where a rate says more than a time.
    """

    name: str
    title: str
    model: Callable[[], onnx.ModelProto]
    inputs: Callable[[], dict[str, Array]]
    counted: bool = True
    tolerance: float = 1e-3
    flops: int = 0

    def write(self, folder: Path) -> Path:
        """The workload's own folder in `folder`, made if it is not there."""
        own = folder / self.name
        if not (own / "inputs.json").exists():
            own.mkdir(parents=True, exist_ok=True)
            onnx.save(self.model(), own / "model.onnx")
            _write_inputs(self.inputs(), own)
        return own


def _write_inputs(inputs: dict[str, Array], folder: Path) -> None:
    listed = []
    for name, array in inputs.items():
        (folder / f"{name}.bin").write_bytes(array.tobytes())
        dims = list(array.shape)
        listed.append({"name": name, "type": str(array.dtype), "dims": dims, "file": f"{name}.bin"})
    (folder / "inputs.json").write_text(json.dumps(listed, indent=1) + "\n")


def read_inputs(folder: Path) -> dict[str, Array]:
    """What `write` left in a workload's folder."""
    return {
        port["name"]: np.fromfile(folder / port["file"], port["type"]).reshape(port["dims"])
        for port in json.loads((folder / "inputs.json").read_text())
    }


# -- building graphs ----------------------------------------------------------------------------


class Net:
    """A graph as it grows: each method adds nodes and returns the name of their result."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(SEED)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One node with one result."""
        result = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        return result

    def constant(self, array: Any) -> str:
        """An initializer."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *dims: int, fan_in: int, gain: float = 1.0) -> str:
        """Random weights that keep the size of what passes them."""
        scale = (gain / fan_in) ** 0.5
        return self.constant((scale * self.random.standard_normal(dims)).astype(np.float32))

    def conv(self, x: str, channels: int, filters: int, size: int, stride: int = 1) -> str:
        """A convolution with bias that keeps height and width, but for its stride."""
        weights = self.weight(filters, channels, size, size, fan_in=channels * size**2, gain=2)
        bias = self.weight(filters, fan_in=100)
        pads, shape, strides = [size // 2] * 4, [size] * 2, [stride] * 2
        return self.op("Conv", x, weights, bias, kernel_shape=shape, pads=pads, strides=strides)

    def model(
        self,
        name: str,
        inputs: dict[str, tuple[int | str, ...]],
        outputs: dict[str, tuple[int | str, ...]],
    ) -> onnx.ModelProto:
        """The graph as a model of float32 inputs and outputs with these dims."""

        def ports(named: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
            float32 = TensorProto.FLOAT
            return [helper.make_tensor_value_info(n, float32, dims) for n, dims in named.items()]

        graph = helper.make_graph(
            self.nodes, name, ports(inputs), ports(outputs), initializer=self.constants
        )
        return _model(graph)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model


def normal(**dims: tuple[int, ...]) -> Callable[[], dict[str, Array]]:
    """Inputs of normally distributed numbers, by name."""

    def inputs() -> dict[str, Array]:
        random = np.random.default_rng(SEED)
        return {name: random.standard_normal(d).astype(np.float32) for name, d in dims.items()}

    return inputs


# -- the models ---------------------------------------------------------------------------------


def empty() -> onnx.ModelProto:
    """One number in, the same number out: what a call costs that computes nothing."""
    net = Net()
    x = net.op("Identity", "x")
    return net.model("empty", {"x": (1,)}, {x: (1,)})


def squeezenet() -> onnx.ModelProto:
    """SqueezeNet 1.1: https://arxiv.org/abs/1602.07360, as torchvision exports it."""
    net = Net()
    weights = net.weight(64, 3, 3, 3, fan_in=27, gain=2)
    bias = net.weight(64, fan_in=100)
    x = net.op("Conv", "image", weights, bias, kernel_shape=[3, 3], strides=[2, 2], pads=[0] * 4)
    x, channels = net.op("Relu", x), 64
    for stage in ([(16, 64)] * 2, [(32, 128)] * 2, [(48, 192)] * 2 + [(64, 256)] * 2):
        x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0] * 4, ceil_mode=1)
        for squeezed, expanded in stage:
            x = _fire(net, x, channels, squeezed, expanded)
            channels = 2 * expanded
    x = net.op("Relu", net.conv(x, channels, 1000, 1))
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    return net.model("squeezenet", {"image": (1, 3, 224, 224)}, {x: (1, 1000)})


def _fire(net: Net, x: str, channels: int, squeezed: int, expanded: int) -> str:
    x = net.op("Relu", net.conv(x, channels, squeezed, 1))
    sides = [net.op("Relu", net.conv(x, squeezed, expanded, size)) for size in (1, 3)]
    return net.op("Concat", *sides, axis=1)


WIDTH, LENGTH, HEADS, BLOCKS = 256, 64, 4, 8


def transformer(blocks: int = 1) -> onnx.ModelProto:
    """Encoder blocks, their nodes as exporters write them: Gelu as Erf, biases as Add."""
    net = Net()
    y = "x"
    for _ in range(blocks):
        x = _norm(net, net.op("Add", y, _attention(net, y)))
        hidden = _gelu(net, _linear(net, x, WIDTH, 4 * WIDTH))
        y = _norm(net, net.op("Add", x, _linear(net, hidden, 4 * WIDTH, WIDTH)))
    return net.model("transformer", {"x": (1, LENGTH, WIDTH)}, {y: (1, LENGTH, WIDTH)})


def _attention(net: Net, x: str) -> str:
    depth = WIDTH // HEADS

    def heads(permutation: list[int]) -> str:
        shape = net.constant(np.array([1, LENGTH, HEADS, depth]))
        split = net.op("Reshape", _linear(net, x, WIDTH, WIDTH), shape)
        return net.op("Transpose", split, perm=permutation)

    query, key, value = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
    root = net.constant(np.float32(depth**0.5))
    scores = net.op("Softmax", net.op("Div", net.op("MatMul", query, key), root), axis=-1)
    mixed = net.op("Transpose", net.op("MatMul", scores, value), perm=[0, 2, 1, 3])
    joined = net.op("Reshape", mixed, net.constant(np.array([1, LENGTH, WIDTH])))
    return _linear(net, joined, WIDTH, WIDTH)


def _linear(net: Net, x: str, inputs: int, outputs: int) -> str:
    product = net.op("MatMul", x, net.weight(inputs, outputs, fan_in=inputs))
    return net.op("Add", net.weight(outputs, fan_in=100), product)


def _gelu(net: Net, x: str) -> str:
    bent = net.op("Erf", net.op("Div", x, net.constant(np.float32(2**0.5))))
    product = net.op("Mul", x, net.op("Add", bent, net.constant(np.float32(1))))
    return net.op("Mul", product, net.constant(np.float32(0.5)))


def _norm(net: Net, x: str) -> str:
    scale, bias = net.random.standard_normal((2, WIDTH)).astype(np.float32) / 10
    constants = net.constant(1 + scale), net.constant(bias)
    return net.op("LayerNormalization", x, *constants, axis=-1, epsilon=1e-5)


STEPS, FEATURES, HIDDEN = 50, 64, 128


def lstm() -> onnx.ModelProto:
    """One layer over a sequence, the last hidden state through a linear layer."""
    net = Net()
    weights = net.weight(1, 4 * HIDDEN, FEATURES, fan_in=FEATURES)
    recurrence = net.weight(1, 4 * HIDDEN, HIDDEN, fan_in=HIDDEN)
    bias = net.weight(1, 8 * HIDDEN, fan_in=100)
    inputs = ["sequence", weights, recurrence, bias]
    net.nodes.append(helper.make_node("LSTM", inputs, ["", "last"], hidden_size=HIDDEN))
    last = net.op("Squeeze", "last", net.constant(np.array([0])))
    y = net.op("Gemm", last, net.weight(HIDDEN, 10, fan_in=HIDDEN), net.weight(10, fan_in=100))
    return net.model("lstm", {"sequence": (STEPS, 1, FEATURES)}, {y: (1, 10)})


def matmul(rows: int, depth: int, columns: int) -> Callable[[], onnx.ModelProto]:
    """A product with a constant matrix."""

    def model() -> onnx.ModelProto:
        net = Net()
        y = net.op("MatMul", "x", net.weight(depth, columns, fan_in=depth))
        return net.model("matmul", {"x": (rows, depth)}, {y: (rows, columns)})

    return model


def residual() -> onnx.ModelProto:
    """A ResNet of three stages on 128x128 pixels, in float32."""
    net = Net()
    x = net.op("Relu", net.conv("image", 3, 32, 7, stride=2))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 32
    for filters, stride in ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = _block(net, x, channels, filters, stride)
        channels = filters
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    y = net.op("Gemm", x, net.weight(channels, 100, fan_in=channels), net.weight(100, fan_in=100))
    return net.model("residual", {"image": (1, 3, 128, 128)}, {y: (1, 100)})


def _block(net: Net, x: str, channels: int, filters: int, stride: int) -> str:
    bent = net.op("Relu", net.conv(x, channels, filters, 3, stride))
    short = x if stride == 1 else net.conv(x, channels, filters, 1, stride)
    return net.op("Relu", net.op("Add", net.conv(bent, filters, filters, 3), short))


def quantized() -> onnx.ModelProto:
    """`residual` through onnxruntime's static quantization: QDQ, int8, weights per channel."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            random = np.random.default_rng(SEED)
            self.images = iter(random.standard_normal((8, 1, 3, 128, 128)).astype(np.float32))

        def get_next(self) -> dict[str, Array] | None:
            image = next(self.images, None)
            return None if image is None else {"image": image}

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(residual(), before)
        quantize_static(before, after, Reader(), per_channel=True)
        return onnx.load(after)


TREES, DEPTH, COLUMNS, CLASSES = 100, 10, 20, 4
NORMAL = NormalDist()


class Tree:
    """One random decision tree for normally distributed features, in ONNX's lists.

    Each split cuts what reaches it within its middle half, so rows spread over the leaves; as
    in a trained tree, some branches end early.
    """

    def __init__(self, random: np.random.Generator, number: int) -> None:
        self.random, self.number = random, number
        self.nodes: list[tuple[str, int, float, int, int]] = []  # mode, feature, value, yes, no
        self.votes: list[tuple[int, Array]] = []  # of a leaf, for each class
        self._grow(0, [(0.0, 1.0)] * COLUMNS)

    def _grow(self, depth: int, box: list[tuple[float, float]]) -> int:
        """Adds a node and what is below it, for rows whose quantiles are in `box`."""
        at = len(self.nodes)
        self.nodes.append(("LEAF", 0, 0.0, 0, 0))
        if depth == DEPTH or (depth > 3 and self.random.random() < 0.1):
            self.votes.append((at, self.random.dirichlet(np.ones(CLASSES)) / TREES))
            return at
        feature = int(self.random.integers(COLUMNS))
        low, high = box[feature]
        cut = low + (high - low) * self.random.uniform(0.25, 0.75)
        sides = []
        for part in ((low, cut), (cut, high)):
            box[feature] = part
            sides.append(self._grow(depth + 1, box))
        box[feature] = low, high
        self.nodes[at] = ("BRANCH_LEQ", feature, NORMAL.inv_cdf(cut), sides[0], sides[1])
        return at


def forest() -> onnx.ModelProto:
    """A random forest as skl2onnx writes it, but for ZipMap: label and probabilities."""
    random = np.random.default_rng(SEED)
    trees = [Tree(random, number) for number in range(TREES)]
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["rows"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        classlabels_int64s=list(range(CLASSES)),
        post_transform="NONE",
        **_nodes(trees),
        **_votes(trees),
    )
    row = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", COLUMNS])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"])
    each = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])
    return _model(helper.make_graph([node], "forest", [row], [label, each]))


def _nodes(trees: list[Tree]) -> dict[str, Any]:
    flat = [(tree.number, at, *node) for tree in trees for at, node in enumerate(tree.nodes)]
    ids, places, modes, features, values, yes, no = map(list, zip(*flat, strict=True))
    return {
        "nodes_treeids": ids,
        "nodes_nodeids": places,
        "nodes_modes": modes,
        "nodes_featureids": features,
        "nodes_values": values,
        "nodes_truenodeids": yes,
        "nodes_falsenodeids": no,
        "nodes_hitrates": [1.0] * len(flat),
        "nodes_missing_value_tracks_true": [0] * len(flat),
    }


def _votes(trees: list[Tree]) -> dict[str, Any]:
    flat = [
        (tree.number, at, number, float(weight))
        for tree in trees
        for at, weights in tree.votes
        for number, weight in enumerate(weights)
    ]
    ids, places, classes, weights = map(list, zip(*flat, strict=True))
    return {
        "class_treeids": ids,
        "class_nodeids": places,
        "class_ids": classes,
        "class_weights": weights,
    }


# -- the table ----------------------------------------------------------------------------------


def _matmul(rows: int, depth: int, columns: int) -> Workload:
    return Workload(
        f"matmul_{rows}_{depth}_{columns}",
        f"matrix product, {rows} x {depth} x {columns}",
        matmul(rows, depth, columns),
        normal(x=(rows, depth)),
        counted=False,
        flops=2 * rows * depth * columns,
    )


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("empty", "nothing: one number", empty, normal(x=(1,)), counted=False),
        Workload("mlp", "MLP 64-128-10, 1 row", perceptron, normal(features=(1, SIZES[0]))),
        Workload(
            "squeezenet", "SqueezeNet 1.1, 3x224x224", squeezenet, normal(image=(1, 3, 224, 224))
        ),
        Workload(
            "transformer",
            f"transformer encoder block, d {WIDTH}, sequence {LENGTH}, {HEADS} heads",
            transformer,
            normal(x=(1, LENGTH, WIDTH)),
        ),
        Workload(
            "blocks",
            f"{BLOCKS} such blocks: a model of 25 MB",
            partial(transformer, BLOCKS),
            normal(x=(1, LENGTH, WIDTH)),
            counted=False,
        ),
        Workload(
            "lstm",
            f"LSTM, hidden {HIDDEN}, sequence {STEPS}",
            lstm,
            normal(sequence=(STEPS, 1, FEATURES)),
        ),
        Workload(
            "quantized",
            "ResNet of 16 layers, int8 (QDQ), 3x128x128",
            quantized,
            normal(image=(1, 3, 128, 128)),
            tolerance=0.1,  # a step or two of the quantized answer
        ),
        Workload(
            "forest_1",
            f"random forest, {TREES} trees, depth {DEPTH}, 1 row",
            forest,
            normal(rows=(1, COLUMNS)),
        ),
        Workload("forest_1000", "the same, 1000 rows", forest, normal(rows=(1000, COLUMNS))),
        _matmul(64, 64, 64),
        _matmul(64, 256, 256),
        _matmul(128, 768, 768),
        _matmul(256, 256, 256),
        _matmul(512, 512, 512),
        _matmul(3136, 64, 64),
    )
}


if __name__ == "__main__":
    for each in WORKLOADS.values():
        print(each.write(Path(sys.argv[1])))
