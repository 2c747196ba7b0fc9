"""C -> core Wasm module -> component that exports wasi:nn and imports nothing.

    models.c + runtime  --zig-->  core module  --weights-->  core module  --shell-->  component

Weights never pass through the C compiler: they become data segments between the stack and
the data of C, at an address that is a constant in the code. So how long a compile takes does
not depend on them, and `zig.compile_c` finds the same code again whatever was trained.

The shell is the component around the core module: types, canonical ABI adapters, exports. It
is the same for every model, so it is made once (`dev/shell`) and the module is put into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nnlet import runtime, wasm, zig
from nnlet.errors import CompileError

Flavour = Literal["relaxed", "simd128"]

# One target for both flavours, so that zig builds its C library once.
TARGET = ("-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", *zig.FLAGS)

# relaxed: with fused multiply-add and dot products, as wasmtime and new browsers have them.
# simd128: without, for what does not know them, such as Node 20.
FLAVOURS: dict[Flavour, tuple[str, ...]] = {
    # Told to clang alone: to zig, -mrelaxed-simd would be another target, with another library.
    "relaxed": ("-Xclang", "-target-feature", "-Xclang", "+relaxed-simd"),
    "simd128": (),
}

# Memory, upwards: stack, weights, data of C, heap. An overflowing stack runs below address 0
# and traps instead of writing over values.
STACK_BYTES = 1 << 16
WEIGHTS_BASE = STACK_BYTES
PAGE = 1 << 16

# wasmtime and V8 accept modules of 1 GiB; some of it is left to code.
MAX_WEIGHTS = (1 << 30) - (32 << 20)

SHELL = Path(__file__).with_name("shell.wasm")
CORE_MODULE = 1  # the number of the section that holds one


def _core_names() -> dict[str, str]:
    """A letter for each long name that the core module and the shell know each other's parts by:
    nobody else sees them, and they are a tenth of a small provider."""
    version = "@0.2.0-rc-2024-10-28"
    interfaces = {
        "errors": ("[method]error.code", "[method]error.data", "[dtor]error"),
        "tensor": ("[constructor]tensor", "[method]tensor.dimensions", "[method]tensor.ty",
                   "[method]tensor.data", "[dtor]tensor"),
        "inference": ("[dtor]graph-execution-context",
                      "[method]graph-execution-context.compute"),
        "graph": ("[method]graph.init-execution-context", "load", "load-by-name"),
    }  # fmt: skip
    resources = ("error", "tensor", "graph-execution-context", "graph")
    long = ["cabi_realloc"]
    for interface, names in interfaces.items():
        long += [f"[export]wasi:nn/{interface}{version}"]
        long += [f"wasi:nn/{interface}{version}#{name}" for name in names]
    long += [f"[resource-{what}]{r}" for what in ("new", "rep", "drop") for r in resources]
    return {name: LETTERS[n] for n, name in enumerate(long)}


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
CORE_NAMES = _core_names()


def build_component(
    c_source: str, weights: bytes, flavour: Flavour = "relaxed", *, level: int = 2
) -> bytes:
    """The provider of the models in `c_source`, whose weights are `weights`.

    `level` is clang's -O. Raises CompileError, or ToolMissing without zig.
    """
    return wrap(build_core(c_source, weights, flavour, level))


def build_core(
    c_source: str, weights: bytes, flavour: Flavour = "relaxed", level: int = 2
) -> bytes:
    """The core module: code from zig, weights spliced in."""
    if len(weights) > MAX_WEIGHTS:
        raise CompileError(
            f"the models' weights take {len(weights):,} bytes; a Wasm module can hold "
            f"{MAX_WEIGHTS:,}: compile fewer models, or quantize them"
        )
    core = _link(c_source, len(weights), flavour, level)
    _check_imports(core)
    assert WEIGHTS_BASE + len(weights) <= wasm.memory_pages(core) * PAGE
    return wasm.add_data(core, WEIGHTS_BASE, weights)


def wrap(core: bytes) -> bytes:
    """The component around a core module that exports what `component.c` does."""
    parts = list(wasm.sections(SHELL.read_bytes(), wasm.COMPONENT))
    place = next(i for i, part in enumerate(parts) if part.number == CORE_MODULE)
    parts[place] = wasm.Section(CORE_MODULE, wasm.renamed(core, CORE_NAMES))
    return wasm.join(wasm.COMPONENT, parts)


def unwrap(component: bytes) -> bytes:
    """The core module of a provider, as `wrap` got it."""
    long = {short: name for name, short in CORE_NAMES.items()}
    return wasm.renamed(core_module(component), long)


def core_module(component: bytes) -> bytes:
    """The core module of a provider, as it lies there: by the names that the shell knows."""
    for part in wasm.sections(component, wasm.COMPONENT):
        if part.number == CORE_MODULE:
            return part.body
    raise ValueError("not a provider: it has no core module")


def _link(c_source: str, weight_bytes: int, flavour: Flavour, level: int) -> bytes:
    """The core module without weights, with room for them below the data of C."""
    files = {**runtime.headers(), "models.c": c_source.encode(), **_runtime_objects()}
    flags = (
        *TARGET,
        *FLAVOURS[flavour],
        *zig.optimize(level),
        f"-DNN_WEIGHTS_BASE={WEIGHTS_BASE}",
        "-mexec-model=reactor",  # a library: no main
        "-Wl,--strip-all",
        f"-Wl,-z,stack-size={STACK_BYTES}",
        f"-Wl,--global-base={-(-(WEIGHTS_BASE + weight_bytes) // 64) * 64}",
    )
    return zig.compile_c(files, flags, "core.wasm")


def _runtime_objects() -> dict[str, bytes]:
    """The runtime, compiled for size: only the models' own code is worth speed."""
    objects = {}
    for name, source in runtime.sources("component.c").items():
        unit = {**runtime.headers(), name: source}
        objects[name.replace(".c", ".o")] = zig.compile_c(
            unit, (*TARGET, *zig.optimize("z"), "-c"), "unit.o"
        )
    return objects


def _check_imports(core: bytes) -> None:
    """A provider runs anywhere because it needs nothing: no file, no clock, no output."""
    for module, name in wasm.imports(core):
        if not module.startswith("[export]wasi:nn/"):
            raise CompileError(f"the compiled models would import {name!r} of {module!r}")
