"""OpenVINO's libraries as wasmtime finds them, and what is said of a model that fails."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import add_model

from nnlet.errors import ToolMissing
from nnlet.graphs import write_graphs
from nnlet.model import read_repository
from nnlet.openvino import HostProvider, link_libraries, openvino_libraries

PRECISION = """\
import ctypes
library = ctypes.CDLL("libopenvino_c.so")
core, value = ctypes.c_void_p(), ctypes.c_char_p()
library.ov_core_create(ctypes.byref(core))
library.ov_core_get_property(core, b"CPU", b"INFERENCE_PRECISION_HINT", ctypes.byref(value))
print(value.value.decode())
"""


@pytest.fixture
def provider(tmp_path: Path) -> HostProvider:
    for name in ("one", "two"):
        add_model(tmp_path / "models", name)
    write_graphs(read_repository(tmp_path / "models"), tmp_path / "graphs")
    link_libraries(openvino_libraries(), tmp_path / "openvino")
    return HostProvider(tmp_path / "openvino", tmp_path / "graphs")


def test_openvino_computes_in_float32_whatever_the_processor_has(provider: HostProvider) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRECISION],
        env=provider.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "f32\n"


def test_linking_again_repairs_what_is_wrong(provider: HostProvider) -> None:
    folder = provider.libraries
    link = folder / "libopenvino_c.so"
    target = link.readlink()
    link.unlink()
    link.symlink_to("elsewhere")
    (folder / "libold.so.1").symlink_to("elsewhere")
    (folder / "plugins.xml").write_text("something else")
    link_libraries(openvino_libraries(), folder)
    assert link.readlink() == target
    assert not (folder / "libold.so.1").is_symlink()
    assert "INFERENCE_PRECISION_HINT" in (folder / "plugins.xml").read_text()


def test_each_graph_has_its_flag(provider: HostProvider) -> None:
    graphs = provider.graphs
    assert provider.flags() == [
        "-Snn",
        f"-Snn-graph=openvino::{graphs / 'one@1'}",
        f"-Snn-graph=openvino::{graphs / 'two@1'}",
    ]


def test_another_openvino_in_the_environment_is_not_found_first(
    provider: HostProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEL_OPENVINO_DIR", "/opt/other")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/other/lib")
    environment = provider.environment()
    assert "INTEL_OPENVINO_DIR" not in environment
    assert environment["LD_LIBRARY_PATH"] == f"{provider.libraries}:/opt/other/lib"


def test_the_model_that_cannot_be_loaded_is_named_with_the_reason(provider: HostProvider) -> None:
    assert provider.complaint() is None
    path = provider.graphs / "two@1" / "model.xml"
    path.write_bytes(path.read_bytes().replace(b"Add", b"Foo"))
    complaint = provider.complaint()
    assert complaint is not None
    assert complaint.startswith("model two@1: OpenVINO cannot load it: ")
    assert "No conversion rule found for operations: Foo" in complaint
    assert "\n" not in complaint


def test_without_openvino_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match="pip install .* requirements/host.txt"):
        openvino_libraries()


def test_a_folder_without_the_c_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"no libopenvino_c\.so in"):
        link_libraries(tmp_path, tmp_path / "links")
