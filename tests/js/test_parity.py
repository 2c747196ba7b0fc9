"""Every host answers as wasmtime does with the same flavour, bit for bit but for NaNs' payloads."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser

from js import hosts
from js.hosts import Node
from nnlet.carrier import Array
from nnlet.component import wrap
from nnlet.model import ModelSpec, read_repository
from nnlet.provider import Provider

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SPECS = {spec.name: spec for spec in read_repository(ROOT / "models")}
ROWS = (1, 2, 3, 17)

Ask = Callable[[list[dict[str, Any]]], list[list[str]]]

# What is odd about floats, over and over in place of random ones.
ODD = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38, -3.4e38, 1.0], np.float32)


def inputs_of(spec: ModelSpec) -> Iterator[dict[str, Array]]:
    """The example, random values for odd numbers of rows, and odd values."""
    yield {name: np.array(value, np.float32) for name, value in spec.example.items()}
    rng = np.random.default_rng(7)
    for rows in ROWS:
        shapes = {i.name: [rows if n == -1 else n for n in i.shape] for i in spec.inputs}
        yield {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
        yield {name: (1e4 * rng.normal(size=s)).astype(np.float32) for name, s in shapes.items()}
        yield {name: np.resize(ODD, s) for name, s in shapes.items()}


CASES = [(spec, inputs) for spec in SPECS.values() for inputs in inputs_of(spec)]


def as_json(spec: ModelSpec, inputs: dict[str, Array]) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "type": "Float32Array",
            "shape": list(array.shape),
            "data": base64.b64encode(array.tobytes()).decode(),
        }
        for name, array in inputs.items()
    ]
    return {"model": spec.name, "inputs": rows}


def assert_as_wasmtime(ask: Ask, core: Path) -> None:
    """All cases, against the same module in wasmtime."""
    provider = Provider(wrap(core.read_bytes()))
    found = ask([as_json(spec, inputs) for spec, inputs in CASES])
    assert len(found) == len(CASES)
    for (spec, inputs), outputs in zip(CASES, found, strict=True):
        expected = provider.run(spec.name, spec.version, inputs)
        for output, one, other in zip(spec.outputs, outputs, expected, strict=True):
            values = np.frombuffer(base64.b64decode(one), other.dtype).reshape(other.shape)
            assert same_bits(values, other), (spec.name, output.name, values, other)


def same_bits(one: Array, other: Array) -> bool:
    nan = np.isnan(other)
    bits = (one.view(np.uint32) == other.view(np.uint32)) | nan
    return bool((np.isnan(one) == nan).all() and bits.all())


def test_the_comparison_sees_one_bit() -> None:
    one = np.array([1.0, 0.0, np.nan], np.float32)
    assert same_bits(one, one.copy())
    assert not same_bits(one, np.array([1.0, -0.0, np.nan], np.float32))
    assert not same_bits(one, np.array([np.nan, 0.0, np.nan], np.float32))


@pytest.mark.parametrize("flavour", ["relaxed", "simd128"])
def test_node(node: Node, package: Path, flavour: str) -> None:
    code = f"(await use('flavour.js')).pickFlavour(['{flavour}', 'simd128'])"
    if node.run(code) != flavour:
        pytest.skip(f"this Node does not know {flavour} SIMD: Node 21 and newer do")

    def ask(cases: list[dict[str, Any]]) -> list[list[str]]:
        # A flavour of our choice, where the package picks the best.
        found: list[list[str]] = node.run(
            f"""(async (cases) => {{
              const {{ loader }} = await use("runtime.js");
              const {{ instantiate }} = await use("glue.js");
              const {{ readFile }} = await import("node:fs/promises");
              const core = new URL("models.{flavour}.wasm", root);
              const load = loader(models, () => instantiate(async (name) => WebAssembly.compile(
                await readFile(name === "glue.core.wasm" ? core : new URL(name, root))), {{}}));
              return answers(load, cases);
            }})({json.dumps(cases)})"""
        )
        return found

    assert_as_wasmtime(ask, package / f"models.{flavour}.wasm")


def test_chromium(browser: Browser, package: Path, site: str) -> None:
    page = browser.open(f"{site}/package.json")
    code = (HERE / "answers.js").read_text()

    def ask(cases: list[dict[str, Any]]) -> list[list[str]]:
        found: list[list[str]] = page.run(
            f"""(async (cases) => {{
              const source = new Blob([{json.dumps(code)}], {{ type: "text/javascript" }});
              const {{ answers }} = await import(URL.createObjectURL(source));
              const {{ load }} = await import("/browser.js");
              return answers(load, cases);
            }})({json.dumps(cases)})"""
        )
        return found

    assert_as_wasmtime(ask, package / "models.relaxed.wasm")
    loaded = [url.rpartition("/")[2] for url in page.downloads() if url.endswith(".wasm")]
    assert sorted(loaded) == ["glue.core2.wasm", "glue.core3.wasm", "models.relaxed.wasm"]


def test_workerd(package: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(package, tmp_path / "js")
    for name in ("answers.js", "worker.js"):
        shutil.copy(HERE / name, folder)
    # The example's configuration, with a worker of ours that needs one module more.
    text = (folder / "examples" / "worker" / "config.capnp").read_text()
    main = '(name = "examples/worker/worker.js", esModule = embed "worker.js"),'
    assert main in text
    ours = '(name = "worker.js", esModule = embed "worker.js"),'
    more = '(name = "answers.js", esModule = embed "answers.js"),'
    config = folder / "config.capnp"
    config.write_text(text.replace(main, ours + more).replace("../../", ""))
    with hosts.workerd(config) as url:

        def ask(cases: list[dict[str, Any]]) -> list[list[str]]:
            with urllib.request.urlopen(url, json.dumps(cases).encode()) as response:
                found: list[list[str]] = json.load(response)
            return found

        assert_as_wasmtime(ask, package / "models.relaxed.wasm")
