"""nnlet.component: the component around the core module, and what becomes of the weights."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime
from handwritten import SOURCE, WEIGHTS
from handwritten import component as handwritten
from wasmtime.component import Component, ExportIndex, Linker, ResourceAny, Variant

from nnlet import component, runtime, wasm, zig
from nnlet.component import MAX_WEIGHTS, Flavour, build_component, unwrap
from nnlet.errors import CompileError, ToolMissing
from nnlet.interfaces import Interfaces
from nnlet.provider import Provider

ROOT = Path(__file__).parent.parent
FLAVOURS: tuple[Flavour, ...] = ("relaxed", "simd128")
VERSION = "@0.2.0-rc-2024-10-28"


class Instance:
    """A provider's component in this process, called as a component."""

    def __init__(self, provider: bytes) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        self.instance = Linker(engine).instantiate(self.store, Component(engine, provider))

    def call(self, interface: str, name: str, *values: Any) -> Any:
        """What `wasi:nn/INTERFACE`'s function answers; errors as (code, words)."""
        outer = self.instance.get_export_index(self.store, f"wasi:nn/{interface}{VERSION}")
        assert isinstance(outer, ExportIndex)
        index = self.instance.get_export_index(self.store, name, outer)
        function = self.instance.get_func(self.store, index)
        assert function is not None
        answer = function(self.store, *values)
        function.post_return(self.store)
        return answer

    def tensor(self, dims: list[int], type_: str, data: bytes) -> ResourceAny:
        return self.call("tensor", "[constructor]tensor", dims, type_, data)

    def load(self, name: str) -> Any:
        return self.call("graph", "load-by-name", name)

    def context(self, name: str) -> ResourceAny:
        graph = self.load(name).payload
        answer = self.call("graph", "[method]graph.init-execution-context", graph)
        graph.drop(self.store)
        assert answer.tag == "ok"
        return answer.payload

    def compute(self, context: ResourceAny, *inputs: tuple[str, ResourceAny]) -> Any:
        name = "[method]graph-execution-context.compute"
        return self.call("inference", name, context, list(inputs))

    def error(self, error: ResourceAny) -> tuple[str, str]:
        code = self.call("errors", "[method]error.code", error)
        data = self.call("errors", "[method]error.data", error)
        error.drop(self.store)
        return code, data


@pytest.fixture(scope="module", params=FLAVOURS)
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield Instance(handwritten(request.param))


def test_it_exports_wasi_nn_and_imports_nothing() -> None:
    found = Interfaces(handwritten())
    assert found.imports == {}
    names = ("tensor", "errors", "inference", "graph")
    assert list(found.exports) == [f"wasi:nn/{name}{VERSION}" for name in names]


def test_a_tensor_gives_back_what_it_was_made_of(instance: Instance) -> None:
    tensor = instance.tensor([2, 3], "BF16", b"twelve bytes")
    assert instance.call("tensor", "[method]tensor.dimensions", tensor) == [2, 3]
    assert instance.call("tensor", "[method]tensor.ty", tensor) == "BF16"
    assert instance.call("tensor", "[method]tensor.data", tensor) == b"twelve bytes"
    tensor.drop(instance.store)


def test_even_a_tensor_that_makes_no_sense_does(instance: Instance) -> None:
    dims = [2**32 - 1] * 300
    tensor = instance.tensor(dims, "U8", b"")
    assert instance.call("tensor", "[method]tensor.dimensions", tensor) == dims
    assert instance.call("tensor", "[method]tensor.data", tensor) == b""
    answer = instance.compute(instance.context("line"), ("x", tensor))
    assert instance.error(answer)[0] == "invalid-argument"


