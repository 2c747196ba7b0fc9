"""Make nnlet/shell.wasm again: `python dev/shell/make.py`, with Node 20 or newer and npm.

wit-component (inside jco) wraps a core module without models; the module is then taken out
again, so what is left is the same for every provider. To be run when the exports of
`component.c` or wasi-nn's WIT change; tests/test_component.py says when it is stale.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from nnlet import component, wasm  # noqa: E402

NO_MODELS = '#include "nnlet.h"\nconst nn_model nn_models[1];\nconst u32 nn_model_count = 0;\n'

WORLD = """package nnlet:provider;

world provider {
    export wasi:nn/tensor@0.2.0-rc-2024-10-28;
    export wasi:nn/errors@0.2.0-rc-2024-10-28;
    export wasi:nn/inference@0.2.0-rc-2024-10-28;
    export wasi:nn/graph@0.2.0-rc-2024-10-28;
}

"""


def main() -> None:
    if not (HERE / "node_modules").is_dir():
        subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-package-lock"], cwd=HERE, check=True
        )
    component.SHELL.write_bytes(hollow(wrapped(component.build_core(NO_MODELS, b""))))
    print(component.SHELL, component.SHELL.stat().st_size, "bytes")


def wrapped(core: bytes) -> bytes:
    """The component that jco makes of a core module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "core.wasm").write_bytes(core)
        (folder / "provider.wit").write_text(WORLD + nested_package())
        files = [str(folder / file) for file in ("provider.wit", "core.wasm", "out.wasm")]
        subprocess.run(["node", "wrap.mjs", *files], cwd=HERE, check=True)
        return (folder / "out.wasm").read_bytes()


def nested_package() -> str:
    """wasi-nn's WIT as a package inside another file: in braces."""
    text = (ROOT / "wit" / "deps" / "wasi-nn" / "nn.wit").read_text()
    return re.sub(r"^package (wasi:nn@.*);$", r"package \1 {", text, count=1, flags=re.M) + "}\n"


def hollow(binary: bytes) -> bytes:
    """Without its core module's content, without names and producers, and with short names for
    what nobody outside sees."""
    parts = [p for p in wasm.sections(binary, wasm.COMPONENT) if p.number != wasm.CUSTOM]
    place = next(i for i, part in enumerate(parts) if part.number == component.CORE_MODULE)
    parts[place] = wasm.Section(component.CORE_MODULE, wasm.MODULE)
    return wasm.join(wasm.COMPONENT, _shortened(parts))


# Numbers of a component's sections.
CORE_INSTANCE, NESTED, INSTANCE, ALIAS, IMPORT = 2, 4, 5, 6, 10


def _shortened(parts: list[wasm.Section]) -> list[wasm.Section]:
    """Core names as component.CORE_NAMES has them, and names of imports of nested components,
    which wit-component makes up, as letters."""
    found = {
        name.decode(): None
        for part in parts if part.number == INSTANCE
        for name in re.findall(rb"import-[a-z0-9-]+", part.body)
    }  # fmt: skip
    inner = {name: f"i{n}" for n, name in enumerate(found)}
    result = []
    for part in parts:
        number, body = part
        if number in (CORE_INSTANCE, ALIAS):
            body = _replaced(body, component.CORE_NAMES)
        elif number == INSTANCE:
            body = _replaced(body, inner)
        elif number == component.CORE_MODULE:
            own = [p for p in wasm.sections(body, wasm.MODULE) if p.number != wasm.CUSTOM]
            body = wasm.join(wasm.MODULE, own)
        elif number == NESTED:
            own = list(wasm.sections(body, wasm.COMPONENT))
            own = [wasm.Section(n, _replaced(b, inner) if n == IMPORT else b) for n, b in own]
            body = wasm.join(wasm.COMPONENT, own)
        result.append(wasm.Section(number, body))
    return result


def _replaced(body: bytes, names: dict[str, str]) -> bytes:
    """Names are a length and bytes; no other place of these sections looks like one."""
    for old, new in names.items():
        body = body.replace(wasm.text(old), wasm.text(new))
    return body


if __name__ == "__main__":
    main()
