"""typecheck: a node's inputs against what ONNX's schema of its operator allows.

Kernels are chosen by datatype, so a node whose inputs contradict its schema must not reach one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import onnx

from nnlet.compiler.graph import Node
from nnlet.compiler.program import Value
from nnlet.errors import CompileError
from nnlet.tensor import DataType


def check_types(node: Node, inputs: Sequence[Value | None]) -> None:
    """Raises CompileError for an input that is missing, too many, or of a type not allowed."""
    schema = _schema(node.op, node.opset)
    if schema is None:
        return
    where = f"{node.op} '{node.name or next(iter(node.outputs), '')}'"
    if not schema.min_input <= len(inputs) <= schema.max_input:
        raise CompileError(
            f"{where}: {len(inputs)} inputs, expected {schema.min_input} to {schema.max_input}"
        )
    bound: dict[str, str] = {}
    for index, value in enumerate(inputs):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        if value is None:
            if formal.option == onnx.defs.OpSchema.FormalParameterOption.Single:
                raise CompileError(f"{where}: input {index} ({formal.name}) is missing")
            continue
        found = f"tensor({value.dtype.onnx_name})"
        # A type parameter is one type in all inputs that name it.
        wanted = bound.get(formal.type_str)
        if found not in formal.types or (wanted is not None and wanted != found):
            expected = wanted or ", ".join(sorted(t for t in formal.types if "seq" not in t))
            raise CompileError(
                f"{where}: input {index} ({formal.name}) is a {found}, expected {expected}"
            )
        if formal.is_homogeneous:
            bound[formal.type_str] = found


def output_type(node: Node, inputs: Sequence[Value | None], index: int) -> DataType | None:
    """The datatype that output `index` shares with an input; None where it shares none."""
    schema = _schema(node.op, node.opset)
    if schema is None:
        return None
    wanted = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
    for at, value in enumerate(inputs):
        formal = schema.inputs[min(at, len(schema.inputs) - 1)]
        if value is not None and formal.type_str == wanted:
            return value.dtype
    return None


@lru_cache(maxsize=1024)
def _schema(op: str, version: int) -> Any:
    """Any: onnx's stubs lack what is said of formal parameters. None for unknown operators."""
    domain, _, name = op.rpartition(".")
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None
