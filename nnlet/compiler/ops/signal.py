"""Signals: DFT, STFT, MelWeightMatrix. Window operators are expanded to their ONNX functions."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.cumulative import around
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import BY_ONNX, DATATYPES

FP64 = DATATYPES["FP64"]


def dft(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__DFT.html"""
    x = s.input(0)
    parts = _parts(s)
    inverse, onesided = bool(s.attr("inverse", 0)), bool(s.attr("onesided", 0))
    axis = _axis(s)
    outer, n, inner = around(s, x.dims[:-1], axis)
    length = s.read_sizes(1)[0] if s.has_input(1) else n
    if not s.has_input(1) and inverse and onesided:
        length = (n - 1) * 2
    s.check(f"{d.c(length)} > 0", "a transform of length %d", d.c(length))
    half = onesided and not inverse
    bins = d.floordiv(length, 2) + 1 if half else length
    s.flush()
    dims = [*x.dims[:-1], 1 if onesided and inverse else 2]
    for k in range(x.rank - 1):
        if isinstance(axis, int):
            dims[k] = bins if k == axis else dims[k]
        else:
            chosen = d.compare(axis, "==", k) + d.compare(axis, "==", k - x.rank)
            dims[k] = d.select(chosen, bins, dims[k])
    y = s.output(0, x.dtype, dims)
    work = s.scratch(FP64, (length * 6,))
    sizes = (outer, n, inner, parts, length, bins, dims[-1], inverse, onesided)
    s.call("dft.dft", x.dtype, y, x, work, *(s.settled(k) for k in sizes))


def _parts(s: Site) -> int:
    """1 for real, 2 for complex numbers."""
    parts = s.input(0).dims[-1] if s.input(0).rank > 1 else 0
    if parts not in (1, 2):
        s.unsupported("numbers of which only the run knows whether they are complex")
    return int(parts)


def _axis(s: Site) -> Dim:
    rank = s.input(0).rank
    if s.opset < 20:
        return s.axis(1, rank)
    axis = s.read_sizes(2)[0] if s.has_input(2) else -2
    return s.wrap(axis, rank) if isinstance(axis, int) else axis


def stft(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__STFT.html"""
    x, window = s.input(0), s.optional(2)
    parts = _parts(s)
    step = s.read_sizes(1)[0]
    length = _frame_length(s)
    for name, size in (("frame_step", step), ("frame_length", length)):
        s.check(f"{d.c(size)} > 0", f"a {name} of %d", d.c(size))
    if window is not None:
        s.same(window.size, length, "the length of window and frame")
    onesided = bool(s.attr("onesided", 1))
    bins = d.floordiv(length, 2) + 1 if onesided else length
    frames = d.maximum(d.floordiv(x.dims[1] - length, step) + 1, 0)
    s.flush()
    y = s.output(0, x.dtype, (x.dims[0], frames, bins, 2))
    work = s.scratch(FP64, (length * 6,))
    sizes = (*x.dims[:2], parts, step, length, *y.dims[1:3])
    s.call("dft.stft", x.dtype, y, x, window, work, *(s.settled(k) for k in sizes))


def _frame_length(s: Site) -> Dim:
    if s.has_input(3):
        return s.read_sizes(3)[0]
    window = s.optional(2)
    return s.input(0).dims[1] if window is None else window.size


def mel_weight_matrix(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MelWeightMatrix.html"""
    bins, length, rate = (s.read_sizes(n)[0] for n in range(3))
    dtype = BY_ONNX[s.attr("output_datatype", FP32.onnx)]
    if dtype.kind != "f" or dtype.size < 4:
        s.unsupported(f"output_datatype {dtype.name}")
    s.check(f"{d.c(length)} > 0 && {d.c(rate)} > 0", "a length or rate that is not above 0")
    s.flush()
    y = s.output(0, dtype, (d.floordiv(length, 2) + 1, bins))
    edges = [f"(f64){s.pointer(s.input(n))}[0]" for n in (3, 4)]
    s.call("mel.mel_weight_matrix", dtype, y, *y.dims, s.settled(length), s.settled(rate), *edges)
