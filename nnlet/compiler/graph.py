"""Graph: an ONNX graph as plain frozen data, the object that load and simplify hand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nnlet.tensor import DataType

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One operator call. `op` is the type, with its domain in front unless it is ONNX's own.

    Attribute values are Python's (int, float, str, list), an Array for a tensor and a Graph
    for a subgraph. An absent optional input or output is "".
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    opset: int
    proto: onnx.NodeProto | None = None  # for folding by the reference evaluator


@dataclass(frozen=True)
class Port:
    """A graph input or output: dims are ints, names (dim_param), or None for neither.

    `datatype` and `dims` are None where a subgraph does not declare them.
    """

    name: str
    datatype: DataType | None
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run. `constants` are the initializers."""

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)

    def walk(self) -> Iterator[Node]:
        """Every node, those of subgraphs included."""
        for node in self.nodes:
            yield node
            for value in node.attrs.values():
                if isinstance(value, Graph):
                    yield from value.walk()


def captured(graph: Graph) -> frozenset[str]:
    """The names that a subgraph reads from the graphs around it."""
    known = {p.name for p in graph.inputs} | set(graph.constants) | {""}
    outer: set[str] = set()
    for node in graph.nodes:
        outer.update(n for n in node.inputs if n not in known)
        for value in node.attrs.values():
            if isinstance(value, Graph):
                outer.update(captured(value) - known)
        known.update(node.outputs)
    outer.update(p.name for p in graph.outputs if p.name not in known)
    return frozenset(outer)


def as_array(value: Any) -> Array:
    """`value` as an array in C order."""
    return np.ascontiguousarray(value).reshape(np.shape(value))
