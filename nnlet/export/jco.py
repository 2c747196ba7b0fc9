"""jco: a component becomes JavaScript around its core module. It runs on Node, at export only."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from nnlet import component, wasm
from nnlet.build import Report, silent
from nnlet.errors import BuildError
from nnlet.export import npm

FOLDER = Path(__file__).with_name("jco")
SCRIPT = "transpile.mjs"

# What jco makes of any provider: code that instantiates three modules, and the two small ones
# that wire its resources. The first module is the models'.
GLUE = ("glue.js", "glue.core2.wasm", "glue.core3.wasm")
CORE = "glue.core.wasm"

_DATA = (wasm.DATA, wasm.DATA_COUNT)


def transpile(provider: bytes, report: Report = silent) -> dict[str, bytes]:
    """The files in GLUE, which fit every flavour of the component `provider`.

    They do not depend on its weights, so jco is not given them. Raises ToolMissing, BuildError.
    """
    node = npm.find_node()
    tools = npm.installed(FOLDER, report)
    shutil.copy(FOLDER / SCRIPT, tools)  # Node looks for packages from where the script lies
    with tempfile.TemporaryDirectory(prefix="nnlet-") as name:
        source, made = Path(name, "component.wasm"), Path(name, "out")
        source.write_bytes(_without_data(provider))
        with report("Transpiling the component with jco"):
            done = npm.run([node, str(tools / SCRIPT), str(source), str(made)])
        if done.returncode != 0:
            raise BuildError(f"jco could not transpile the models: {npm.last_line(done)}")
        files = {path.name: path.read_bytes() for path in made.iterdir() if path.name != CORE}
    if set(files) != set(GLUE):
        raise BuildError(f"jco made {', '.join(sorted(files))}: expected {', '.join(GLUE)}")
    return files


def _without_data(provider: bytes) -> bytes:
    core = component.unwrap(provider)
    parts = [part for part in wasm.sections(core, wasm.MODULE) if part.number not in _DATA]
    return component.wrap(wasm.join(wasm.MODULE, parts))
