"""NonMaxSuppression: https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html"""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.site import INT64, Site


def non_max_suppression(s: Site) -> None:
    """How many boxes are left only the run knows: there is room for all that may be."""
    boxes, scores = s.input(0), s.input(1)
    if boxes.rank != 3 or scores.rank != 3:
        s.fail(f"boxes of rank {boxes.rank} and scores of rank {scores.rank}")
    s.same(boxes.dims[0], scores.dims[0], "batch of boxes and scores")
    s.same(boxes.dims[1], scores.dims[2], "boxes and their scores")
    s.same(boxes.dims[2], 4, "numbers of a box")
    batch, classes, n = scores.dims
    most: Dim = s.read_sizes(2)[0] if s.has_input(2) else 0
    most = d.minimum(d.maximum(most, 0), n)
    s.flush()
    room = s.temporary(INT64, (batch * classes * most, 3))
    heap = s.scratch(INT64, (n,))
    sizes = (batch, classes, n, s.settled(most))
    numbers = [s.pointer(v) if v is not None else "0" for v in (s.optional(3), s.optional(4))]
    center = bool(s.attr("center_point_box", 0))
    call = s.invoke("nms.nms", boxes.dtype, room, heap, boxes, scores, *sizes, *numbers, center)
    count = s.size(call)
    s.alias(0, room, (count, 3))
