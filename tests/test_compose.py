"""nnlet.compose: function and provider as one component, served by a real wasmtime."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from handwritten import component as handwritten

from nnlet import host, wasm
from nnlet.compose import compose
from nnlet.errors import BuildError
from nnlet.interfaces import Interfaces

ROOT = Path(__file__).parent.parent
VERSION = b"@0.2.0-rc-2024-10-28"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="module")
def function(folder: Path) -> bytes:
    """The component of data/tiny_app."""
    path = folder / "app.wasm"
    scripts = Path(sys.executable).parent
    world = ["-d", ROOT / "wit", "-w", "nnlet:fn/app"]
    app = ["-p", ROOT / "tests" / "data" / "tiny_app", "app", "-o", path]
    command = [scripts / "componentize-py", "--quiet", *world, "componentize", *app]
    subprocess.run(command, check=True, env={**os.environ, "VIRTUAL_ENV": sys.prefix})
    return path.read_bytes()


class Composed:
    """The host's part where the models are inside: nothing."""

    def flags(self) -> list[str]:
        return []

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def complaint(self) -> str | None:
        return None


def serve(component: bytes, folder: Path, name: str) -> Iterator[str]:
    source, product = folder / f"{name}.wasm", folder / f"{name}.cwasm"
    source.write_bytes(component)
    tool = host.find_wasmtime()
    host.precompile(tool, source, product)
    address = host.Address(port=host.free_port())
    with host.serve(tool, product, address, Composed(), folder) as server:
        yield server.url


@pytest.fixture(scope="module")
def url(function: bytes, folder: Path) -> Iterator[str]:
    yield from serve(compose(function, handwritten()), folder, "function")


def post(url: str, data: bytes = b"") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def check_answers(url: str) -> None:
    data = struct.pack("<4f", 1, 2, 3, 4)
    assert post(f"{url}/line@1?2,2", data) == (200, struct.pack("<4f", 5, 7, 9, 11))
    assert post(f"{url}/line?2,2", data) == (200, struct.pack("<4f", 10.25, 10.5, 10.75, 11))
    assert post(f"{url}/line?0,2") == (200, b"")
    status, words = post(f"{url}/line?2,2", b"123")
    assert (status, words[:27]) == (400, b"INVALID_ARGUMENT: input 'x'")
    assert post(f"{url}/none")[1].startswith(b"NOT_FOUND: no model 'none' here; there are ")
    assert post(f"{url}/LOAD")[1].startswith(b"UNSUPPORTED_OPERATION: ")


def test_the_composed_function_answers_under_wasmtime(url: str) -> None:
    check_answers(url)


def test_megabytes_cross(url: str) -> None:
    values = [float(i % 1000) for i in range(600_000)]
    status, data = post(f"{url}/line@2?300000,2", struct.pack("<600000f", *values))
    assert status == 200
    assert struct.unpack("<600000f", data) == tuple(0.5 - value for value in values)


def test_an_instance_outlives_every_refusal(url: str) -> None:
    for _ in range(200):
        assert post(f"{url}/line?1,3", bytes(12))[0] == 400
    check_answers(url)


def test_nothing_is_imported_that_the_provider_has_and_all_else_is(function: bytes) -> None:
    composed = Interfaces(compose(function, handwritten()))
    before = Interfaces(function)
    assert composed.imports == {n: t for n, t in before.imports.items() if "wasi:nn" not in n}
    assert composed.exports == before.exports


def test_composing_is_deterministic(function: bytes) -> None:
    assert compose(function, handwritten()) == compose(function, handwritten())


@pytest.mark.skipif(not shutil.which("wac"), reason="needs wac on the PATH")
def test_wac_plug_behaves_the_same(function: bytes, folder: Path) -> None:
    for name, data in (("app", function), ("models", handwritten())):
        (folder / f"{name}.wasm").write_bytes(data)
    plugged = folder / "plugged.wasm"
    files = [folder / "models.wasm", folder / "app.wasm", "-o", plugged]
    subprocess.run(["wac", "plug", "--plug", *files], check=True)
    ours = Interfaces(compose(function, handwritten()))
    theirs = Interfaces(plugged.read_bytes())
    assert (theirs.imports, theirs.exports) == (ours.imports, ours.exports)
    for url in serve(plugged.read_bytes(), folder, "plugged"):
        check_answers(url)


def refusal(function: bytes, provider: bytes) -> str:
    with pytest.raises(BuildError) as caught:
        compose(function, provider)
    return str(caught.value)


def test_another_version_is_refused_with_both(function: bytes) -> None:
    other = handwritten().replace(VERSION, b"@0.2.0-rc-2025-01-01")
    assert refusal(function, other) == (
        "the function imports wasi:nn/tensor@0.2.0-rc-2024-10-28, the provider exports "
        "wasi:nn/tensor@0.2.0-rc-2025-01-01, wasi:nn/errors@0.2.0-rc-2025-01-01, "
        "wasi:nn/inference@0.2.0-rc-2025-01-01, wasi:nn/graph@0.2.0-rc-2025-01-01: build both "
        "with the same version of nnlet"
    )


def test_another_type_is_refused_with_both(function: bytes) -> None:
    other = handwritten().replace(b"\x04BF16", b"\x04BF17")
    assert refusal(function, other) == (
        "'tensor-type' of wasi:nn/tensor@0.2.0-rc-2024-10-28 does not fit: the function imports "
        "enum {FP16, FP32, FP64, BF16, U8, I32, I64}, the provider exports "
        "enum {FP16, FP32, FP64, BF17, U8, I32, I64}"
    )


def test_a_missing_function_is_refused(function: bytes) -> None:
    other = handwritten().replace(b"[method]tensor.ty", b"[method]tensor.tz")
    assert "the provider exports nothing of that name" in refusal(function, other)


def test_what_is_composed_already_is_refused(function: bytes) -> None:
    composed = compose(function, handwritten())
    assert refusal(composed, handwritten()) == (
        "the function imports no wasi:nn: was it composed before?"
    )


def test_a_provider_that_needs_something_is_refused(function: bytes) -> None:
    assert refusal(function, function).startswith("the provider imports wasi:io/poll@")


@pytest.mark.parametrize(
    "data", [b"", b"<html>", wasm.MODULE, handwritten()[:1000]], ids=["", "text", "module", "cut"]
)
def test_what_is_no_component_is_refused(function: bytes, data: bytes) -> None:
    assert "the provider is not a component that can be composed" in refusal(function, data) or (
        data == b""
    )
    assert "the function is not a component that can be composed" in refusal(data, handwritten())


def test_broken_components_are_refused_and_never_a_crash() -> None:
    rng = random.Random(0)
    head = len(handwritten()) - len(handwritten()[-6000:])
    for _ in range(500):
        broken = bytearray(handwritten())
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(head, len(broken))] = rng.randrange(256)
        try:
            Interfaces(bytes(broken))
        except (ValueError, LookupError, RecursionError):
            continue
