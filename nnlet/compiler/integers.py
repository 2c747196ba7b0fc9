"""integers: a pass Graph -> Graph that lets quantized networks compute with integers.

Quantized exports say DequantizeLinear -> operator -> QuantizeLinear, for onnxruntime to see
that the three are one operator on integers. Convolutions and matrix products with constant
weights become QLinearConv and QGemm; what only moves or picks elements works on the integers
as they are; Relu and Clip become limits. The rest computes in float32, as it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nnlet.compiler.graph import Array, Graph, Node
from nnlet.compiler.simplify import drop_unused, reads_of

QUANTIZED = (np.int8, np.uint8)
# Their results are elements of input 0, whatever those mean.
MOVES = frozenset(
    {
        "DepthToSpace", "Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Reshape", "Slice",
        "SpaceToDepth", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
# One loop computes these with the conversions around them, if their operands have no other reader.
ELEMENTWISE = frozenset({"Add", "Clip", "Div", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sub"})
# Below this a product cannot fill the 4 rows that qconv.c computes together.
LEAST_FILTERS = 4
# A bias that is not quantized is rounded to a multiple of the products' scale. More than this
# share of a step of the result would be seen in it.
LARGEST_ROUNDING = 1 / 64
FAR = 2**31  # beyond all integers of 8 bits
# A depthwise convolution takes its sums in float32, which has all integers below 2^24: so many
# products of 8 and 9 bits, and a bias, stay below.
MOST_TAPS, MOST_FLOAT_BIAS = 128, 2**23
MOST_BIAS = 2**30
CLIP_OPSET = 13  # from which on its limits are inputs, and it takes integers


@dataclass(frozen=True)
class Scaled:
    """What a DequantizeLinear reads: names of integers, scale and zero point, and the constants.

    `axis` counts where the scale is a vector.
    """

    names: tuple[str, str, str]
    scale: Array
    zero: Array
    axis: int

    @property
    def whole(self) -> bool:
        """One scale for all elements."""
        return self.scale.size == 1

    def like(self, other: Scaled) -> bool:
        """Whether equal integers mean equal numbers."""
        same = self.scale.dtype == other.scale.dtype and self.zero.dtype == other.zero.dtype
        return same and bool(self.scale == other.scale) and bool(self.zero == other.zero)


def use_integers(graph: Graph) -> Graph:
    """Quantized operators instead of operators between DequantizeLinear and QuantizeLinear."""
    if not any(node.op == "DequantizeLinear" for node in graph.nodes):
        return graph
    return drop_unused(_Pass(_own_operands(graph)).run())


def _own_operands(graph: Graph) -> Graph:
    """A DequantizeLinear of its own for each elementwise reader."""
    made = {n.outputs[0]: n for n in graph.nodes if n.op == "DequantizeLinear"}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in ELEMENTWISE and any(x in made for x in node.inputs):
            inputs = list(node.inputs)
            for at, x in enumerate(inputs):
                if x in made and made[x].inputs[0] not in graph.constants:
                    inputs[at] = f"{x}.{node.outputs[0]}.{at}"
                    nodes.append(replace(made[x], outputs=(inputs[at],), proto=None))
            node = replace(node, inputs=tuple(inputs), proto=None)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


class _Pass:
    """One run over a graph. New nodes take the place of the QuantizeLinear that they end in."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.reads = reads_of(graph)
        self.made = {name: node for node in graph.nodes for name in node.outputs if name}

    def run(self) -> Graph:
        nodes: list[Node] = []
        for node in self.graph.nodes:
            new = self._integer(node) if node.op == "QuantizeLinear" else None
            nodes += [node] if new is None else new
        return replace(self.graph, nodes=tuple(nodes), constants=self.constants)

    def _integer(self, quantize: Node) -> list[Node] | None:
        """What computes the output of a QuantizeLinear on integers; None where nothing does."""
        y = self._scaled(quantize)
        if y is None or not y.whole:
            return None
        node, low, high = self._limited(quantize.inputs[0], y)
        new = None
        if node is not None and node.op in MOVES:
            new = self._moved(node, y)
        elif node is not None and node.op in ("Conv", "Gemm", "MatMul"):
            new = self._product(node, y)
        if new is None:
            return None
        result, info = quantize.outputs[0], np.iinfo(y.zero.dtype)
        if low <= info.min and high >= info.max:
            return [replace(new, outputs=(result,), proto=None)]
        # What Relu or Clip cut before the integers end.
        inner = f"{result}.unlimited"
        limits = np.clip([low, high], info.min, info.max).astype(y.zero.dtype)
        names = [self._constant(f"{result}.limit", np.asarray(limit)) for limit in limits]
        clip = Node("Clip", quantize.name, (inner, *names), (result,), {}, CLIP_OPSET)
        return [replace(new, outputs=(inner,), proto=None), clip]

    def _limited(self, name: str, y: Scaled) -> tuple[Node | None, int, int]:
        """What makes `name`, before any Relu and Clip, and how those limit the quantized result."""
        low, high = -FAR, FAR
        while True:
            node = self.made.get(name)
            if node is None or self.reads[name] != 1:
                return None, low, high
            bounds = self._bounds(node)
            if bounds is None:
                return node, low, high
            below, above = (_quantized(bound, y) for bound in bounds)
            low, high = max(low, below), min(high, above)
            if high < low:
                return None, low, high
            name = node.inputs[0]

    def _bounds(self, node: Node) -> tuple[float, float] | None:
        """What a Relu or a Clip with constant limits lets through."""
        if node.op == "Relu":
            return 0.0, float("inf")
        if node.op != "Clip":
            return None
        found = []
        for at, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
            given = node.inputs[at] if at < len(node.inputs) else ""
            if given and given not in self.constants:
                return None
            found.append(float(self.constants[given]) if given else node.attrs.get(name, default))
        return found[0], found[1]

    def _moved(self, node: Node, y: Scaled) -> Node | None:
        """The same operator on integers, if those mean the same before and after it."""
        x = self._operand(node.inputs[0])
        if x is None or not x.whole or not x.like(y) or any(node.outputs[1:]):
            return None
        return replace(node, inputs=(x.names[0], *node.inputs[1:]))

    def _product(self, node: Node, y: Scaled) -> Node | None:
        x, w = self._operand(node.inputs[0]), self._operand(node.inputs[1])
        if x is None or w is None or not x.whole or w.names[0] not in self.constants:
            return None
        if x.zero.dtype not in QUANTIZED or y.zero.dtype not in QUANTIZED:
            return None
        columns = _weight_axis(node)
        weights = self.constants[w.names[0]]
        if columns is None or weights.ndim < 2 or not _along(weights, w, columns):
            return None
        most = MOST_BIAS
        if node.op == "Conv" and _depthwise(node, weights):
            most = MOST_FLOAT_BIAS
        elif not _narrow(weights, w, columns) or not _filled(node, weights):
            return None
        bias = self._bias(node, x, w, y, most)
        if bias is None:
            return None
        if node.op == "Conv":
            inputs = (*x.names, *w.names, *y.names[1:], *bias)
            return replace(node, op="QLinearConv", inputs=inputs)
        inputs = (*x.names, *w.names, *(bias or ("",)), *y.names[1:])
        return replace(node, op="com.microsoft.QGemm", inputs=inputs)

    def _bias(
        self, node: Node, x: Scaled, w: Scaled, y: Scaled, most: int
    ) -> tuple[str, ...] | None:
        """The name of a bias in multiples of the products' scale, () without one; None if it
        cannot be, or reaches `most`."""
        name = node.inputs[2] if len(node.inputs) > 2 else ""
        if not name:
            return ()
        scale = x.scale.astype(np.float64) * w.scale.astype(np.float64)
        quantized = self._operand(name)
        if quantized is None:
            given = self.constants.get(name)
            if given is None or np.max(0.5 * scale / y.scale) > LARGEST_ROUNDING:
                return None
        else:
            if quantized.names[0] not in self.constants:
                return None
            numbers = self.constants[quantized.names[0]].astype(np.float64) - quantized.zero
            if numbers.ndim != 1:
                return None
            given = numbers * quantized.scale
        if given.ndim != 1 or not np.all(np.isfinite(given)):
            return None
        whole = np.rint(given.astype(np.float64) / scale.reshape(-1))
        if np.max(np.abs(whole), initial=0) >= most:
            return None
        return (self._constant(f"{node.outputs[0]}.bias", whole.astype(np.int32)),)

    def _operand(self, name: str) -> Scaled | None:
        """What a DequantizeLinear that makes `name` reads."""
        node = self.made.get(name)
        return self._scaled(node) if node is not None and node.op == "DequantizeLinear" else None

    def _scaled(self, node: Node) -> Scaled | None:
        names = (*node.inputs, "")[:3]
        if node.attrs.get("block_size", 0) or node.attrs.get("precision", 0):
            return None
        if any(n and n not in self.constants for n in names[1:]):
            return None
        scale = self.constants[names[1]]
        if scale.dtype != np.float32:
            return None
        zero = self.constants[names[2]] if names[2] else self._unnamed_zero(node)
        if zero is None or zero.dtype.kind not in "iu":
            return None
        if not names[2]:
            names = (*names[:2], self._constant(f"{node.outputs[0]}.zero", zero))
        return Scaled((names[0], names[1], names[2]), scale, zero, node.attrs.get("axis", 1))

    def _unnamed_zero(self, node: Node) -> Array | None:
        """The zero point that is not there, in the type of the integers, where that is known."""
        if node.op == "QuantizeLinear":
            return None if node.attrs.get("output_dtype") else np.zeros((), np.uint8)
        content, producer = self.constants.get(node.inputs[0]), self.made.get(node.inputs[0])
        if content is not None:
            return np.zeros((), content.dtype)
        if producer is None or producer.op != "QuantizeLinear":
            return None
        before = self._scaled(producer)
        return None if before is None else np.zeros((), before.zero.dtype)

    def _constant(self, name: str, array: Array) -> str:
        """A constant under a name of its own."""
        while name in self.constants or name in self.made:
            name += "_"
        self.constants[name] = array
        return name


