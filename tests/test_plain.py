"""Plain ONNX: what replaces ai.onnx.ml answers the same, in onnxruntime and in OpenVINO."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openvino
import pytest

from nnlet.plain import lower
from tests.compiler import test_ml, test_trees
from tests.compiler.oracle import Array, Case, reference

CASES = [*test_ml.CASES, *test_trees.CASES]
CORE = openvino.Core()
CORE.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})


def in_openvino(case: Case) -> list[Array]:
    model = CORE.compile_model(CORE.read_model(case.proto.SerializeToString()), "CPU")
    found = model(dict(case.inputs))
    return [np.array(found[port.name]) for port in case.proto.graph.output]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c.name}-{len(next(iter(c.inputs.values())))}"
)
def test_answers_as_with_ml(case: Case) -> None:
    wanted = case.expected or reference(case)
    plain = replace(case, proto=lower(case.proto, case.name))
    assert [o.domain for o in plain.proto.opset_import] == [""]
    for found in (reference(plain), in_openvino(plain)):
        for a, b in zip(found, wanted, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, case.rtol, case.atol)
