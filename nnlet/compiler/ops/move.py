"""Operators that copy elements elsewhere: Transpose, Concat, Split, Expand, Tile, ..."""

from __future__ import annotations

from collections.abc import Sequence

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.ops import strided
from nnlet.compiler.ops.strided import Loop, strides
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site


def transpose(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Transpose.html"""
    x = s.input(0)
    perm = [int(axis) for axis in s.attr("perm", range(x.rank)[::-1])]
    if sorted(perm) != list(range(x.rank)):
        s.fail(f"perm {perm} does not fit a tensor of rank {x.rank}")
    permute(s, x, x.dims, perm, [x.dims[axis] for axis in perm])


def permute(
    s: Site, x: Value, dims: Sequence[Dim], perm: Sequence[int], result: Sequence[Dim]
) -> None:
    """Output 0: x, seen with the shape `dims`, permuted, and seen with the shape `result`."""
    moved = [axis for axis in perm if dims[axis] != 1]
    if moved == sorted(moved):
        s.alias(0, x, result)
        return
    y = s.output(0, x.dtype, result)
    new, old = [dims[axis] for axis in perm], strides(dims)
    to = strides(new)
    loops = [Loop(new[k], to[k], old[axis]) for k, axis in enumerate(perm)]
    strided.copy(s, y, x, loops)


def depth_to_space(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DepthToSpace.html"""
    x, block = s.input(0), int(s.attr("blocksize"))
    n, c, h, w = _image(s)
    depth = d.floordiv(c, block * block)
    s.same(depth * (block * block), c, "channels and a multiple of blocksize * blocksize")
    dims: tuple[Dim, ...]
    if s.attr("mode", "DCR") == "DCR":
        dims, perm = (n, block, block, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        dims, perm = (n, depth, block, block, h, w), (0, 1, 4, 2, 5, 3)
    permute(s, x, dims, perm, (n, depth, h * block, w * block))


def space_to_depth(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html"""
    x, block = s.input(0), int(s.attr("blocksize"))
    n, c, h, w = _image(s)
    rows, columns = d.floordiv(h, block), d.floordiv(w, block)
    s.same(rows * block, h, "height and a multiple of blocksize")
    s.same(columns * block, w, "width and a multiple of blocksize")
    dims = (n, c, rows, block, columns, block)
    perm = (0, 3, 5, 1, 2, 4) if s.attr("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    permute(s, x, dims, perm, (n, c * (block * block), rows, columns))


def _image(s: Site) -> tuple[Dim, ...]:
    dims = s.input(0).dims
    if len(dims) != 4:
        s.fail(f"the input should have rank 4, not {len(dims)}")
    return dims


def concat(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Concat.html"""
    parts = [s.input(n) for n in range(s.input_count)]
    first = parts[0]
    axis = s.axis(1, first.rank)
    for part in parts[1:]:
        if part.rank != first.rank:
            s.fail(f"inputs of rank {first.rank} and {part.rank}")
        for k in range(first.rank):
            if k != axis:
                s.same(part.dims[k], first.dims[k], f"dimension {k} of the inputs")
    if len(parts) == 1:
        s.alias(0, first, first.dims)
        return
    total: Dim = 0
    for part in parts:
        total = total + part.dims[axis]
    y = s.output(0, first.dtype, (*first.dims[:axis], total, *first.dims[axis + 1 :]))
    outer, inner = product(first.dims[:axis]), product(first.dims[axis + 1 :])
    start: Dim = 0
    for part in parts:
        run = part.dims[axis] * inner
        if run != 0:
            strided.copy(s, y, part, [Loop(outer, total * inner, run), Loop(run, 1, 1)], start)
        start = start + run


def split(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Split.html"""
    x = s.input(0)
    axis = s.axis(0, x.rank)
    sizes = _split_sizes(s, x.dims[axis])
    outer, inner = product(x.dims[:axis]), product(x.dims[axis + 1 :])
    row = x.dims[axis] * inner
    at: Dim = 0
    for n, size in enumerate(sizes):
        dims = (*x.dims[:axis], size, *x.dims[axis + 1 :])
        if outer == 1:
            s.alias(n, x, dims, at)
        elif s.has_output(n):
            y = s.output(n, x.dtype, dims)
            run = size * inner
            strided.copy(s, y, x, [Loop(outer, run, row), Loop(run, 1, 1)], at=at)
        at = at + size * inner


def _split_sizes(s: Site, dim: Dim) -> Sequence[Dim]:
    """From attribute or input; else equal parts, the last perhaps smaller."""
    sizes: Sequence[Dim] | None = s.attr("split")
    if sizes is None and s.has_input(1):
        sizes = s.read_sizes(1)
    if sizes is None:
        count = int(s.attr("num_outputs", len(s.node.outputs)))
        if count != len(s.node.outputs):
            s.fail(f"num_outputs is {count}: it has {len(s.node.outputs)} outputs")
        size = d.ceildiv(dim, count)
        rests = [d.maximum(dim - size * n, 0) for n in range(count)]
        return [d.minimum(size, rest) for rest in rests]
    total: Dim = 0
    for size in sizes:
        total = total + size
        if not d.nonnegative(size):
            s.check(f"{d.c(size)} >= 0", "a part of size %d", d.c(size))
    s.same(total, dim, "the sum of the parts and the dimension to split")
    s.flush()
    return sizes


def expand(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Expand.html"""
    x = s.input(0)
    dims = s.broadcast((x.dims, s.read_sizes(1)))
    s.flush()
    if dims == x.dims:
        s.alias(0, x, dims)
        return
    y = s.output(0, x.dtype, dims)
    own = (1,) * (y.rank - x.rank) + x.dims
    loops = []
    for size, mine, to, at in zip(y.dims, own, strides(y.dims), strides(own), strict=True):
        if mine != size and mine != 1:  # the run knows whether it repeats
            at = s.integer(f"{d.c(mine)} == 1 ? 0 : {d.c(at)}")
        loops.append(Loop(size, to, 0 if mine == 1 else at))
    strided.copy(s, y, x, loops)


def tile(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Tile.html"""
    x, repeats = s.input(0), s.read_sizes(1)
    if len(repeats) != x.rank:
        s.fail(f"{len(repeats)} repeats for a tensor of rank {x.rank}")
    dims = [dim * times for dim, times in zip(x.dims, repeats, strict=True)]
    if dims == list(x.dims):
        s.alias(0, x, dims)
        return
    y = s.output(0, x.dtype, dims)
    loops = []
    for dim, times, to, at in zip(x.dims, repeats, strides(dims), strides(x.dims), strict=True):
        loops += [Loop(times, to * dim, 0), Loop(dim, to, at)]
    strided.copy(s, y, x, loops)


def trilu(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Trilu.html"""
    x = s.input(0)
    if x.rank < 2:
        s.fail(f"the input should have rank 2 or more, not {x.rank}")
    diagonal = s.read_sizes(1)[0] if s.has_input(1) else 0
    y = s.output(0, x.dtype, x.dims)
    kernel = "move.triu" if s.attr("upper", 1) else "move.tril"
    outer, (rows, columns) = product(x.dims[:-2]), x.dims[-2:]
    s.call(kernel, s.bits(x.dtype), s.raw(y), s.raw(x), outer, rows, columns, diagonal)


def reverse_sequence(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__ReverseSequence.html"""
    x, lengths = s.input(0), s.input(1)
    batch_axis, time_axis = int(s.attr("batch_axis", 1)), int(s.attr("time_axis", 0))
    if {batch_axis, time_axis} != {0, 1} or x.rank < 2:
        s.fail(f"batch_axis {batch_axis} and time_axis {time_axis} should be 0 and 1")
    s.same(lengths.size, x.dims[batch_axis], "sequence lengths and batch")
    y = s.output(0, x.dtype, x.dims)
    inner = product(x.dims[2:])
    batch, time = x.dims[batch_axis], x.dims[time_axis]
    steps = (inner, batch * inner) if time_axis == 0 else (time * inner, inner)
    args = (s.raw(y), s.raw(x), lengths, batch, time, inner, *steps)
    s.check(
        s.invoke("reverse.reverse_sequence", (s.bits(x.dtype), lengths.dtype), *args),
        "a sequence length is outside 0 to %d",
        d.c(time),
    )
