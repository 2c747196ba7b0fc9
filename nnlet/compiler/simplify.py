"""simplify: passes Graph -> Graph, before anything is lowered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nnlet.compiler import fold
from nnlet.compiler.graph import Array, Graph, Node, captured


def drop_unused(graph: Graph) -> Graph:
    """Removes nodes and constants that no output needs; an output that nobody reads loses its
    name, so that its operator need not compute it."""
    needed = {port.name for port in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(node.outputs):
            continue
        node = replace(
            node,
            outputs=tuple(name if name in needed else "" for name in node.outputs),
            attrs={
                name: drop_unused(value) if isinstance(value, Graph) else value
                for name, value in node.attrs.items()
            },
        )
        needed.update(node.inputs, *(captured(g) for g in _subgraphs(node)))
        kept.append(node)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return replace(graph, nodes=tuple(kept[::-1]), constants=constants)


def _subgraphs(node: Node) -> list[Graph]:
    return [value for value in node.attrs.values() if isinstance(value, Graph)]


def name_constants(graph: Graph) -> Graph:
    """Constant nodes become constants of the graph, so that the next passes find them."""
    constants = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        array = fold.constant(node) if node.op == "Constant" else None
        if array is None:
            nodes.append(node)
        else:
            constants[node.outputs[0]] = array
    return replace(graph, nodes=tuple(nodes), constants=constants)


def fold_batch_norms(graph: Graph) -> Graph:
    """A BatchNormalization with constant parameters becomes part of the weights before it."""
    reads = reads_of(graph)
    made = {node.outputs[0]: n for n, node in enumerate(graph.nodes)}
    nodes: list[Node | None] = list(graph.nodes)
    constants = dict(graph.constants)
    for n, node in enumerate(graph.nodes):
        if node.op != "BatchNormalization" or reads[node.inputs[0]] != 1:
            continue
        at = made.get(node.inputs[0], n)
        producer, norm = nodes[at], _batch_norm(node, constants)
        if norm is None or producer is None or producer.op not in _SCALABLE:
            continue
        names = [f"{node.outputs[0]}.{part}" for part in ("weights", "bias")]
        arrays = _SCALABLE[producer.op](producer, constants, *norm)
        if arrays is None or not constants.keys().isdisjoint(names):
            continue
        constants.update(zip(names, arrays, strict=True))
        inputs = (producer.inputs[0], *names)
        # The proto is what folding would evaluate; it has the old weights.
        nodes[n] = replace(producer, inputs=inputs, outputs=node.outputs, proto=None)
        nodes[at] = None
    return replace(graph, nodes=tuple(n for n in nodes if n is not None), constants=constants)


def reads_of(graph: Graph) -> Counter[str]:
    """How often each name is read, as an output of the graph and by subgraphs too."""
    reads = Counter(port.name for port in graph.outputs)
    for node in graph.nodes:
        reads.update(node.inputs)
        for inner in _subgraphs(node):
            reads.update(captured(inner))
    return reads


def _batch_norm(node: Node, constants: dict[str, Array]) -> tuple[Array, Array] | None:
    """Factor and offset of each channel, where they are known."""
    parameters = [constants.get(name) for name in node.inputs[1:5]]
    training = any(node.outputs[1:]) or node.attrs.get("training_mode")
    if training or not node.attrs.get("spatial", 1) or any(p is None for p in parameters):
        return None
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    return factor, bias - mean * factor


def _weights(node: Node, constants: dict[str, Array]) -> tuple[Array, Array | float] | None:
    """Weights and bias (0 if there is none), where both are constant and of full precision."""
    weights = constants.get(node.inputs[1])
    named = node.inputs[2] if len(node.inputs) > 2 else ""
    bias = constants.get(named) if named else 0.0
    if weights is None or bias is None or weights.dtype not in (np.float32, np.float64):
        return None
    return weights, bias


def _scaled_conv(
    node: Node, constants: dict[str, Array], factor: Array, offset: Array
) -> tuple[Array, Array] | None:
    found = _weights(node, constants)
    if found is None:
        return None
    weights, bias = found
    groups = node.attrs.get("group", 1) if node.op == "ConvTranspose" else 1
    # Filters come first, or in ConvTranspose behind the channels of their group.
    axis = 2 if node.op == "ConvTranspose" else 1
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    shape = [1] * grouped.ndim
    shape[0], shape[axis] = groups, grouped.shape[axis]
    if groups * grouped.shape[axis] != factor.size:
        return None
    scaled = (grouped * factor.reshape(shape)).reshape(weights.shape)
    return scaled.astype(weights.dtype), (bias * factor + offset).astype(weights.dtype)


def _scaled_gemm(
    node: Node, constants: dict[str, Array], factor: Array, offset: Array
) -> tuple[Array, Array] | None:
    found = _weights(node, constants)
    attrs = node.attrs
    if found is None or attrs.get("alpha", 1.0) != 1 or attrs.get("beta", 1.0) != 1:
        return None
    weights, bias = found
    columns = factor[:, None] if attrs.get("transB", 0) else factor
    if weights.shape[0 if attrs.get("transB", 0) else 1] != factor.size:
        return None
    scaled = (weights * columns).astype(weights.dtype)
    return scaled, (bias * factor + offset).astype(weights.dtype)


# Operators whose weights can take a factor for each channel of their result.
_SCALABLE = {"Conv": _scaled_conv, "ConvTranspose": _scaled_conv, "Gemm": _scaled_gemm}


def fold_pads(graph: Graph) -> Graph:
    """A Pad that puts zeros around an image becomes part of the Conv behind it."""
    reads = reads_of(graph)
    made = {node.outputs[0]: n for n, node in enumerate(graph.nodes)}
    nodes: list[Node | None] = list(graph.nodes)
    for n, node in enumerate(graph.nodes):
        if node.op != "Conv" or reads[node.inputs[0]] != 1:
            continue
        at = made.get(node.inputs[0], n)
        pad = nodes[at]
        if pad is None or pad.op != "Pad":
            continue
        pads = _zero_pads(pad, graph.constants)
        if pads is None or node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        own = node.attrs.get("pads") or [0] * len(pads)
        if len(own) != len(pads):
            continue
        attrs = {k: v for k, v in node.attrs.items() if k != "auto_pad"}
        attrs["pads"] = [a + b for a, b in zip(own, pads, strict=True)]
        inputs = (pad.inputs[0], *node.inputs[1:])
        nodes[n], nodes[at] = replace(node, inputs=inputs, attrs=attrs, proto=None), None
    return replace(graph, nodes=tuple(n for n in nodes if n is not None))


def _zero_pads(pad: Node, constants: Mapping[str, Array]) -> list[int] | None:
    """What a Pad puts around the spatial axes, as the `pads` of Conv; None if it does more."""
    inputs = [*pad.inputs, "", "", ""]
    given = constants.get(inputs[1])
    pads = pad.attrs.get("pads") if given is None else given.reshape(-1).tolist()
    value = constants.get(inputs[2], np.zeros(1)) if inputs[2] else pad.attrs.get("value", 0.0)
    if pads is None or inputs[3] or pad.attrs.get("mode", "constant") != "constant":
        return None
    if np.any(value) or (inputs[2] and inputs[2] not in constants):
        return None
    half = len(pads) // 2
    if min(pads) < 0 or any([*pads[:2], *pads[half : half + 2]]):
        return None
    return [int(p) for p in (*pads[2:half], *pads[half + 2 :])]
