"""The host provider against OpenVINO's own Python: docs/decisions/0003-openvino-precision.md."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.models import MODELS, Model, as_raw, read
from e2e.servers import ROOT
from e2e.wire import Wire


@pytest.mark.parametrize("provider", ["host"], indirect=True, scope="session")
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_answers_are_those_of_openvino_in_float32(wire: Wire, model: Model) -> None:
    openvino = pytest.importorskip("openvino")
    compiled = openvino.Core().compile_model(
        ROOT / "models" / model.name / "1" / "model.onnx",
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    rows = model.rows(17)
    found = read(wire.ask("POST", model.infer, *as_raw(rows)))
    np.testing.assert_array_equal(found, compiled(rows)[0])
