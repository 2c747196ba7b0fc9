"""Every runtime by name: OURS is compared, above all with PEER."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.kernel_peers import Runner

FOLDER = Path(__file__).parent
OURS = "nnlet"
PEER = "onnxruntime-web"

# In Python: module of this package and its class. Only the one that is asked for is imported.
WORKERS = {
    OURS: ("compiled", "Relaxed"),
    "nnlet, simd128": ("compiled", "Simd128"),
    "onnxruntime": ("ort", "OnnxRuntime"),
    "openvino": ("openvino", "OpenVino"),
    "tract": ("tract", "Tract"),
}
RUNNERS = (OURS, "nnlet, simd128", PEER, "onnxruntime", "openvino", "tract")


def worker(name: str) -> Runner:
    """The runner of that name."""
    module, kind = WORKERS[name]
    made: Runner = getattr(importlib.import_module(f"benchmarks.kernel_peers.{module}"), kind)()
    return made


def command(name: str, node_modules: Path) -> list[str]:
    """What starts the process of a runner; `node_modules` is in that folder."""
    if name == PEER:
        return ["node", str(FOLDER / "web.mjs"), str(node_modules)]
    return [sys.executable, "-m", "benchmarks.kernel_peers.worker", name]
