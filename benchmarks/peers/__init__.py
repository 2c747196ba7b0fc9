"""The servers that are compared: one file each, one line each in PEERS (table.py).

A new peer is a class with these methods, or a server that framework.py can start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from benchmarks.served import Served
from nnlet.load import Request
from nnlet.process import Child


class Unavailable(Exception):
    """A peer that cannot be made here. The message says why."""


class Peer(Protocol):
    """A server under comparison. It may be made before it is known to be installed."""

    json_route: str
    """Whose JSON it is: the framework's own Open Inference Protocol, or written by hand."""

    offers_raw: bool
    """Whether `raw` gives a request."""

    def prepare(self, models: Path, work: Path) -> None:
        """What a user does once before serving the repository `models`. Not timed.

        Raises Unavailable if it cannot be installed.
        """

    def start(self, port: int, log: Path) -> Child:
        """Spawn the server on 127.0.0.1 and return at once, ready or not. Timed."""

    def raw(self, model: Served) -> Request | None:
        """One row as raw bytes, by the quickest way that this server offers, if it has one."""

    def json(self, model: Served) -> Request:
        """One row as JSON of the Open Inference Protocol."""

    def component(self) -> Path | None:
        """The one file that is deployed, if there is such a file."""

    def versions(self) -> dict[str, str]:
        """What it is made of."""


JSON = ("Content-Type", "application/json")


def oip_json(model: Served) -> Request:
    """The JSON request that any server of the Open Inference Protocol understands."""
    return Request(f"/v2/models/{model.name}/infer", model.json, (JSON,))


def oip_binary(model: Served) -> Request:
    """The protocol's binary tensors, both ways: a JSON header, then the row's bytes."""
    asked = json.loads(model.json)
    (tensor,) = asked["inputs"]
    del tensor["data"]
    tensor["parameters"] = {"binary_data_size": len(model.raw)}
    header = json.dumps(asked | {"parameters": {"binary_data_output": True}}).encode()
    length = ("Inference-Header-Content-Length", str(len(header)))
    binary = ("Content-Type", "application/octet-stream")
    return Request(f"/v2/models/{model.name}/infer", header + model.raw, (binary, length))


def bytes_alone(model: Served) -> Request:
    """The row's bytes at the route that the servers written by hand have for them."""
    return Request(f"/raw/{model.name}", model.raw)
