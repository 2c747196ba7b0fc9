"""The component's entry on WASI 0.3: see entry.py, whose twin this is."""

from __future__ import annotations

from nnlet.lean import import_all, lean_imports

with lean_imports():
    import_all("wit_world.imports")
    import_all("wit_world.exports")
    import nnlet.guest.snapshot

import nnlet.guest.snapshot  # noqa: E402
from app import app  # noqa: E402
from nnlet.guest.http_p3 import HttpHandler  # noqa: E402

__all__ = ["HttpHandler"]

nnlet.guest.snapshot.prepare(app)
