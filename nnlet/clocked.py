"""The component's entry for `nnlet bench`: the function as entry.py makes it, with clocks in it."""

from __future__ import annotations

from nnlet import entry
from nnlet.guest.profile import IncomingHandler

__all__ = ["IncomingHandler", "entry"]
