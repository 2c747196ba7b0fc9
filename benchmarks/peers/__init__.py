"""The servers that are compared: one file each, one line each in PEERS (table.py).

A new peer (KServe, MLServer, LitServe, BentoML, ...) is one class with these methods.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from benchmarks.served import Served
from nnlet.load import Request
from nnlet.process import Child


class Peer(Protocol):
    """A server under comparison. It may be made before it is known to be installed."""

    def prepare(self, models: Path, work: Path) -> None:
        """What a user does once before serving the repository `models`. Not timed."""

    def start(self, port: int, log: Path) -> Child:
        """Spawn the server on 127.0.0.1 and return at once, ready or not. Timed."""

    def raw(self, model: Served) -> Request:
        """One row as raw bytes, by the quickest way that this server offers."""

    def json(self, model: Served) -> Request:
        """One row as JSON of the Open Inference Protocol."""

    def component(self) -> Path | None:
        """The one file that is deployed, if there is such a file."""

    def versions(self) -> dict[str, str]:
        """What it is made of."""


def oip_json(model: Served) -> Request:
    """The JSON request that any server of the Open Inference Protocol understands."""
    path = f"/v2/models/{model.name}/infer"
    return Request(path, model.json, (("Content-Type", "application/json"),))
