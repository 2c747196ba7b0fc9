"""fold: nodes whose inputs are all constant are computed now, by ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from nnlet.compiler.graph import Array, Graph, Node, as_array
from nnlet.compiler.program import Value

# What they give is not a function of their inputs.
RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    }
)
# ONNX's reference loops over elements in Python: only small ones are worth waiting for.
SLOW = frozenset(
    {
        "AveragePool",
        "Col2Im",
        "Conv",
        "ConvTranspose",
        "DeformConv",
        "GRU",
        "GatherND",
        "GridSample",
        "LSTM",
        "LpPool",
        "MaxPool",
        "MaxUnpool",
        "NonMaxSuppression",
        "RNN",
        "ReverseSequence",
        "RoiAlign",
        "ScatterElements",
        "ScatterND",
        "TensorScatter",
    }
)
MAX_SLOW = 4096  # elements
# A result with more elements than this, and than so many times those of the inputs, is computed
# in the run instead of shipped.
MAX_GROWN = 4096
MAX_GROWTH = 16


def fold(node: Node, inputs: Sequence[Value | None]) -> list[Array | None] | None:
    """The outputs of `node`, or None where it has to wait for the run."""
    if node.op in RANDOM or node.proto is None or _has_subgraph(node):
        return None
    if node.op == "Constant":
        return [constant(node)]
    if "." in node.op or not inputs:
        return None
    arrays = [None if v is None else v.content for v in inputs]
    if any(v is not None and a is None for v, a in zip(inputs, arrays, strict=True)):
        return None
    given = [a for a in arrays if a is not None]
    total = sum(a.size for a in given)
    if node.op in SLOW and total > MAX_SLOW:
        return None
    if _grown(node, given) > max(MAX_GROWN, MAX_GROWTH * total):
        return None
    return _evaluate(node, arrays)


def _has_subgraph(node: Node) -> bool:
    return any(isinstance(v, Graph) for v in node.attrs.values())


def constant(node: Node) -> Array | None:
    """The array that a node of type Constant stands for; None for strings."""
    for key, value in node.attrs.items():
        if key in ("value", "sparse_value"):
            return as_array(value)
        if key in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if key in ("value_float", "value_floats"):
            return np.array(value, np.float32)
    return None


def _grown(node: Node, arrays: Sequence[Array]) -> float:
    """How many elements the result may have, infinite where that is hard to say."""
    rule = SIZES.get(node.op)
    if rule is not None:
        return rule(node, arrays)
    try:
        return _volume(np.broadcast_shapes(*(a.shape for a in arrays)))
    except ValueError:
        return 0  # no elementwise operator: the rest gives as much as it gets


def _volume(dims: Sequence[int] | Array) -> float:
    return float(np.prod(np.abs(np.asarray(dims, float))))


def _gathered(node: Node, arrays: Sequence[Array]) -> float:
    data, indices = arrays[0], arrays[1]
    axis = node.attrs.get("axis", 0)
    if not -data.ndim <= axis < data.ndim:
        return np.inf  # no Gather: who lowers it says so
    return float(data.size // max(data.shape[axis], 1)) * indices.size


def _product(node: Node, arrays: Sequence[Array]) -> float:
    inner: int = max(arrays[0].shape[-1:] or (1,))
    rows, columns = (a.size // max(inner, 1) for a in arrays[:2])
    return float(rows) * columns


def _range(node: Node, arrays: Sequence[Array]) -> float:
    start, limit, delta = (float(a.reshape(-1)[0]) for a in arrays)
    return abs((limit - start) / delta) if delta else np.inf


def _tiled(node: Node, arrays: Sequence[Array]) -> float:
    return float(arrays[0].size) * _volume(arrays[1])


def _padded(node: Node, arrays: Sequence[Array]) -> float:
    data = arrays[0]
    pads = np.asarray(node.attrs["pads"] if "pads" in node.attrs else arrays[1])
    return _volume([dim + np.abs(pads).sum() for dim in data.shape])


def _unknown(node: Node, arrays: Sequence[Array]) -> float:
    return np.inf


SIZES: dict[str, Callable[[Node, Sequence[Array]], float]] = {
    "AffineGrid": _unknown,
    "CenterCropPad": _unknown,
    "ConstantOfShape": lambda node, arrays: _volume(arrays[0]),
    "Einsum": _unknown,
    "Expand": lambda node, arrays: arrays[0].size * _volume(arrays[1]),
    "Gather": _gathered,
    "GatherND": lambda node, arrays: float(arrays[0].size) * arrays[1].size,
    "Loop": _unknown,
    "MatMul": _product,
    "OneHot": lambda node, arrays: arrays[0].size * _volume(arrays[1]),
    "Pad": _padded,
    "Range": _range,
    "Resize": _unknown,
    "Scan": _unknown,
    "Tile": _tiled,
    "Upsample": _unknown,
}


def _evaluate(node: Node, arrays: Sequence[Array | None]) -> list[Array | None] | None:
    assert node.proto is not None
    names = [n for n in node.inputs]
    given = {n: a for n, a in zip(names, arrays, strict=True) if n and a is not None}
    graph = helper.make_graph(
        [node.proto],
        "fold",
        [onnx.ValueInfoProto(name=n) for n in given],
        [onnx.ValueInfoProto(name=n) for n in node.outputs if n],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
    try:
        with np.errstate(all="ignore"):
            results = iter(ReferenceEvaluator(model).run(None, given))
    except Exception:  # the reference lacks this form: the run computes it
        return None
    outputs = [next(results) if n else None for n in node.outputs]
    if not all(o is None or isinstance(o, (np.ndarray, np.generic)) for o in outputs):
        return None
    return [None if o is None else as_array(np.asarray(o)) for o in outputs]
