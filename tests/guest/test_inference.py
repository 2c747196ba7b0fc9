"""The backend that speaks wasi:nn, on a host made of Python."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from nnlet.errors import InferenceError
from nnlet.guest import Backend, Tensor

from . import wasi


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    modules = wasi.modules()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "nnlet.guest.inference", raising=False)
    return modules["wit_world.imports.graph"]


@pytest.fixture
def backend(host: Any) -> Backend:
    backend: Backend = importlib.import_module("nnlet.guest.inference").WasiNN()
    return backend


@pytest.mark.parametrize(
    ("datatype", "number"),
    [("FP16", 0), ("FP32", 1), ("FP64", 2), ("BF16", 3), ("UINT8", 4), ("INT32", 5), ("INT64", 6)],
)
def test_every_carrier_crosses_under_its_number(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, datatype: str, number: int
) -> None:
    seen = []
    monkeypatch.setattr(wasi.Context, "compute", lambda self, inputs: seen.extend(inputs) or inputs)
    (answer,) = backend.infer("m@1", [("x", Tensor(datatype, (1, 2), b"data"))])
    ((name, crossed),) = seen
    assert (name, crossed.shape, crossed.kind.number, crossed.content) == (
        *("x", [1, 2], number, b"data"),
    )
    assert (answer.datatype, answer.shape, answer.data) == (datatype, (1, 2), b"data")


def test_a_graph_is_loaded_once_and_kept(backend: Backend, host: Any) -> None:
    backend.load("m@1")
    backend.infer("m@1", [("x", Tensor("FP32", (1,), b"1234"))])
    backend.infer("m@1", [("x", Tensor("FP32", (1,), b"1234"))])
    backend.infer("n@1", [("x", Tensor("FP32", (1,), b"1234"))])
    assert host.loads == ["m@1", "n@1"]


def test_a_graph_that_does_not_load_is_tried_again(backend: Backend, host: Any) -> None:
    for _ in range(2):
        with pytest.raises(InferenceError, match="no absent@1") as caught:
            backend.load("absent@1")
        assert caught.value.code == "not-found"
    assert len(host.loads) == 2


def test_a_refusal_carries_code_and_words(backend: Backend) -> None:
    with pytest.raises(InferenceError, match="out of luck") as caught:
        backend.infer("m@1", [("x", Tensor("FP32", (1,), b"bad!"))])
    assert caught.value.code == "runtime-error"
