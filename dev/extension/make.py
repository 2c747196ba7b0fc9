"""Make nnlet/guest/native/*.types again: `python dev/extension/make.py`, with Node 20 and npm.

Each is the custom section that tells componentize-py's linker which functions of the host an
extension may import: a world in binary form, without documentation. To be run when an
extension imports another interface, or another version of one.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from nnlet import extension, wasm  # noqa: E402

NN = "0.2.0-rc-2024-10-28"
WORLDS = {
    "nnlet_http": ["wasi:http/types@0.2.6"],
    "nnlet_nn": [f"wasi:nn/{name}@{NN}" for name in ("tensor", "errors", "inference")],
}
# Of each package, in dependency order, the files that these worlds need.
PACKAGES = {
    "wasi:io@0.2.6": ["error.wit", "poll.wit", "streams.wit"],
    "wasi:clocks@0.2.6": ["monotonic-clock.wit"],
    "wasi:http@0.2.6": ["types.wit"],
}


def main() -> None:
    if not (HERE / "node_modules").is_dir():
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-package-lock"], cwd=HERE, check=True
        )
    for name, interfaces in WORLDS.items():
        path = extension.SOURCES / f"{name}.types"
        path.write_bytes(component_type(name, interfaces))
        print(path, path.stat().st_size, "bytes")


def component_type(name: str, interfaces: list[str]) -> bytes:
    """The section's content, from an empty module that jco gave the world."""
    imports = "".join(f"    import {name};\n" for name in interfaces)
    package = f"nnlet:{name.replace('_', '-')}"  # of its own: all are merged in the end
    world = f"package {package};\n\nworld extension {{\n{imports}}}\n"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "empty.wasm").write_bytes(wasm.MODULE)
        (folder / "world.wit").write_text(world + "".join(packages()))
        files = [str(folder / file) for file in ("world.wit", "empty.wasm", "out.wasm")]
        subprocess.run(["node", "embed.mjs", *files], cwd=HERE, check=True)
        module = (folder / "out.wasm").read_bytes()
    start = wasm.text(extension.COMPONENT_TYPE)
    (found,) = [s for s in wasm.sections(module, wasm.MODULE) if s.body.startswith(start)]
    return found.body.removeprefix(start)


def packages() -> list[str]:
    """The WIT of WASI, from the spin-sdk wheel, and of wasi-nn, as nested packages."""
    found = importlib.util.find_spec("spin_sdk")
    assert found and found.origin
    folder = Path(found.origin).parent / "wit" / "deps"
    texts = {
        package: [(folder / package.removeprefix("wasi:") / file).read_text() for file in files]
        for package, files in PACKAGES.items()
    }
    texts[f"wasi:nn@{NN}"] = [(ROOT / "wit" / "deps" / "wasi-nn" / "nn.wit").read_text()]
    return [
        f"package {package} {{\n{''.join(map(without_package, files))}}}\n"
        for package, files in texts.items()
    ]


def without_package(text: str) -> str:
    return re.sub(r"^\s*package [^;]*;", "", text, count=1, flags=re.M)


if __name__ == "__main__":
    main()
