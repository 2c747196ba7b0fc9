"""Every peer by name. `python -m benchmarks.function --peers NAME` measures some of them.

NVIDIA Triton and OpenVINO Model Server come as container images only and are not here.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.peers import Peer, bytes_alone, oip_binary
from benchmarks.peers.fastapi_uvicorn import FastAPI
from benchmarks.peers.framework import Framework
from benchmarks.peers.nnlet_function import Function

OWN = "its own protocol"
BY_HAND = "written by hand"

_FUNCTION = "-m functions_framework --source {app} --target infer --host 127.0.0.1 --port {port}"
_KSERVE = "{app} --http_port {port} --enable_grpc false --enable_latency_logging false"
_BENTO = "-m bentoml serve bentoml_app:Models --working-dir {folder} --host 127.0.0.1 --port {port}"

PEERS: dict[str, Callable[[], Peer]] = {
    "nnlet-compiled": lambda: Function("compiled"),
    "nnlet-compiled-p3": lambda: Function("compiled", "p3"),
    "nnlet-host": lambda: Function("host"),
    "fastapi": lambda: FastAPI(workers=1),
    "fastapi-2-workers": lambda: FastAPI(workers=2),
    "functions-framework": lambda: Framework(
        *("functions-framework", "functions_framework_app.py", _FUNCTION.split(), BY_HAND),
        *(("functions-framework", "flask", "gunicorn"), bytes_alone),
    ),
    "kserve": lambda: Framework(
        *("kserve", "kserve_app.py", _KSERVE.split(), OWN, ("kserve",), oip_binary)
    ),
    "mlserver": lambda: Framework(
        *("mlserver", "mlserver_app.py", ["{app}", "{port}", "{other}"], OWN, ("mlserver",))
    ),
    "litserve": lambda: Framework(
        *("litserve", "litserve_app.py", ["{app}", "{port}"], BY_HAND, ("litserve",))
    ),
    "bentoml": lambda: Framework(
        *("bentoml", "bentoml_app.py", _BENTO.split(), BY_HAND, ("bentoml",))
    ),
}
