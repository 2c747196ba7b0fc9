"""lower: a model -> the same model in ONNX's own operators."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import TensorProto, helper, inliner, version_converter

from nnlet.compiler.load import node_of
from nnlet.errors import ModelError, UnsupportedModel
from nnlet.model import unserved_outputs
from nnlet.plain import features, linear, svm, trees
from nnlet.plain.builder import Builder, Names, Type
from nnlet.plain.scores import LABELS

DOMAIN = "ai.onnx.ml"
OPSET = 13  # what the replacements need at least
IR_VERSION = 7  # the first that knows it

PLAIN: Mapping[str, Callable[[Builder], None]] = {
    "ArrayFeatureExtractor": features.array_feature_extractor,
    "Binarizer": features.binarizer,
    "FeatureVectorizer": features.feature_vectorizer,
    "Imputer": features.imputer,
    "LabelEncoder": features.label_encoder,
    "LinearClassifier": linear.classifier,
    "LinearRegressor": linear.regressor,
    "Normalizer": features.normalizer,
    "OneHotEncoder": features.one_hot_encoder,
    "SVMClassifier": svm.classifier,
    "SVMRegressor": svm.regressor,
    "Scaler": features.scaler,
    "TreeEnsemble": trees.ensemble,
    "TreeEnsembleClassifier": trees.classifier,
    "TreeEnsembleRegressor": trees.regressor,
    "ZipMap": features.zip_map,
}


def has_ml(proto: onnx.ModelProto) -> bool:
    """Whether a node of ai.onnx.ml is in it, in a subgraph or in a function."""
    nodes = [node for function in proto.functions for node in function.node]
    return any(node.domain == DOMAIN for node in (*_nodes(proto.graph), *nodes))


def lower(proto: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`proto` with every node of ai.onnx.ml replaced; `where` names it in messages.

    Outputs of strings that stand beside others are dropped. Raises UnsupportedModel, naming all
    nodes that have no plain ONNX, and ModelError for nodes that contradict themselves.
    """
    model = inliner.inline_local_functions(proto) if proto.functions else onnx.ModelProto()
    if not proto.functions:
        model.CopyFrom(proto)
    _drop_strings(model.graph)
    model = _raised(model, where)
    _Lowering(model, where).run()
    _keep(model.opset_import, [o for o in model.opset_import if o.domain != DOMAIN])
    return model


def _drop_strings(graph: onnx.GraphProto) -> None:
    """Drops outputs that are not served, and all that is there for them only."""
    left_out = unserved_outputs(graph)
    _keep(graph.output, [port for port in graph.output if port.name not in left_out])
    wanted = {port.name for port in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(node.input)
            for attribute in node.attribute:
                for nested in (attribute.g, *attribute.graphs):
                    wanted.update(_values(nested))
    _keep(graph.node, nodes[::-1])
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in wanted])


def _keep(field: Any, kept: Sequence[Message]) -> None:
    """Makes a repeated field of a message hold `kept`, which are some of its own."""
    del field[:]
    field.extend(kept)


