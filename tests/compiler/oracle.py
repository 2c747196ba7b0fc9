"""Many small models in one native module, each compared with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from nnlet.compiler import compile_protos
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """A model and the inputs to run it with. `expected` is for what onnxruntime cannot run."""

    name: str
    proto: onnx.ModelProto
    inputs: Mapping[str, Array]
    expected: Sequence[Array] = ()
    rtol: float = 1e-5
    atol: float = 1e-6


def compiled(cases: Sequence[Case], level: int = 0) -> NativeModels:
    """All cases' models in one module; cases of one name share a model."""
    protos = {case.name: case.proto for case in cases}
    module = compile_protos([(name, "1", proto) for name, proto in protos.items()])
    return NativeModels(module.source, module.weights, level=level)


def check(models: NativeModels, case: Case) -> None:
    """Runs one case; AssertionError where an output differs."""
    wanted = case.expected or reference(case)
    ports = case.proto.graph.output
    types = [BY_ONNX[p.type.tensor_type.elem_type] for p in ports]
    found = models.run(case.name, "1", case.inputs, types)
    for port, a, b in zip(ports, found, wanted, strict=True):
        assert a.dtype == b.dtype, (port.name, a.dtype, b.dtype)
        np.testing.assert_allclose(a, b, case.rtol, case.atol, err_msg=port.name)


def reference(case: Case) -> list[Array]:
    """onnxruntime's answer."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        case.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(case.inputs)))
