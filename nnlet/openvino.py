"""OpenVINO, the host provider: its libraries, found and linked for wasmtime, and its word on
a model that cannot be loaded. The models' own folders are written by `graphs.py`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnlet.errors import ToolMissing

# OpenVINO reads this file when it lies beside libopenvino.so. Its own default on processors
# with bfloat16 units is bfloat16: docs/decisions/0003-openvino-precision.md.
PLUGINS_XML = """\
<ie>
    <plugins>
        <plugin name="CPU" location="libopenvino_intel_cpu_plugin.so">
            <properties>
                <property key="INFERENCE_PRECISION_HINT" value="f32"/>
            </properties>
        </plugin>
    </plugins>
</ie>
"""

# An OpenVINO installed elsewhere, which would be found before ours.
_FOREIGN = ("OPENVINO_BUILD_DIR", "OPENVINO_INSTALL_DIR", "INTEL_OPENVINO_DIR")

_TRY = """\
import sys, openvino
core = openvino.Core()
try:
    core.compile_model(core.read_model(sys.argv[1]), "CPU")
except Exception as exc:
    sys.exit(str(exc))
"""

# Lines of an OpenVINO error that say where in OpenVINO it was thrown, not what is wrong.
_NOISE = re.compile(r"Exception from |Check '|FrontEnd API|Summary:|While validating|Model wasn't")


@dataclass(frozen=True)
class HostProvider:
    """OpenVINO inside wasmtime. `libraries` and `graphs` are folders that it reads."""

    libraries: Path
    graphs: Path

    def flags(self) -> list[str]:
        """wasi-nn, and one graph for each model."""
        return ["-Snn", *(f"-Snn-graph=openvino::{folder}" for folder in self._folders())]

    def environment(self) -> dict[str, str]:
        """Ours, with OpenVINO's libraries where wasmtime looks for them first."""
        env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        paths = [str(self.libraries), env.get("LD_LIBRARY_PATH", "")]
        return env | {"LD_LIBRARY_PATH": ":".join(filter(None, paths))}

    def complaint(self) -> str | None:
        """Load each model with OpenVINO's own Python, outside wasmtime, which hides the reason."""
        for folder in self._folders():
            # A process of its own: OpenVINO may crash, and the plugins.xml must hold here too.
            tried = subprocess.run(
                [sys.executable, "-c", _TRY, str(folder / "model.xml")],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
            )
            if tried.returncode != 0:
                return f"model {folder.name}: OpenVINO cannot load it: {_reason(tried.stderr)}"
        return None

    def _folders(self) -> list[Path]:
        return sorted(self.graphs.iterdir())


def openvino_libraries() -> Path:
    """The folder of libraries in the OpenVINO wheel. Raises ToolMissing where there is none."""
    found = importlib.util.find_spec("openvino")
    for location in (found.submodule_search_locations or ()) if found else ():
        folder = Path(location) / "libs"
        if folder.is_dir():
            return folder
    raise ToolMissing(
        "the host provider needs the libraries of the openvino wheel, which are not here: "
        "pip install --require-hashes -r requirements/host.txt"
    )


def link_libraries(source: Path, folder: Path) -> None:
    """Link the libraries of `source` into `folder`, and ask for float32 there.

    The wheel has `libopenvino_c.so.2641` only; wasmtime opens `libopenvino_c.so`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = dict(_links(source))
    if "libopenvino_c.so" not in wanted:
        raise ToolMissing(f"no libopenvino_c.so in {source}: install the openvino wheel again")
    for link in folder.glob("*.so*"):
        if link.name not in wanted:
            link.unlink()
    for name, target in wanted.items():
        link = folder / name
        if not link.is_symlink() or os.readlink(link) != str(target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    plugins = folder / "plugins.xml"
    if not plugins.exists() or plugins.read_text() != PLUGINS_XML:
        plugins.write_text(PLUGINS_XML)


def _links(source: Path) -> Iterator[tuple[str, Path]]:
    for path in source.iterdir():
        if ".so" in path.name:
            yield path.name, path
            if path.name.startswith("libopenvino_c.so"):
                yield "libopenvino_c.so", path


def _reason(error: str) -> str:
    lines = [line.strip() for line in error.splitlines()]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(telling)[:400] or "it ended without a reason"
