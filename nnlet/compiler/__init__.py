"""The compiler: ONNX -> C, in the order of `compile_models`."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from nnlet.compiler.emit import CModule, emit
from nnlet.compiler.epilogue import fuse_epilogues
from nnlet.compiler.fuse import drop_unread, fuse_maps
from nnlet.compiler.graph import Graph
from nnlet.compiler.integers import use_integers
from nnlet.compiler.load import from_proto, load
from nnlet.compiler.lower import lower
from nnlet.compiler.memory import Plan, plan
from nnlet.compiler.ops import OPS
from nnlet.compiler.program import Program
from nnlet.compiler.simplify import drop_unused, fold_batch_norms, fold_pads, name_constants
from nnlet.errors import NnletError
from nnlet.model import ModelSpec

__all__ = ["CModule", "compile_models", "compile_protos"]

# Graph -> Graph, then Program -> Program, in this order.
GRAPH_PASSES = (drop_unused, name_constants, fold_batch_norms, fold_pads, use_integers)
PASSES = (drop_unread, fuse_epilogues, fuse_maps)


def compile_models(models: Sequence[ModelSpec]) -> CModule:
    """One C file and one blob of weights for every model.

    Raises ModelError, UnsupportedModel or CompileError, naming the file.
    """
    return emit([_program(load(m.path, OPS), m.name, m.version, str(m.path)) for m in models])


def compile_protos(models: Sequence[tuple[str, str, onnx.ModelProto]]) -> CModule:
    """The same for parsed models: (name, version, model)."""
    return emit(
        [_program(from_proto(p, name, OPS), name, version, name) for name, version, p in models]
    )


def _program(graph: Graph, name: str, version: str, where: str) -> tuple[Program, Plan]:
    for simplify in GRAPH_PASSES:
        graph = simplify(graph)
    try:
        program = lower(graph, name, version, OPS)
    except NnletError as exc:
        raise type(exc)(f"{where}: {exc}") from exc
    for step in PASSES:
        program = step(program)
    return program, plan(program)
