"""The graph folders that wasmtime hands to OpenVINO: one a model, named NAME@VERSION.

`model.xml` is the ONNX file as it is (OpenVINO tells formats apart by content, wasmtime by
name) and `model.bin` is one zero byte. Three kinds of model need a changed copy: weights kept
in files of their own move inside, since wasmtime hands over one buffer; operators of
ai.onnx.ml, which OpenVINO lacks, become ONNX's own (nnlet/plain); and inputs or outputs of a
datatype that wasi-nn has not get a Cast from or to the one that carries it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from nnlet.errors import ModelError
from nnlet.model import ModelSpec, TensorSpec, load_onnx
from nnlet.plain import has_ml, lower
from nnlet.tensor import DATATYPES

TYPED = "/nnlet_typed"  # follows the name that a cast input or output had


def write_graphs(specs: Sequence[ModelSpec], folder: Path) -> None:
    """Fill `folder` with one graph folder for each model, and with nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for spec in specs:
        graph = folder / spec.graph
        graph.mkdir(parents=True)
        write_graph(spec, graph / "model.xml")
        (graph / "model.bin").write_bytes(b"\0")


def write_graph(spec: ModelSpec, path: Path) -> None:
    """The ONNX file of `spec`, changed only where OpenVINO behind wasi-nn needs it."""
    casts = [t for t in (*spec.inputs, *spec.outputs) if t.datatype.name != t.datatype.carrier]
    proto = load_onnx(spec.path, weights=False)
    ml = has_ml(proto)
    if not casts and not ml and not _has_external_data(proto):
        shutil.copyfile(spec.path, path)
        return
    proto = load_onnx(spec.path)
    if ml:
        proto = lower(proto, str(spec.path))
    _cast_to_carriers(proto.graph, spec)
    try:
        path.write_bytes(proto.SerializeToString())
    except (EncodeError, ValueError) as exc:
        raise ModelError(
            f"{spec.path}: with its external data it is above 2 GB, which is more than OpenVINO "
            "can be handed through wasi-nn"
        ) from exc


def _has_external_data(proto: onnx.ModelProto) -> bool:
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)


def _cast_to_carriers(graph: onnx.GraphProto, spec: ModelSpec) -> None:
    inputs = [t for t in spec.inputs if t.datatype.name != t.datatype.carrier]
    outputs = [t for t in spec.outputs if t.datatype.name != t.datatype.carrier]
    _rename(graph, {t.name: t.name + TYPED for t in (*inputs, *outputs)})
    before = [_cast(t.name, t.name + TYPED, t.datatype.onnx) for t in inputs]
    after = [_cast(t.name + TYPED, t.name, DATATYPES[t.datatype.carrier].onnx) for t in outputs]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    _declare_carriers(graph.input, inputs)
    _declare_carriers(graph.output, outputs)


def _cast(source: str, target: str, onnx_type: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [target], f"{target}/cast", to=onnx_type)


def _declare_carriers(values: Sequence[onnx.ValueInfoProto], specs: Sequence[TensorSpec]) -> None:
    carriers = {t.name: DATATYPES[t.datatype.carrier].onnx for t in specs}
    for value in values:
        if value.name in carriers:
            value.type.tensor_type.elem_type = carriers[value.name]


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values in every node, those of nested graphs included: they see them too."""
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                _rename(nested, names)
    for initializer in graph.initializer:  # an output can be a constant
        initializer.name = names.get(initializer.name, initializer.name)
