"""Models of one node, for tables of cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.compiler.oracle import Array, Case, reference

INT64 = TensorProto.INT64


def node_case(
    op: str,
    inputs: Sequence[Array | None],
    *,
    name: str = "",
    outputs: Sequence[int] = (0,),
    constant: Collection[int] = (),
    dynamic: bool = True,
    fixed: Collection[int] = (),
    opset: int = 21,
    expected: Sequence[Array] = (),
    rtol: float = 1e-4,
    atol: float = 1e-5,
    **attrs: Any,
) -> Case:
    """One node over `inputs` (None: absent). Those in `constant` are initializers; the others
    have, if `dynamic`, dimensions that only the run knows, but for the `fixed`. `outputs` are
    ONNX types, 0 for the type of the first input."""
    names = ["" if x is None else f"x{n}" for n, x in enumerate(inputs)]
    results = [f"y{n}" for n in range(len(outputs))]
    given = {n: x for n, x in enumerate(inputs) if x is not None}
    first = helper.np_dtype_to_tensor_dtype(np.asarray(given[0]).dtype)
    ports = [
        helper.make_tensor_value_info(
            f"x{n}",
            helper.np_dtype_to_tensor_dtype(x.dtype),
            [f"x{n}_{axis}" for axis in range(x.ndim)]
            if dynamic and n not in fixed
            else list(x.shape),
        )
        for n, x in given.items()
        if n not in constant
    ]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, **attrs)],
        op,
        ports,
        [
            helper.make_tensor_value_info(r, t or first, None)
            for r, t in zip(results, outputs, strict=True)
        ],
        [numpy_helper.from_array(given[n], f"x{n}") for n in sorted(constant)],
    )
    opsets = [helper.make_opsetid("", opset)]
    if "domain" in attrs:
        opsets.append(helper.make_opsetid(attrs["domain"], 1))
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    feeds = {f"x{n}": x for n, x in given.items() if n not in constant}
    case = Case(name or op, proto, feeds, expected, rtol, atol)
    return replace(case, proto=_ranked(case))


def _ranked(case: Case) -> onnx.ModelProto:
    """The model with the ranks of its outputs, which ONNX requires: inferred or measured."""
    proto = onnx.shape_inference.infer_shapes(case.proto)
    if all(port.type.tensor_type.HasField("shape") for port in proto.graph.output):
        return proto
    for port, array in zip(proto.graph.output, case.expected or reference(case), strict=True):
        dims = [f"{port.name}_{axis}" for axis in range(array.ndim)]
        port.CopyFrom(
            helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, dims)
        )
    return proto
