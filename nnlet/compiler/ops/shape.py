"""Operators that give the same elements another shape, or tell it: no code, no copy."""

from __future__ import annotations

from collections.abc import Sequence

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.site import INT64, Site

NO_FIT = "the axes do not fit the input"


def identity(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Identity.html"""
    s.alias(0, s.input(0), s.input(0).dims)


def shape(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Shape.html"""
    s.known(0, INT64, s.input(0).dims[s.attr("start", 0) : s.attr("end")])


def size(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Size.html"""
    s.known(0, INT64, [s.input(0).size], rank=0)


def flatten(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Flatten.html"""
    x = s.input(0)
    axis = int(s.attr("axis", 1))
    if not -x.rank <= axis <= x.rank:
        s.fail(f"axis {axis} is outside a tensor of rank {x.rank}")
    axis = axis + x.rank if axis < 0 else axis
    s.alias(0, x, (product(x.dims[:axis]), product(x.dims[axis:])))


def reshape(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Reshape.html"""
    x = s.input(0)
    wanted = s.read_sizes(1)
    copies = not s.attr("allowzero", 0)  # 0 stands for the input's size
    # What shape arithmetic gives cannot be -1, and is 0 only where the tensor is empty.
    if not all(isinstance(dim, int) or d.nonnegative(dim) for dim in wanted):
        texts = (_list(wanted), len(wanted), _list(x.dims), x.rank, copies)
        sizes = _in_run(s, "reshaped", texts, len(wanted), "the new shape does not fit the input")
        fixed = [d.nonnegative(dim) and dim != 0 for dim in wanted]
        s.alias(0, x, [a if keep else b for keep, a, b in zip(fixed, wanted, sizes, strict=True)])
        return
    dims = [
        _copied(s, x.dims, axis) if copies and dim == 0 else dim for axis, dim in enumerate(wanted)
    ]
    if dims.count(-1) > 1:
        s.fail("more than one dimension of -1")
    if -1 in dims:
        rest = product(dim for dim in dims if dim != -1)
        dims[dims.index(-1)] = d.floordiv(x.size, rest)
    y = s.alias(0, x, dims)
    s.same(y.size, x.size, "elements before and after")


def _copied(s: Site, dims: Sequence[Dim], axis: int) -> Dim:
    if axis >= len(dims):
        s.fail(f"dimension {axis} is copied from an input of rank {len(dims)}")
    return dims[axis]


def squeeze(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Squeeze.html"""
    x = s.input(0)
    axes = _axes(s)
    if axes is None:
        # Sizes that only the run knows are taken for more than 1: the rank must be known now.
        axes = [axis for axis, dim in enumerate(x.dims) if dim == 1]
        for axis, dim in enumerate(x.dims):
            if not isinstance(dim, int):
                at = d.c(dim)
                s.check(f"{at} != 1", f"dimension {axis} is 1: name the axes to squeeze")
    if d.static(axes):
        gone = {s.wrap(int(axis), x.rank) for axis in axes}  # type: ignore[arg-type]
        if len(gone) != len(axes):
            s.fail(f"an axis is given twice: {axes}")
        for axis in gone:
            s.same(x.dims[axis], 1, f"dimension {axis}, to be squeezed,")
        s.alias(0, x, [dim for axis, dim in enumerate(x.dims) if axis not in gone])
    else:
        given = (_list(x.dims), x.rank, _list(axes), len(axes))
        s.alias(0, x, _in_run(s, "squeezed", given, x.rank - len(axes), NO_FIT))


def unsqueeze(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Unsqueeze.html"""
    x = s.input(0)
    axes = _axes(s)
    if axes is None:
        s.fail("no axes are given")
    rank = x.rank + len(axes)
    if d.static(axes):
        new = {s.wrap(int(axis), rank) for axis in axes}  # type: ignore[arg-type]
        if len(new) != len(axes):
            s.fail(f"an axis is given twice: {axes}")
        rest = iter(x.dims)
        s.alias(0, x, [1 if axis in new else next(rest) for axis in range(rank)])
    else:
        given = (_list(x.dims), x.rank, _list(axes), len(axes))
        s.alias(0, x, _in_run(s, "unsqueezed", given, rank, NO_FIT))


def _axes(s: Site) -> Sequence[Dim] | None:
    if s.node.attrs.get("axes") is not None:
        return [int(axis) for axis in s.attr("axes")]
    return s.read_sizes(1) if s.has_input(1) else None


def _in_run(s: Site, rule: str, given: Sequence[str | int], rank: int, message: str) -> list[Dim]:
    """The shape that only the run can know: a call of ops/shape.c a dimension."""
    if rank < 0:
        s.fail(message)
    # Where there is no dimension, the first call still tells whether the shape is one.
    places = range(max(rank, 1))
    dims: list[Dim] = [s.size(s.invoke(f"shape.{rule}", (), at, *given)) for at in places]
    for dim in dims:
        s.check(f"{d.c(dim)} >= 0", message)
    return dims[:rank]


def check_axes(s: Site, axes: Sequence[Dim], rank: int) -> None:
    """Requires axes that only the run knows to be those of a tensor of `rank`."""
    for axis in axes:
        text = d.c(axis)
        s.check(f"{text} >= {-rank} && {text} < {rank}", "there is no axis %d", text)


def pick(
    s: Site, axis: int, rank: int, axes: Sequence[Dim], values: Sequence[Dim], otherwise: int
) -> Dim:
    """The value that belongs to `axis` where only the run knows the order of the axes."""
    given = (_list(axes), _list(values), len(axes), rank, otherwise)
    return s.integer(s.invoke("shape.picked", (), axis, *given))


def _list(sizes: Sequence[Dim]) -> str:
    return f"(const i64[]){{{', '.join(d.c(dim) for dim in sizes) or '0'}}}"