def _quantized(bound: float, y: Scaled) -> int:
    """A number as QuantizeLinear gives it, but for its limits."""
    quotient = np.rint(np.clip(np.float32(bound) / y.scale.reshape(()), -FAR, FAR))
    return int(np.clip(quotient + y.zero.reshape(()), -FAR, FAR))


def _weight_axis(node: Node) -> int | None:
    """The axis of the weights along which the result's channels or columns lie."""
    attrs: Mapping[str, object] = node.attrs
    if node.op == "Conv":
        return 0
    if node.op == "MatMul":
        return 1
    if attrs.get("transA", 0) or attrs.get("alpha", 1.0) != 1 or attrs.get("beta", 1.0) != 1:
        return None
    return 0 if attrs.get("transB", 0) else 1


def _along(weights: Array, w: Scaled, axis: int) -> bool:
    """Whether weights are bytes with one scale, or one for each index of `axis`."""
    if weights.dtype not in QUANTIZED or w.zero.size not in (1, w.scale.size):
        return False
    return w.whole or (w.axis % weights.ndim == axis and w.scale.size == weights.shape[axis])


def _narrow(weights: Array, w: Scaled, axis: int) -> bool:
    """Whether weights have 8 bits without their zero points."""
    zero = w.zero
    if zero.size > 1:
        zero = zero.reshape(-1, *[1] * (weights.ndim - 1 - axis))
    difference = weights.astype(np.int16) - zero.astype(np.int16)
    return bool(np.all(difference >= -128) and np.all(difference <= 127))


def _depthwise(node: Node, weights: Array) -> bool:
    """Whether a convolution's filters see one channel each, by few enough taps."""
    groups, taps = int(node.attrs.get("group", 1)), int(np.prod(weights.shape[2:]))
    return groups > 1 and weights.shape[1] == 1 and taps <= MOST_TAPS


def _filled(node: Node, weights: Array) -> bool:
    """Whether the kernels for products have such weights, and are faster than floats."""
    if node.op != "Conv":
        return weights.ndim == 2
    groups = int(node.attrs.get("group", 1))
    return weights.ndim in (3, 4) and weights.shape[0] >= LEAST_FILTERS * groups
