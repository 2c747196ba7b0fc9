"""What passes over an ONNX graph have in common: naming outputs, finding values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx


def keep_outputs(proto: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Keep the outputs in `names`, in that order and under their new names; drop all others.

    Nodes that nothing needs any more go with them.
    """
    graph = proto.graph
    kept = {value.name: value for value in graph.output if value.name in names}
    rename(graph, _free(graph, names))
    outputs = []
    for old, new in names.items():
        value = onnx.ValueInfoProto()
        value.CopyFrom(kept[old])
        value.name = new
        outputs.append(value)
    del graph.output[:]
    graph.output.extend(outputs)
    drop_unused(graph)


def _free(graph: onnx.GraphProto, names: Mapping[str, str]) -> dict[str, str]:
    """The new names, and other ones for the values that had them."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    moved = {new: f"{new}/before" for new in names.values() if new in taken and new not in names}
    return {**moved, **names}


def require_ml(proto: onnx.ModelProto, version: int) -> None:
    """Bring the version of ai.onnx.ml up, in place: nodes may be added that need it.

    Between 1 and 3 only LabelEncoder was changed; older ones are left as they are.
    """
    if any(node.op_type == "LabelEncoder" for node in proto.graph.node):
        return
    for opset in proto.opset_import:
        if opset.domain == "ai.onnx.ml":
            opset.version = max(opset.version, version)
            return
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", version))


# Their scores are float32 whatever they read.
_FLOAT_SCORES = {
    "LinearClassifier",
    "LinearRegressor",
    "SVMClassifier",
    "SVMRegressor",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
}


def declare_scores(graph: onnx.GraphProto) -> None:
    """Correct what is declared of outputs: skl2onnx says double of some that are float32, and
    float of some that mends.py has made double."""
    made = {name: node for node in graph.node for name in node.output}
    for value in graph.output:
        tensor = value.type.tensor_type
        node = made.get(value.name)
        if node is not None and node.op_type == "Cast":
            tensor.elem_type = onnx.helper.get_node_attr_value(node, "to")
        if node is not None and node.op_type in _FLOAT_SCORES:
            if tensor.elem_type == onnx.TensorProto.DOUBLE:
                tensor.elem_type = onnx.TensorProto.FLOAT


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give values other names, wherever they are read or made."""
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes and constants whose values nobody reads."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(read_by(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    del graph.value_info[:]


def read_by(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads, those read by graphs inside it included."""
    found = set(node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for nested in inner.node:
                found |= read_by(nested)
            found.update(value.name for value in inner.output)
    return found


def without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Without what exporters note of where each node came from: stack traces, paths, names."""
    proto.ClearField("metadata_props")
    proto.ClearField("doc_string")
    _forget(proto.graph)
    for function in proto.functions:
        _forget_all(function, *function.node)
    return proto


def _forget(graph: onnx.GraphProto) -> None:
    _forget_all(graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    _forget_all(*graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            _forget_all(attribute)
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _forget(inner)


def _forget_all(*parts: Any) -> None:
    for part in parts:
        for field in {"doc_string", "metadata_props"}.intersection(part.DESCRIPTOR.fields_by_name):
            part.ClearField(field)