def _raised(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model in an opset that has what replacements are made of."""
    model.ir_version = max(model.ir_version, IR_VERSION)
    own = [opset for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if not own:
        model.opset_import.append(helper.make_opsetid("", OPSET))
    elif own[0].version < OPSET and all(node.domain == DOMAIN for node in _nodes(model.graph)):
        own[0].version = OPSET
    elif own[0].version < OPSET:
        try:
            return version_converter.convert_version(model, OPSET)
        except Exception as exc:  # the converter raises several types of its own
            raise UnsupportedModel(
                f"{where}: opset {own[0].version}, and ONNX cannot convert it to {OPSET}, which "
                f"the host provider needs for {DOMAIN} ({str(exc).splitlines()[0]}): export with "
                f"opset_version={OPSET} or more"
            ) from exc
    return model


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                yield from _graphs(nested)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for each in _graphs(graph):
        yield from each.node


class _Lowering:
    """One model on its way; the types of values grow as nodes are replaced."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self._model = model
        self._where = where
        self._opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
        self._names = Names(_values(model.graph))
        self._read = {name for node in _nodes(model.graph) for name in node.input}
        self._read |= {port.name for graph in _graphs(model.graph) for port in graph.output}
        self._types = _declared(model.graph)
        self._open: list[onnx.GraphProto] = []  # the graphs being lowered, outermost first
        self._refused: list[str] = []

    def run(self) -> None:
        self._graph(self._model.graph)
        if self._refused:
            raise UnsupportedModel(
                f"{self._where}: {len(self._refused)} node(s) that the host provider cannot "
                "compute:\n"
                + "\n".join(f"  {line}" for line in self._refused)
                + "\nTry: serve it with --provider compiled, or export it without them"
            )

    def _graph(self, graph: onnx.GraphProto) -> None:
        for port in graph.output:
            self._declare(graph, port)
        nodes = list(graph.node)
        del graph.node[:]
        self._open.append(graph)
        for proto in nodes:
            for attribute in proto.attribute:
                for nested in (attribute.g, *attribute.graphs):
                    if nested.node:
                        self._graph(nested)
            if proto.domain == DOMAIN:
                self._replace(graph, proto)
            else:
                graph.node.append(proto)
        self._open.pop()

    def _declare(self, graph: onnx.GraphProto, port: onnx.ValueInfoProto) -> None:
        """A ZipMap's output becomes the tensor that goes into it."""
        made = [n for n in graph.node if port.name in n.output and n.op_type == "ZipMap"]
        if made and made[0].domain == DOMAIN:
            port.CopyFrom(helper.make_tensor_value_info(port.name, TensorProto.FLOAT, [None, None]))

    def _replace(self, graph: onnx.GraphProto, proto: onnx.NodeProto) -> None:
        node = node_of(proto, self._opsets, self._where)
        if any(name and name not in self._types for name in node.inputs):
            self._infer()
        typed = all(name in self._types for name in node.inputs if name)
        if self._refused and not typed and proto.op_type in PLAIN:
            return  # it stands behind one that is refused
        builder = Builder(node, self._types, self._opsets.get("ai.onnx", OPSET), self._names)
        try:
            self._lower(builder)
        except UnsupportedModel as exc:
            self._refused.append(str(exc))
            return
        except ModelError as exc:
            raise ModelError(f"{self._where}: {exc}") from exc
        graph.node.extend(builder.nodes)
        graph.initializer.extend(builder.constants)
        self._types.update(builder.results)
        _forget(graph, proto.output)

    def _lower(self, b: Builder) -> None:
        op = b.node.op.removeprefix(f"{DOMAIN}.")
        if op not in PLAIN:
            b.unsupported("no plain ONNX for it (strings and maps, which wasi-nn has not)")
        if b.attr("classlabels_strings") and b.node.outputs[0] in self._read and op != "ZipMap":
            b.unsupported(LABELS)
        PLAIN[op](b)

    def _infer(self) -> None:
        """Types of all that stands before this node. ONNX is asked only now, about plain nodes:
        of ai.onnx.ml it knows little, and of some it dies (onnx 1.23: CategoryMapper)."""
        for graph in self._open:
            known = {name for node in graph.node for name in node.output}
            known |= {v.name for v in graph.input} | {v.name for v in graph.initializer}
            outside = {name for node in _nodes(graph) for name in node.input} - known
            part = onnx.ModelProto(ir_version=self._model.ir_version)
            part.opset_import.extend(self._model.opset_import)
            part.graph.CopyFrom(graph)
            del part.graph.output[:]  # what makes them may not be there yet
            part.graph.input.extend(
                helper.make_tensor_value_info(name, dtype, [None] * rank)
                for name, (dtype, rank) in self._types.items()
                if name in outside
            )
            self._types = _inferred(part) | self._types


def _values(graph: onnx.GraphProto) -> Iterator[str]:
    """The names of all values, those of nested graphs included."""
    for each in _graphs(graph):
        yield from (value.name for value in chain(each.input, each.output))
        yield from (tensor.name for tensor in each.initializer)
        yield from (name for node in each.node for name in (*node.input, *node.output))


def _inferred(model: onnx.ModelProto) -> dict[str, Type]:
    """What is declared and what follows from it."""
    try:
        return _declared(onnx.shape_inference.infer_shapes(model).graph)
    except Exception:  # a model that is above 2 GB, or not quite valid: what is declared counts
        return _declared(model.graph)


def _declared(graph: onnx.GraphProto) -> dict[str, Type]:
    """Type and rank of the tensors of which the graph, or one inside it, says both."""
    found = {}
    for each in _graphs(graph):
        for tensor in each.initializer:
            found[tensor.name] = (tensor.data_type, len(tensor.dims))
        for value in chain(each.input, each.value_info, each.output):
            of = value.type.tensor_type
            if of.elem_type and of.HasField("shape"):
                found[value.name] = (of.elem_type, len(of.shape.dim))
    return found


def _forget(graph: onnx.GraphProto, names: Container[str]) -> None:
    """Drops what the graph says of values whose type may have changed."""
    _keep(graph.value_info, [value for value in graph.value_info if value.name not in names])
