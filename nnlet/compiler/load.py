"""load: an ONNX file -> Graph, checked.

Functions (the model's own, and ONNX's operators that are defined as functions and have no
kernel here) are expanded, external data is folded in, and every operator that is missing is
reported at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from nnlet.compiler.graph import Array, Graph, Node, Port, as_array
from nnlet.errors import ModelError, UnsupportedModel
from nnlet.model import load_onnx, unserved_outputs
from nnlet.tensor import BY_ONNX, DataType

OLDEST_OPSET = 7
NAMED = 8  # nodes named for each missing operator
MAX_BYTES = 2**32 - 2**24  # Wasm's 4 GiB less room for stack, data and activations
# Types narrower than a byte are stored as one: their values are what counts.
_WIDENED = {"int4": np.int8, "uint4": np.uint8, "int2": np.int8, "uint2": np.uint8}


def load(path: Path, supported: Collection[str]) -> Graph:
    """The graph of the ONNX file at `path`.

    Raises ModelError for a file that is not valid ONNX, UnsupportedModel (naming every node)
    for operators not in `supported`.
    """
    if path.exists() and path.stat().st_size > MAX_BYTES:
        raise UnsupportedModel(f"{path}: {path.stat().st_size} bytes do not fit Wasm's 4 GiB")
    return from_proto(load_onnx(path), str(path), supported)


def from_proto(proto: onnx.ModelProto, where: str, supported: Collection[str]) -> Graph:
    """The same for a parsed model; `where` names it in messages."""
    _check(proto, where)
    proto = _expand_functions(proto, where, supported)
    opsets = {o.domain or "ai.onnx": o.version for o in proto.opset_import}
    newest = onnx.defs.onnx_opset_version()
    opset = opsets.get("ai.onnx", OLDEST_OPSET)
    if not OLDEST_OPSET <= opset <= newest:
        raise UnsupportedModel(
            f"{where}: opset {opset}; nnlet compiles {OLDEST_OPSET} to {newest}: "
            "export with another opset_version"
        )
    graph = _graph(proto.graph, opsets, where)
    left_out = unserved_outputs(proto.graph)
    graph = replace(graph, outputs=tuple(p for p in graph.outputs if p.name not in left_out))
    _report_missing(graph, where, supported)
    return graph


def _check(proto: onnx.ModelProto, where: str) -> None:
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as exc:
        first = str(exc).strip().splitlines()[0]
        raise ModelError(f"{where}: not valid ONNX: {first}") from exc
    except (ValueError, MemoryError):
        # Over 2 GB the checker cannot serialize it; the loader has read every part already.
        return


def _expand_functions(
    proto: onnx.ModelProto, where: str, supported: Collection[str]
) -> onnx.ModelProto:
    try:
        return _expanded(proto, supported)
    except Exception as exc:  # the inliner and shape inference raise several types of their own
        first = str(exc).strip().splitlines()[0]
        raise ModelError(f"{where}: its functions cannot be expanded: {first}") from exc


def _expanded(proto: onnx.ModelProto, supported: Collection[str]) -> onnx.ModelProto:
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    opsets = {o.domain: o.version for o in proto.opset_import}
    missing = {
        (n.domain, n.op_type)
        for n in _nodes(proto.graph)
        if op_key(n.domain, n.op_type) not in supported
    }
    ids = [key for key in sorted(missing) if _has_function(*key, opsets.get(key[0], 1))]
    if not ids:
        return proto
    proto = inliner.inline_local_functions(_with_bodies(proto, set(ids)))
    # A body may use further functions: go on until none is left.
    return _expanded(proto, supported)


def _with_bodies(proto: onnx.ModelProto, ids: Collection[tuple[str, str]]) -> onnx.ModelProto:
    """The nodes named by `ids` as calls of functions of the model's own, one each.

    Which body an operator has may depend on the types and presence of its inputs. (onnx's
    inliner does this too, but not for nodes that leave out an optional input.)
    """
    proto = onnx.shape_inference.infer_shapes(proto)
    opsets = {o.domain: o.version for o in proto.opset_import}
    for graph in _graphs(proto.graph):
        types = _types(graph) | _types(proto.graph)
        for node in graph.node:
            if (node.domain, node.op_type) in ids:
                _set_defaults(node, opsets.get(node.domain, 1))
                body = _body(node, opsets.get(node.domain, 1), types)
                body.domain, body.name = "nnlet", f"{body.name}_{len(proto.functions)}"
                proto.functions.append(body)
                node.domain, node.op_type = body.domain, body.name
    proto.opset_import.append(helper.make_opsetid("nnlet", 1))
    return proto


def _set_defaults(node: onnx.NodeProto, version: int) -> None:
    """Writes out attributes that are not there: the inliner leaves a body's uses of them open."""
    known = {attribute.name for attribute in node.attribute}
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    for name, attribute in schema.attributes.items():
        if name not in known and attribute.default_value.type:
            node.attribute.append(attribute.default_value)


