"""The host provider against OpenVINO's own Python: docs/decisions/0003-openvino-precision.md."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.models import MODELS, Model, as_raw, assert_close, read
from e2e.servers import PROJECT, ROOT
from e2e.wire import Wire
from nnlet.host import Address, free_port
from nnlet.serving import serve_project
from nnlet.targets import TARGETS


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


@pytest.mark.p3
def test_openvino_answers_on_wasi_0_3_too() -> None:
    pytest.importorskip("openvino")
    address = Address(port=free_port())
    with (
        serve_project(PROJECT, address, "host", target=TARGETS["p3"]) as server,
        Wire(server.url) as wire,
    ):
        for model in MODELS:
            rows = model.rows(17)
            found = read(wire.ask("POST", model.infer, *as_raw(rows)))
            assert_close(found, model.expected(rows))
