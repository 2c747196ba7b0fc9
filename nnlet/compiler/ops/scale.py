"""What Resize and Upsample take in: for each axis its new size, its scale and its region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler import reals
from nnlet.compiler.ctext import literal
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import Value
from nnlet.compiler.reals import Real
from nnlet.compiler.site import FP32, Site


@dataclass(frozen=True)
class Cell:
    """An element of a tensor that only the run knows."""

    value: Value
    index: int


Number = Union[float, Real, Cell]  # noqa: UP007


@dataclass(frozen=True)
class Axis:
    """One axis to resize, from size `before` to size `after`."""

    axis: int
    before: Dim
    after: Dim
    scale: Number
    start: Number  # of the region of tf_crop_and_resize
    end: Number


def text(s: Site, number: Number) -> str:
    """C text of a number, in the step that uses it."""
    if isinstance(number, Cell):
        return f"{s.pointer(number.value)}[{number.index}]"
    return str(number) if isinstance(number, Real) else literal(number, FP32)


def by_scales(s: Site, index: int, axes: Sequence[int]) -> list[Axis]:
    """From scales, an input; before opset 9 an attribute."""
    x = s.input(0)
    scales: Sequence[Number] = s.attr("scales") or _numbers(s.input(index))
    if len(scales) != len(axes):
        s.fail(f"{len(scales)} scales for {len(axes)} axes")
    sizes = [_scaled(s, x.dims[axis], scale) for axis, scale in zip(axes, scales, strict=True)]
    return _axes(s, axes, sizes, scales)


def by_sizes(s: Site, index: int, axes: Sequence[int]) -> list[Axis]:
    """From sizes, an input."""
    x, sizes = s.input(0), s.read_sizes(index)
    if len(sizes) != len(axes):
        s.fail(f"{len(sizes)} sizes for {len(axes)} axes")
    scales = [_ratio(size, x.dims[axis]) for axis, size in zip(axes, sizes, strict=True)]
    policy = str(s.attr("keep_aspect_ratio_policy", "stretch"))
    if policy not in ("stretch", "not_larger", "not_smaller"):
        s.unsupported(f"keep_aspect_ratio_policy '{policy}'")
    if policy != "stretch":
        scales = [_extreme(scales, "fminf" if policy == "not_larger" else "fmaxf")] * len(axes)
        sizes = tuple(_scaled(s, x.dims[axis], scales[0], half=0.5) for axis in axes)
    return _axes(s, axes, sizes, scales)


def _axes(
    s: Site, axes: Sequence[int], sizes: Sequence[Dim], scales: Sequence[Number]
) -> list[Axis]:
    count = len(axes)
    region = s.optional(1) if s.opset >= 11 else None
    if region is None or region.size == 0:
        starts: Sequence[Number] = [0.0] * count
        ends: Sequence[Number] = [1.0] * count
    else:
        numbers = _numbers(region)
        if len(numbers) != 2 * count:
            s.fail(f"{len(numbers)} numbers of a region of {count} axes")
        starts, ends = numbers[:count], numbers[count:]
    dims = s.input(0).dims
    return [
        Axis(axis, dims[axis], size, scale, start, end)
        for axis, size, scale, start, end in zip(axes, sizes, scales, starts, ends, strict=True)
    ]


def _numbers(value: Value) -> Sequence[Number]:
    content = value.content
    if content is not None:
        return [float(x) for x in content.reshape(-1)]
    if value.ints is not None:
        return [x for x in value.ints if isinstance(x, Real)]
    assert isinstance(value.size, int)
    return [Cell(value, k) for k in range(value.size)]


def _scaled(s: Site, size: Dim, scale: Number, half: float = 0.0) -> Dim:
    """floor(size * scale + half), in float32 as onnxruntime does it."""
    if isinstance(scale, float) and isinstance(size, int):
        return int(np.floor(np.float32(size) * np.float32(scale) + np.float32(half)))
    if isinstance(scale, Cell):
        number = f"(f32){d.c(size)} * {text(s, scale)} + {literal(half, FP32)}"
        return s.size(f"nn_as_size(nn_to_i64(floorf({number})))")
    factor = scale if isinstance(scale, Real) else reals.of_number(scale, FP32)
    product = reals.multiply(reals.of_size(size, FP32), factor)
    if half:
        product = reals.add(product, reals.of_number(half, FP32))
    return reals.to_size(reals.floor(product))


def _ratio(size: Dim, before: Dim) -> Number:
    """The scale that makes `size` of `before`."""
    if isinstance(size, int) and isinstance(before, int):
        return float(np.float32(size) / np.float32(max(before, 1)))
    return reals.divide(reals.of_size(size, FP32), reals.of_size(before, FP32))


def _extreme(scales: Sequence[Number], function: str) -> Number:
    """The smallest (fminf) or largest scale."""
    numbers = [x for x in scales if isinstance(x, float)]
    if len(numbers) == len(scales):
        return min(numbers) if function == "fminf" else max(numbers)
    best, *rest = (literal(x, FP32) if isinstance(x, float) else str(x) for x in scales)
    for scale in rest:
        best = f"{function}({best}, {scale})"
    return Real(best, FP32)