def test_inference_through_the_component(instance: Instance) -> None:
    context = instance.context("line@1")
    for rows in (1, 0, 3):
        x = np.arange(rows * 2, dtype=np.float32)
        tensor = instance.tensor([rows, 2], "FP32", x.tobytes())
        ((name, y),) = instance.compute(context, ("x", tensor))
        assert name == "y"
        assert instance.call("tensor", "[method]tensor.dimensions", y) == [rows, 2]
        data = instance.call("tensor", "[method]tensor.data", y)
        np.testing.assert_array_equal(np.frombuffer(data, np.float32), 2 * x + 3)
        y.drop(instance.store)
    context.drop(instance.store)


def test_a_scalar_has_no_dimensions(instance: Instance) -> None:
    n = instance.tensor([], "I64", (5).to_bytes(8, "little"))
    ((_, answer),) = instance.compute(instance.context("greedy"), ("n", n))
    assert instance.call("tensor", "[method]tensor.dimensions", answer) == []


def test_inputs_given_twice_are_refused(instance: Instance) -> None:
    tensors = [instance.tensor([1, 2], "FP32", bytes(8)) for _ in range(2)]
    answer = instance.compute(instance.context("line"), *(("x", t) for t in tensors))
    words = "input 'x' is repeated; the model takes 'x'"
    assert instance.error(answer) == ("invalid-argument", words)


@pytest.mark.parametrize(
    ("dims", "data", "code", "words"),
    [
        (
            [1, 2],
            b"1234567",
            "invalid-argument",
            "input 'x': 7 bytes of data, expected 8 for FP32 of shape [1, 2]",
        ),
        (
            [2**32 - 1, 2],
            b"12345678",
            "too-large",
            "input 'x': too large for this provider: shape [4294967295, 2]",
        ),
        ([0, 2], b"1", "invalid-argument", None),
    ],
)
def test_data_that_contradicts_its_shape_is_refused(
    instance: Instance, dims: list[int], data: bytes, code: str, words: str | None
) -> None:
    tensor = instance.tensor(dims, "FP32", data)
    found = instance.error(instance.compute(instance.context("line"), ("x", tensor)))
    assert found == (code, words or found[1])


def test_bytes_cannot_be_loaded_and_the_answer_says_what_can(instance: Instance) -> None:
    answer = instance.call("graph", "load", [b"onnx", b""], "onnx", "cpu")
    assert isinstance(answer, Variant) and answer.tag == "err"
    code, words = instance.error(answer.payload)
    assert code == "unsupported-operation"
    assert "greedy@1, join@1, line@1, line@2, line@10, wordy@1" in words


@pytest.mark.parametrize("name", ["", "@", "line@", "@1", "Line", "line@1@1", "line@010"])
def test_names_that_are_no_model_are_not_found(instance: Instance, name: str) -> None:
    answer = instance.load(name)
    assert answer.tag == "err"
    code, words = instance.error(answer.payload)
    assert code == "not-found"
    assert words.startswith(f"no model '{name}' here; there are greedy@1, ")


def test_the_same_input_gives_the_same_bytes_whatever_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = zig.cache_folder() / "zig"
    (tmp_path / "zig").symlink_to(libraries)  # 20 seconds less
    monkeypatch.setenv("NNLET_CACHE", str(tmp_path))
    assert build_component(SOURCE, WEIGHTS) == handwritten()


def test_new_weights_do_not_compile_anything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handwritten()
    monkeypatch.delattr(zig, "_zig")
    changed = build_component(SOURCE, WEIGHTS[64:] + bytes(64))
    x = np.ones((1, 2), np.float32)
    assert Provider(changed).run("line", "1", {"x": x})[0].tolist() == [[-0.5, -0.5]]


RELAXED = """
#ifdef __wasm_relaxed_simd__
  y[0] = __builtin_wasm_relaxed_madd_f32x4((v4){x[0]}, (v4){w[0]}, (v4){w[1]})[0];
#endif
  return NN_OK;
"""


