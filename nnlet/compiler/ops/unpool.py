"""MaxUnpool: the inverse of MaxPool with its indices."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.window import axis_attr, spatial_rank
from nnlet.compiler.site import Site


def maxunpool(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MaxUnpool.html

    The indices count in the shape that kernel, strides and pads infer; an `output_shape` that
    is larger adds zeros behind, a smaller one cuts (as ONNX's reference does).
    """
    x, indices = s.input(0), s.input(1)
    if x.rank != indices.rank:
        s.fail(f"values of rank {x.rank}, indices of rank {indices.rank}")
    for axis, (a, b) in enumerate(zip(x.dims, indices.dims, strict=True)):
        s.same(a, b, f"dimension {axis} of values and indices")
    inferred = (*x.dims[:2], *_inferred(s))
    dims = inferred if not s.has_input(2) else _output_shape(s)
    y = s.output(0, x.dtype, dims)
    inside = s.invoke("unpool.maxunpool", x.dtype, y, x, indices, x.size, x.rank, inferred, y.dims)
    s.check(inside, "an index is outside the tensor that was pooled")


def _inferred(s: Site) -> list[Dim]:
    sizes = s.input(0).dims[2:]
    kernel = [int(k) for k in s.attr("kernel_shape", [])]
    rank = spatial_rank(s, sizes, kernel)
    strides, pads = axis_attr(s, "strides", rank), axis_attr(s, "pads", 2 * rank, 0)
    return [
        d.maximum((size - 1) * strides[n] - pads[n] - pads[n + rank] + kernel[n], 0)
        for n, size in enumerate(sizes)
    ]


def _output_shape(s: Site) -> tuple[Dim, ...]:
    """The third input, read in the run if nothing is known of it before."""
    rank = s.input(0).rank
    s.same(s.input(2).size, rank, "dimensions in output_shape and in the input")
    known = s.sizes(2)
    if known is not None:
        return known
    pointer = s.pointer(s.input(2))
    dims = tuple(s.size(f"{pointer}[{axis}]") for axis in range(rank))
    for dim in dims:
        s.check(f"{d.c(dim)} >= 0", "output_shape has the dimension %d", d.c(dim))
    s.flush()  # the dimensions are known before memory is taken for the output
    return dims
