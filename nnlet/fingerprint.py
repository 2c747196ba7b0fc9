"""Fingerprints: a product is made again when what it is made from has changed, never else.

Contents are compared, not dates, so a fresh clone or a `touch` rebuilds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def fingerprint(root: Path, files: Iterable[Path], *words: str) -> str:
    """One digest over `files`, by their names from `root` and contents, and over `words`."""
    whole = hashlib.sha256()
    for path in sorted(set(files)):
        whole.update(f"{os.path.relpath(path, root)}\0{_digest(path)}\0".encode())
    whole.update("\0".join(words).encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    """sha256 in hex, a chunk at a time: a model can be large."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_fresh(product: Path, key: str) -> bool:
    """Whether `product` stands and was made from what `key` was taken of."""
    stamp = _stamp(product)
    return product.exists() and stamp.exists() and stamp.read_text() == key


def mark_fresh(product: Path, key: str) -> None:
    """Remember what a finished `product` was made from."""
    _stamp(product).write_text(key)


def forget(product: Path) -> None:
    """Make `product` stale; called before work on it begins, in case that is cut short."""
    _stamp(product).unlink(missing_ok=True)


def _stamp(product: Path) -> Path:
    return product.with_name(f"{product.name}.key")
