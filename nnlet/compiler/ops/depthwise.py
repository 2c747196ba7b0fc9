"""Room for depthwise.c, in floats and in integers."""

from __future__ import annotations

from collections.abc import Sequence

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.window import Window
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES

BLOCK = 16  # depthwise.c: DEPTHWISE_BLOCK


def depthwise_scratch(s: Site, axes: Sequence[Window], w: Value) -> tuple[Dim, Value, Value]:
    """The length of a row of the copy of a channel, the copy, and an offset for each tap."""
    last = axes[-1]
    # Outputs in blocks, and as far as the last tap is away.
    blocks = d.ceildiv(last.out, BLOCK) * BLOCK
    span = blocks + d.floordiv((last.kernel - 1) * last.dilation, last.stride)
    rows = d.product(a.reach for a in axes[:-1])
    copy = s.scratch(FP32, (rows, last.stride, span))
    return span, copy, s.scratch(DATATYPES["INT32"], w.dims[2:])
