"""DeformConv: a convolution whose taps look where an input moves them."""

from __future__ import annotations

from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.channels import channels_of, check_bias, divides, kernel_of
from nnlet.compiler.ops.window import c_windows, windows
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site


def deform_conv(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DeformConv.html"""
    x, w, offset = s.input(0), s.input(1), s.input(2)
    mask = s.optional(4)
    if x.rank != 4:
        s.unsupported(f"{x.rank - 2} spatial dimensions (2 are supported)")
    c = channels_of(s, x, w)
    axes = windows(s, x.dims[2:], kernel_of(s, w))
    out = tuple(a.out for a in axes)
    offset_groups = int(s.attr("offset_group", 1))
    if offset_groups < 1:
        s.fail(f"offset_group is {offset_groups}")
    divides(s, offset_groups, x.dims[1], "input channels and offset_group")
    taps = axes[0].kernel * axes[1].kernel * offset_groups
    _require_dims(s, offset, (c.batch, 2 * taps, *out), "offset")
    if mask is not None:
        _require_dims(s, mask, (c.batch, taps, *out), "mask")
    bias = s.optional(3)
    check_bias(s, bias, c)
    y = s.output(0, x.dtype, (c.batch, c.out, *out))
    scratch = s.scratch(x.dtype, (x.dims[1], *(a.kernel for a in axes)))
    sizes = c.batch, c.groups, offset_groups, c.filters, c.channels
    args = y, x, w, offset, bias, mask, scratch, c_windows(axes), *sizes
    s.call("deform.deformconv", x.dtype, *args)


def _require_dims(s: Site, value: Value, dims: tuple[Dim, ...], what: str) -> None:
    if value.rank != len(dims):
        s.fail(f"{what} of rank {value.rank}, expected {len(dims)}")
    for axis, (found, expected) in enumerate(zip(value.dims, dims, strict=True)):
        s.same(found, expected, f"dimension {axis} of the {what}")
