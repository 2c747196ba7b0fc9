"""Sampling images: GridSample, AffineGrid, RoiAlign, Col2Im."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.site import Site

SAMPLED = {"nearest": 0, "bilinear": 1, "linear": 1, "bicubic": 2, "cubic": 2}
PADDINGS = ("zeros", "border", "reflection")  # in the order of grid.c


def grid_sample(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__GridSample.html"""
    x, grid = s.input(0), s.input(1)
    mode = str(s.attr("mode", "bilinear" if s.opset < 20 else "linear"))
    padding = str(s.attr("padding_mode", "zeros"))
    if mode not in SAMPLED or padding not in PADDINGS:
        s.unsupported(f"mode '{mode}' with padding_mode '{padding}'")
    if x.rank < 3 or grid.rank != x.rank:
        s.fail(f"an input of rank {x.rank} and a grid of rank {grid.rank}")
    s.same(grid.dims[0], x.dims[0], "batch of input and grid")
    s.same(grid.dims[-1], x.rank - 2, "numbers in a place of the grid and dimensions")
    y = s.output(0, x.dtype, (*x.dims[:2], *grid.dims[1:-1]))
    sizes = (*x.dims[:2], product(grid.dims[1:-1]), x.rank - 2, x.dims[2:])
    how = (SAMPLED[mode], PADDINGS.index(padding), bool(s.attr("align_corners", 0)))
    s.call("grid.grid_sample", (x.dtype, grid.dtype), y, x, grid, *sizes, *how)


def affine_grid(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__AffineGrid.html"""
    theta, size = s.input(0), s.read_sizes(1)
    n, _, *image = size
    rank = len(image)
    if theta.rank != 3 or rank not in (2, 3):
        s.fail(f"theta of rank {theta.rank} for {rank} dimensions")
    s.same(theta.dims[0], n, "batch of theta and size")
    s.same(theta.dims[1], rank, "rows of theta and dimensions")
    s.same(theta.dims[2], rank + 1, "columns of theta and dimensions + 1")
    s.flush()
    y = s.output(0, theta.dtype, (n, *image, rank))
    sizes = (y.dims[0], product(y.dims[1:-1]), rank, y.dims[1:-1])
    s.call("affine.affine_grid", theta.dtype, y, theta, *sizes, bool(s.attr("align_corners", 0)))


def roi_align(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__RoiAlign.html"""
    x, regions, batches = s.input(0), s.input(1), s.input(2)
    mode = str(s.attr("mode", "avg"))
    coordinates = "output_half_pixel" if s.opset < 16 else "half_pixel"
    coordinates = str(s.attr("coordinate_transformation_mode", coordinates))
    if mode not in ("avg", "max") or coordinates not in ("half_pixel", "output_half_pixel"):
        s.unsupported(f"mode '{mode}' with coordinate_transformation_mode '{coordinates}'")
    if x.rank != 4 or regions.rank != 2:
        s.fail(f"an input of rank {x.rank} and regions of rank {regions.rank}")
    s.same(regions.dims[1], 4, "numbers of a region")
    s.same(regions.dims[0], batches.size, "regions and their batch indices")
    rows, columns = int(s.attr("output_height", 1)), int(s.attr("output_width", 1))
    y = s.output(0, x.dtype, (regions.dims[0], x.dims[1], rows, columns))
    sizes = (regions.dims[0], *x.dims, rows, columns)
    how = (
        int(s.attr("sampling_ratio", 0)),
        float(s.attr("spatial_scale", 1.0)),
        coordinates == "half_pixel",
        mode == "max",
    )
    types = (x.dtype, batches.dtype)
    inside = s.invoke("roialign.roi_align", types, y, x, regions, batches, *sizes, *how)
    s.check(inside, "a batch index is outside a batch of %d", d.c(x.dims[0]))


def col2im(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Col2Im.html"""
    x, image, block = s.input(0), s.read_sizes(1), s.read_sizes(2)
    rank = len(image)
    if x.rank != 3 or len(block) != rank:
        s.fail(f"an input of rank {x.rank}, {rank} sizes and {len(block)} of a block")
    strides = [int(n) for n in s.attr("strides", [1] * rank)]
    dilations = [int(n) for n in s.attr("dilations", [1] * rank)]
    pads = [int(n) for n in s.attr("pads", [0] * 2 * rank)]
    if not len(strides) == len(dilations) == len(pads) // 2 == rank or min(strides) < 1:
        s.fail("strides, dilations and pads do not fit the image")
    for size in block:
        s.check(f"{d.c(size)} > 0", "a block of size %d", d.c(size))
    s.flush()
    columns: list[Dim] = []
    for k in range(rank):
        room = image[k] + pads[k] + pads[rank + k] - (block[k] - 1) * dilations[k] - 1
        columns.append(d.maximum(d.floordiv(room, strides[k]) + 1, 0))
    s.same(product(columns), x.dims[2], "the number of blocks")
    channels = d.floordiv(x.dims[1], product(block))
    s.same(channels * product(block), x.dims[1], "channels times the size of a block")
    s.flush()
    y = s.output(0, x.dtype, (x.dims[0], channels, *image))
    sizes = (product(y.dims[:2]), rank, y.dims[2:], block, columns)
    s.call("col2im.col2im", x.dtype, y, x, *sizes, strides, dilations, pads[:rank])
