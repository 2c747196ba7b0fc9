"""Models as exporters write them, from packages that ship one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from nnlet.compiler import compile_models
from nnlet.model import read_model
from nnlet.native import NativeModels
from nnlet.verify import verify


def magika_model() -> Path:
    """The file type detector inside the package magika: JAX, through TensorFlow's exporter."""
    spec = find_spec("magika")
    if spec is None or spec.origin is None:
        pytest.skip("the package magika is not installed (extra: test)")
    return sorted((Path(spec.origin).parent / "models").glob("standard_*/model.onnx"))[-1]


def test_magika_answers_as_in_onnxruntime() -> None:
    spec = read_model("magika", "1", magika_model(), {})
    module = compile_models([spec])
    report = verify(spec, NativeModels(module.source, module.weights, level=1))
    assert report.compared == 4
    assert report.passed, str(report.worst)
