"""Resize and Upsample.

Every axis is resized on its own: a table says for each index of the output which elements of
the input it is made of, and with which weights. Tables depend on sizes only, so a run makes
each once, whatever batch and channels are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim, product
from nnlet.compiler.ops.scale import Axis, by_scales, by_sizes, text
from nnlet.compiler.ops.table import take
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DATATYPES, DataType

INT32, FP64 = DATATYPES["INT32"], DATATYPES["FP64"]

# In the order of resize_table.c.
COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "asymmetric",
    "align_corners",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")
REACH = {"nearest": 0, "linear": 1, "cubic": 2}  # elements to either side


@dataclass(frozen=True)
class Method:
    """How values are made, from the attributes."""

    mode: str
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    outside: float = 0.0  # what lies outside the region of tf_crop_and_resize

    @property
    def reach(self) -> int:
        return REACH[self.mode]

    @property
    def crops(self) -> bool:
        return self.coordinates == "tf_crop_and_resize"


def resize(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Resize.html"""
    rank = s.input(0).rank
    if s.opset < 11:
        _resize(s, _old_method(s), by_scales(s, 1, range(rank)))
        return
    method = Method(
        mode=str(s.attr("mode", "nearest")),
        coordinates=str(s.attr("coordinate_transformation_mode", "half_pixel")),
        rounding=str(s.attr("nearest_mode", "round_prefer_floor")),
        cubic_a=float(s.attr("cubic_coeff_a", -0.75)),
        exclude_outside=bool(s.attr("exclude_outside", 0)),
        antialias=bool(s.attr("antialias", 0)),
        outside=float(s.attr("extrapolation_value", 0.0)),
    )
    axes = [s.wrap(int(axis), rank) for axis in s.attr("axes", range(rank))]
    if _given(s, 3):
        _resize(s, method, by_sizes(s, 3, axes))
    elif _given(s, 2):
        _resize(s, method, by_scales(s, 2, axes))
    else:
        s.fail("neither scales nor sizes are given")


def upsample(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Upsample.html"""
    _resize(s, _old_method(s), by_scales(s, 1, range(s.input(0).rank)))


def _old_method(s: Site) -> Method:
    """Before opset 11 the text leaves open how coordinates map: this is what onnxruntime does."""
    return Method(str(s.attr("mode", "nearest")), "asymmetric", "simple")


def _given(s: Site, index: int) -> bool:
    """Whether an input is there and not the empty tensor that stands for none."""
    value = s.optional(index)
    return value is not None and value.size != 0


def _resize(s: Site, method: Method, axes: Sequence[Axis]) -> None:
    _check(s, method)
    x = s.input(0)
    moving = sorted((a for a in axes if _moves(a, method)), key=lambda a: a.axis)
    taps = [_taps(s, method, axis) for axis in moving]
    s.flush()
    dims = list(x.dims)
    for axis in axes:
        dims[axis.axis] = axis.after
    if not moving:
        s.alias(0, x, dims)
        return
    y = s.output(0, x.dtype, dims)
    if not d.nonnegative(x.size - 1):
        s.check(f"{d.c(x.size)} > 0 || {d.c(y.size)} == 0", "an empty tensor cannot be resized")
    if method.reach or method.crops:
        _weighted(s, method, y, moving, taps)
    else:
        _nearest(s, method, y, moving)


def _check(s: Site, method: Method) -> None:
    if method.mode not in REACH:
        s.unsupported(f"mode '{method.mode}'")
    if method.coordinates not in COORDINATES:
        s.unsupported(f"coordinate_transformation_mode '{method.coordinates}'")
    if method.rounding not in ROUNDINGS:
        s.unsupported(f"nearest_mode '{method.rounding}'")


def _moves(axis: Axis, method: Method) -> bool:
    """Whether anything happens along the axis."""
    return method.crops or axis.before != axis.after or axis.scale != 1.0


def _taps(s: Site, method: Method, axis: Axis) -> Dim:
    """How many elements of the input an element of the output is made of."""
    if not method.antialias or not method.reach:
        return max(2 * method.reach, 1)
    return s.size(s.invoke("resize_table.resize_taps", FP32, text(s, axis.scale), method.reach))


def _nearest(s: Site, method: Method, y: Value, axes: Sequence[Axis]) -> None:
    """Elements move as they are, whatever their type."""
    tables: list[Value | None] = [None] * y.rank
    for axis in axes:
        table = s.scratch(INT32, (y.dims[axis.axis],))
        tables[axis.axis] = table
        s.call("resize_table.resize_nearest", FP32, table, *_geometry(s, method, y, axis))
    take(s, y, s.input(0), tables)


def _geometry(s: Site, method: Method, y: Value, axis: Axis) -> tuple[Dim | str, ...]:
    """The first arguments of what makes a table."""
    numbers = [text(s, number) for number in (axis.scale, axis.start, axis.end)]
    modes = COORDINATES.index(method.coordinates), ROUNDINGS.index(method.rounding)
    return (y.dims[axis.axis], axis.before, *numbers, *modes)


def _weighted(s: Site, method: Method, y: Value, axes: Sequence[Axis], taps: Sequence[Dim]) -> None:
    """A pass an axis, all of them for one plane before the next: a plane stays in the cache."""
    x = s.input(0)
    real = FP64 if x.dtype is FP64 else FP32
    tables = {
        a.axis: (*_table(s, method, y, a, n, real), n) for a, n in zip(axes, taps, strict=True)
    }
    first, order = axes[0].axis, sorted(axes, key=_turn)
    plane = list(x.dims[first:])
    planes = s.integer("0")
    s.emit(f"for (; {planes} < {d.c(product(x.dims[:first]))}; {planes}++) {{")
    source, at = x, f"{s.pointer(x)} + {d.c(planes * product(plane))}"
    for axis in order:
        k = axis.axis - first
        sizes = (product(plane[:k]), y.dims[axis.axis], axis.before, product(plane[k + 1 :]))
        plane[k] = y.dims[axis.axis]
        target = y if axis is order[-1] else s.scratch(real, (product(plane),))
        to = s.pointer(target)
        if target is y:
            to += f" + {d.c(planes * product(plane))}"
        types, given = (target.dtype, source.dtype, real), (to, at, *tables[axis.axis], *sizes)
        if method.crops:
            s.call("resize.resize_cropped", types, *given, method.outside)
        else:
            s.call("resize.resize_axis", types, *given)
        source, at = target, to
    s.emit("}")


def _turn(axis: Axis) -> tuple[bool, int]:
    """When an axis is resized: what shrinks first, then from the last on, along which single
    elements are looked up: best while there are few."""
    shrinks = isinstance(axis.scale, float) and axis.scale < 1
    return not shrinks, axis.axis if shrinks else -axis.axis


def _table(
    s: Site, method: Method, y: Value, axis: Axis, taps: Dim, real: DataType
) -> tuple[Value, Value]:
    """Which elements an element of the output is made of, and their weights."""
    size = y.dims[axis.axis] * taps
    index, weight = s.scratch(INT32, (size,)), s.scratch(real, (size,))
    how = (method.cubic_a, method.antialias, method.exclude_outside, method.crops)
    geometry = _geometry(s, method, y, axis)
    kernel = "resize_table.resize_weights"
    s.call(kernel, real, index, weight, *geometry, taps, method.reach, *how)
    return index, weight
