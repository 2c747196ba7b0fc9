"""Progress, apart from the results."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)