def test_only_the_relaxed_flavour_needs_relaxed_simd() -> None:
    source = SOURCE.replace("  return NN_OK;\n", RELAXED, 1)
    source = source.replace(
        '#include "nnlet.h"', '#include "nnlet.h"\ntypedef f32 v4 __attribute__((vector_size(16)));'
    )
    config = wasmtime.Config()
    config.wasm_relaxed_simd = False
    old = wasmtime.Engine(config)
    wasmtime.Module(old, unwrap(build_component(source, WEIGHTS, "simd128")))
    with pytest.raises(wasmtime.WasmtimeError, match="relaxed"):
        wasmtime.Module(old, unwrap(build_component(source, WEIGHTS, "relaxed")))


def test_fifty_megabytes_of_weights_are_memory_and_nothing_more() -> None:
    weights = WEIGHTS + np.random.default_rng(0).bytes(50 << 20)
    provider = build_component(SOURCE, weights)
    assert len(provider) < len(weights) + 20_000
    core = unwrap(provider)
    assert len(weights) < wasm.memory_pages(core) * 65536 < len(weights) + (1 << 20)
    last = SOURCE.replace("NN_WEIGHTS + offset", f"NN_WEIGHTS + {len(weights) - 64}")
    models = Provider(build_component(last, weights[:-64] + WEIGHTS[:64]))
    x = np.ones((1, 2), np.float32)
    assert models.run("line", "1", {"x": x})[0].tolist() == [[5, 5]]


def test_weights_that_no_module_can_hold_are_refused() -> None:
    with pytest.raises(CompileError, match="1,040,187,393 bytes; a Wasm module can hold"):
        build_component(SOURCE, bytes(MAX_WEIGHTS + 1))


def test_c_that_needs_a_system_is_refused() -> None:
    source = SOURCE.replace('#include "nnlet.h"', '#include "nnlet.h"\n#include <time.h>')
    source = source.replace("w[0] * x[i]", "(f32)time(NULL)")
    with pytest.raises(CompileError, match="would import 'clock_time_get'"):
        build_component(source, WEIGHTS)


def test_what_is_wrapped_has_short_names_and_is_unwrapped_as_it_was() -> None:
    core = component.build_core(SOURCE, WEIGHTS)
    wrapped = component.wrap(core)
    assert unwrap(wrapped) == core
    assert b"#[method]tensor.data" in core and b"#[method]tensor.data" not in wrapped


def test_only_what_a_model_uses_is_linked() -> None:
    unused = "".join(
        f"f32 unused_{i}(f32 *x, idx n) {{ f32 s = {i}; while (n--) s *= x[n]; return s; }}\n"
        for i in range(100)
    )
    assert len(build_component(SOURCE + unused, WEIGHTS)) == len(handwritten())


def test_a_cache_folder_that_cannot_be_made_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NNLET_CACHE", str(tmp_path / "file"))
    with pytest.raises(CompileError, match="name another in NNLET_CACHE"):
        build_component(SOURCE, WEIGHTS)


def test_the_runtime_compiles_without_a_warning() -> None:
    files = {**runtime.headers(), **runtime.sources("component.c"), "models.c": SOURCE.encode()}
    warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror")
    for name in (name for name in files if name.endswith(".c")):
        unit = {n: data for n, data in files.items() if n.endswith(".h") or n == name}
        flags = (*component.TARGET, *warnings, "-DNN_WEIGHTS_BASE=65536", "-c")
        zig.compile_c(unit, flags, "unit.o")


def test_without_zig_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(ToolMissing, match="python -m pip install ziglang"):
        build_component(SOURCE, WEIGHTS)


@pytest.mark.skipif(
    not shutil.which("node") or not (ROOT / "dev/shell/node_modules").is_dir(),
    reason="the shell is made with Node: npm install in dev/shell",
)
def test_the_shell_is_what_its_script_makes() -> None:
    sys.path.insert(0, str(ROOT / "dev" / "shell"))
    import make

    made = make.hollow(make.wrapped(component.build_core(make.NO_MODELS, b"")))
    assert made == component.SHELL.read_bytes()