def _types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """Types by name, as far as they are declared or inferred."""
    found = {v.name: v.type for v in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        found[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return found


def _body(
    node: onnx.NodeProto, version: int, types: dict[str, onnx.TypeProto]
) -> onnx.FunctionProto:
    schema: Any = onnx.defs.get_schema(node.op_type, version, node.domain)
    if schema.has_context_dependent_function:
        given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
        newest = max(v for v in schema.context_dependent_function_opset_versions if v <= version)
        data = schema.get_context_dependent_function_with_opset_version(
            newest, node.SerializeToString(), given
        )
    else:
        newest = max(v for v in schema.function_opset_versions if v <= version)
        data = schema.get_function_with_opset_version(newest)
    body: onnx.FunctionProto = onnx.FunctionProto.FromString(data)
    body.name = body.name or node.op_type
    # onnx keeps a body only as long as none of the operators in it changed since.
    for imported in body.opset_import:
        if imported.domain == node.domain:
            imported.version = version
    return body


def _has_function(domain: str, op: str, version: int) -> bool:
    try:
        # Any: onnx's stubs lack what is said of functions.
        schema: Any = onnx.defs.get_schema(op, version, domain)
    except (onnx.defs.SchemaError, TypeError):
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attr in node.attribute:
            if attr.HasField("g"):
                yield from _graphs(attr.g)


def _nodes(proto: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for graph in _graphs(proto):
        yield from graph.node


def op_key(domain: str, op: str) -> str:
    """The name of an operator in the operator table."""
    return op if domain in ("", "ai.onnx") else f"{domain}.{op}"


def _report_missing(graph: Graph, where: str, supported: Collection[str]) -> None:
    missing: dict[str, list[Node]] = {}
    for node in graph.walk():
        if node.op not in supported:
            missing.setdefault(node.op, []).append(node)
    if not missing:
        return
    raise UnsupportedModel(
        f"{where}: {len(missing)} operator(s) that nnlet does not compile:\n"
        + "\n".join(_missing_line(op, nodes) for op, nodes in sorted(missing.items()))
        + "\nTry: export with another opset_version, replace the layer, or serve it with "
        "--provider host (docs/operators.md lists what is supported)"
    )


def _missing_line(op: str, nodes: list[Node]) -> str:
    names = [repr(n.name or next(iter(n.outputs), "")) for n in nodes]
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"  {op} (opset {nodes[0].opset}): node {', '.join(names[:NAMED])}{rest}"


def _graph(proto: onnx.GraphProto, opsets: dict[str, int], where: str) -> Graph:
    constants = {t.name: _tensor(t, where) for t in proto.initializer}
    for sparse in proto.sparse_initializer:
        constants[sparse.values.name] = _dense(sparse, where)
    return Graph(
        name=proto.name,
        nodes=tuple(node_of(n, opsets, where) for n in proto.node),
        inputs=tuple(_port(v) for v in proto.input if v.name not in constants),
        outputs=tuple(_port(v) for v in proto.output),
        constants=constants,
    )


def node_of(proto: onnx.NodeProto, opsets: dict[str, int], where: str) -> Node:
    """One node with its attributes as Python values; `opsets` are versions by domain."""
    return Node(
        op=op_key(proto.domain, proto.op_type),
        name=proto.name,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attrs={a.name: _attribute(a, opsets, where) for a in proto.attribute},
        opset=opsets.get(proto.domain or "ai.onnx", 1),
        proto=proto,
    )


def _attribute(proto: onnx.AttributeProto, opsets: dict[str, int], where: str) -> Any:
    value = helper.get_attribute_value(proto)
    if isinstance(value, onnx.GraphProto):
        return _graph(value, opsets, where)
    if isinstance(value, onnx.TensorProto):
        return _tensor(value, where)
    if isinstance(value, onnx.SparseTensorProto):
        return _dense(value, where)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (int, float)):
        return value
    if value is None:
        raise ModelError(f"{where}: attribute {proto.name!r} has no value")
    if proto.type == onnx.AttributeProto.STRINGS:
        return [text.decode("utf-8", "replace") for text in value]
    return list(value)


def _tensor(proto: onnx.TensorProto, where: str) -> Array:
    try:
        array = numpy_helper.to_array(proto)
    except Exception as exc:  # onnx raises many types for damaged tensors
        raise ModelError(f"{where}: tensor {proto.name!r}: {exc}") from exc
    return as_array(array.astype(_WIDENED.get(str(array.dtype), array.dtype)))


def _dense(proto: onnx.SparseTensorProto, where: str) -> Array:
    values, indices = _tensor(proto.values, where), _tensor(proto.indices, where)
    dense = np.zeros(tuple(proto.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def _port(proto: onnx.ValueInfoProto) -> Port:
    if proto.type.WhichOneof("value") != "tensor_type":
        return Port(proto.name, None, None)
    tensor = proto.type.tensor_type
    datatype: DataType | None = BY_ONNX.get(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Port(proto.name, datatype, None)
    return Port(proto.name, datatype, tuple(_dim(d) for d in tensor.shape.dim))


def _dim(proto: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """A size, a name, or None. Exporters write 0, -1 or "?" for "not known"."""
    if proto.dim_value > 0:
        return proto.dim_value
    return proto.dim_param if proto.dim_param not in ("", "?") else None
