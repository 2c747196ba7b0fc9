"""Conversions between datatypes: Cast, CastLike, BitCast."""

from __future__ import annotations

from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, HALF, Site
from nnlet.tensor import BY_ONNX, DataType


def cast(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Cast.html"""
    _convert(s, s.input(0), requested_type(s, "to"))


def cast_like(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__CastLike.html"""
    _convert(s, s.input(0), s.input(1).dtype)


def bit_cast(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__BitCast.html"""
    x, to = s.input(0), requested_type(s, "to")
    if to.size != x.dtype.size:
        s.fail(f"{x.dtype.onnx_name} and {to.onnx_name} differ in their number of bits")
    y = s.output(0, to, x.dims)
    size = s.argument(x.size * to.size)
    s.emit(f"memcpy({s.pointer(y)}, {s.pointer(x)}, {size});")


def requested_type(s: Site, name: str) -> DataType:
    """The datatype that attribute `name` asks for."""
    to = BY_ONNX.get(int(s.attr(name, 0)))
    if to is None:
        s.unsupported(f"{name} = {s.attr(name)}: neither wasi-nn nor the generated C has the type")
    return to


def _convert(s: Site, x: Value, to: DataType) -> None:
    if x.dtype is to:
        s.alias(0, x, x.dims)
    else:
        s.map(0, to, [x], (to, conversion(x.dtype, to)))


def converted(s: Site, x: Value, to: DataType) -> Value:
    """`x` as another type, for operators that compute in one; it ends the step so far."""
    return x if x.dtype is to else s.elementwise(to, [x], (to, conversion(x.dtype, to)))


def conversion(source: DataType, to: DataType, text: str = "@0") -> str:
    """C text that converts the expression `text` between two different types.

    Integers wrap. A float that an integer type of 32 bits or more cannot hold becomes its
    nearest bound; narrower types take the low bits of that. All of this ONNX leaves open.
    """
    if source.name in HALF:
        text, source = f"nn_{source.c}_to_f32({text})", FP32
    if to is source:
        return text
    if to.kind == "b":
        return f"{text} != 0"
    if to.name in HALF:
        single = f"nn_f64_to_f32_odd({text})" if source.name == "FP64" else f"(f32){text}"
        return f"nn_f32_to_{to.c}({single})"
    if source.kind == "f" and to.kind in "iu":
        return f"nn_{source.c}_to_{to.c}({text})"
    return f"({to.c}){text}"
