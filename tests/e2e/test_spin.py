"""Spin itself, where it is on PATH. There, all other tests of this folder run on it, too."""

from __future__ import annotations

from e2e.models import IRIS, as_json, assert_close, read
from e2e.servers import serving
from e2e.wire import Wire


def test_spin_composes_and_serves_what_spin_toml_names() -> None:
    rows = IRIS.rows(3)
    with serving("spin") as server, Wire(server.url) as wire:
        answer = wire.post(IRIS.infer, as_json(IRIS, rows))
    assert_close(read(answer), IRIS.expected(rows))
