"""The component's entry: imports the function lean, then makes its memory ready to be kept.

componentize-py runs this module once, at build time, and keeps the interpreter as it is
afterwards: imports, catalogue and /openapi.json are paid for then.
"""

from __future__ import annotations

from nnlet.lean import import_all, lean_imports

with lean_imports():
    # componentize-py imports all bindings in the end, used or not.
    import_all("wit_world.imports")
    import_all("wit_world.exports")
    import nnlet.guest.snapshot

# What app.py imports is the real thing, so it comes after the block; so does all of the above
# again if it wants more than the stand-ins.
import nnlet.guest.snapshot  # noqa: E402
from app import app  # noqa: E402
from nnlet.guest.http import IncomingHandler  # noqa: E402

__all__ = ["IncomingHandler"]

nnlet.guest.snapshot.prepare(app)
