"""MaxRoiPool: max pooling over regions of interest."""

from __future__ import annotations

from nnlet.compiler.site import Site


def maxroipool(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html"""
    x, rois = s.input(0), s.input(1)
    bins = [int(b) for b in s.attr("pooled_shape", [])]
    if x.rank != 4 or rois.rank != 2 or len(bins) != 2 or min(bins) < 1:
        s.fail("an input of rank 4, regions of rank 2 and two bins expected")
    s.same(rois.dims[1], 5, "numbers of a region")
    y = s.output(0, x.dtype, (rois.dims[0], x.dims[1], *bins))
    scale = float(s.attr("spatial_scale", 1.0))
    args = (y, x, rois, rois.dims[0], *x.dims, *bins, scale)
    s.check(s.invoke("roi.maxroipool", x.dtype, *args), "a region is of no image in the batch")
