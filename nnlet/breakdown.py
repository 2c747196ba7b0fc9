"""Breakdown: where the time of one warm request goes.

Three clocks, each a median. The client's: from sending a request to having its answer. The
function's own, around its handler and around its inference, in a build of it that has clocks
(guest/profile.py). And one around the provider alone, called in this process with the same
tensors. What lies between two of them is a part: nothing is guessed, but a part that is a
difference carries the noise of both, and a provider called in a loop has warmer caches.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlet.build import PROFILE, Report, alone, build_function, build_graphs, precompiled
from nnlet.client import Client, ModelInfo, Tensor
from nnlet.compiled import composed, models_component
from nnlet.errors import HostError, ToolMissing
from nnlet.host import Address, Provider, Wasmtime, free_port, serve
from nnlet.load import Request, load, warm_up
from nnlet.project import Project

if TYPE_CHECKING:
    from nnlet.carrier import Array

PATH = "/profile"  # guest/profile.py answers it
HANDLER, INFERENCE = "IncomingHandler.handle", "WasiNN.infer"
SECONDS = 0.5  # of a provider called alone


@dataclass(frozen=True)
class Clocks:
    """What a client and the function's own clocks say of one request, medians in ms."""

    client: float
    handler: float
    inference: float  # with the tensors' way to the provider and back


@dataclass(frozen=True)
class Breakdown:
    """The parts of one warm request, in ms; their sum is what the client waits for."""

    clocks: Clocks
    provider: float  # the provider alone

    @property
    def parts(self) -> dict[str, float]:
        """By name, from the inside out."""
        clocks = self.clocks
        return {
            "inference": self.provider,
            "tensor crossing": clocks.inference - self.provider,
            "guest Python": clocks.handler - clocks.inference,
            "host and wire": clocks.client - clocks.handler,
        }

    def as_json(self) -> dict[str, float]:
        """For scripts."""
        keys = {name.replace(" ", "_").lower(): value for name, value in self.parts.items()}
        return keys | {"total": self.clocks.client}


def clocked(project: Project, provider: str, tool: Wasmtime, report: Report) -> Path:
    """Machine code of the function with clocks in it, made where not up to date."""
    with alone(project):
        function = build_function(project, report, PROFILE)
        if provider == "compiled":
            models = models_component(project, report)
            function = composed(project, function, models, report, f"{PROFILE}-function.wasm")
        return precompiled(project, function, tool, report).precompiled


def read_clocks(
    tool: Wasmtime, code: Path, provider: Provider, request: Request, logs: Path, seconds: int
) -> Clocks:
    """Load a function that has clocks from one connection, then ask it for what they say."""
    address = Address(port=free_port())
    with serve(tool, code, address, provider, logs) as server, Client(server.url) as client:
        warm_up(address.port, request, connections=1)
        _read(client)  # forgets what was before all was warm
        seen = load(address.port, request, connections=1, seconds=seconds)
        said = _read(client)
    if not {HANDLER, INFERENCE} <= set(said):
        raise HostError(f"no {HANDLER} and {INFERENCE} at {PATH}: found {', '.join(said)}")
    return Clocks(seen.p50_ms, said[HANDLER], said[INFERENCE])


def _read(client: Client) -> dict[str, float]:
    """The median of each clock in ms, as guest/profile.py prints it."""
    status, body = client.status(PATH)
    if status != 200:
        raise HostError(f"{PATH} answered {status}: {body[:200].decode(errors='replace')}")
    rows = [line.split() for line in body.decode().splitlines()[1:]]
    return {name: float(middle) / 1000 for _, _, middle, name in rows}


def arrays(tensors: Sequence[Tensor]) -> dict[str, Array]:
    """The tensors of a request as NumPy arrays by name."""
    import numpy as np

    from nnlet.carrier import numpy_dtype
    from nnlet.tensor import DATATYPES

    found = {}
    for tensor in tensors:
        dtype = numpy_dtype(DATATYPES[tensor.datatype])
        values = (
            np.frombuffer(tensor.data, dtype)
            if isinstance(tensor.data, bytes)
            else np.array(tensor.data, dtype)
        )
        found[tensor.name] = values.reshape(tensor.shape)
    return found


def provider_ms(
    project: Project, provider: str, model: ModelInfo, inputs: Mapping[str, Array]
) -> float:
    """The provider alone, median of its calls in milliseconds."""
    return _ALONE[provider](project, model, inputs)


def _compiled_ms(project: Project, model: ModelInfo, inputs: Mapping[str, Array]) -> float:
    """The compiled component, run by wasmtime for Python."""
    from nnlet.provider import Provider as Compiled

    component = Compiled(models_component(project).path.read_bytes())
    return 1000 * component.time(model.name, model.versions[-1], inputs, SECONDS)


# A process of its own: OpenVINO starts threads, and its plugins.xml must hold here too.
_OPENVINO = """\
import json, sys, time
from statistics import median
import numpy, openvino
path, inputs, seconds = sys.argv[1], numpy.load(sys.argv[2]), float(sys.argv[3])
compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
request = compiled.create_infer_request()
for name in inputs.files:
    request.set_tensor(name, openvino.Tensor(inputs[name]))
taken, end = [], time.perf_counter() + seconds
while time.perf_counter() < end or len(taken) < 5:
    began = time.perf_counter()
    request.infer()
    taken.append(time.perf_counter() - began)
print(json.dumps(median(taken)))
"""


def _openvino_ms(project: Project, model: ModelInfo, inputs: Mapping[str, Array]) -> float:
    """OpenVINO from the wheel, on the graph that wasmtime hands to it."""
    import numpy as np

    from nnlet.carrier import to_carrier

    graph = build_graphs(project) / f"{model.name}@{model.versions[-1]}" / "model.xml"
    given = project.build / "bench-inputs.npz"
    crossing: dict[str, Any] = {name: to_carrier(array)[1] for name, array in inputs.items()}
    np.savez(given, **crossing)
    words = [sys.executable, "-c", _OPENVINO, str(graph), str(given), str(SECONDS)]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ToolMissing(f"OpenVINO could not be timed alone: {last}")
    return 1000 * float(json.loads(done.stdout))


_ALONE: dict[str, Callable[[Project, ModelInfo, Mapping[str, Any]], float]] = {
    "compiled": _compiled_ms,
    "host": _openvino_ms,
}
