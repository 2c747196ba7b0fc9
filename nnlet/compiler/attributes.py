"""What a node says, for code that reads attributes and makes anything of them."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol


class Attributes(Protocol):
    """A node on its way to become C (compiler/site.py) or plain ONNX (plain/builder.py)."""

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where the node has none."""

    def fail(self, message: str) -> NoReturn:
        """Raises for a node that contradicts itself, which it names."""
