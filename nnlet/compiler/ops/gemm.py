"""Packing of constant matrices for gemm.h, at compile time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.graph import Array
from nnlet.compiler.site import Site

# As in gemm.h.
STRIP = 16
DEPTH = 256
ROWS = 128
BLOCK = 7 * 16
PANELS = (8, 4, 1)


def depth(s: Site, k: Dim) -> None:
    """To be called by what uses gemm.h, with the number of products in a sum."""
    if not (isinstance(k, int) and k <= DEPTH):
        s.splits()


def block_dims(k: Dim, n: Dim) -> tuple[Dim, Dim]:
    """Room for a block of b[k, n] that is packed in the run: rows of it are up to two cache lines
    longer than what is in them."""
    return d.minimum(k, DEPTH), d.minimum(n + 2 * STRIP, BLOCK)


def pack_a(a: Array) -> Array:
    """a[m, k] in panels of 8, 4 and 1 rows, each column by column."""
    parts = [a[row : row + rows].T.reshape(-1) for row, rows in panels(a.shape[0])]
    return np.concatenate([*parts, np.zeros(0, a.dtype)])


def panels(m: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each panel."""
    row = 0
    while row < m:
        rows = next(p for p in PANELS if p <= m - row)
        yield row, rows
        row += rows


def pack_b(b: Array) -> Array:
    """b[k, n] in strips of 16 columns, each row by row, zeros up to a multiple of 4 columns."""
    k, n = b.shape
    padded = np.zeros((k, -(-n // 4) * 4), b.dtype)
    padded[:, :n] = b
    parts = [padded[:, j : j + STRIP].reshape(-1) for j in range(0, n, STRIP)]
    return np.concatenate([*parts, np.zeros(0, b.dtype)])
