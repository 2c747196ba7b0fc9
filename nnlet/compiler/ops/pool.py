"""Pooling: the highest, the average or the norm of what a window sees."""

from __future__ import annotations

from nnlet.compiler import dims as d
from nnlet.compiler.ops.window import Window, c_windows, windows
from nnlet.compiler.site import INT64, Site


def maxpool(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__MaxPool.html"""
    x = s.input(0)
    axes = _windows(s)
    y = s.output(0, x.dtype, _pooled(s, axes))
    if not s.has_output(1):
        row = s.scratch(x.dtype, (axes[-1].reach,))
        s.call("pool.maxpool_rows", x.dtype, y, x, row, c_windows(axes), _planes(s))
        return
    indices = s.output(1, INT64, y.dims)
    columns = bool(s.attr("storage_order", 0))
    s.call("pool.maxpool", x.dtype, y, indices, x, c_windows(axes), _planes(s), columns)


def averagepool(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__AveragePool.html"""
    x = s.input(0)
    axes = _windows(s)
    y = s.output(0, x.dtype, _pooled(s, axes))
    row = s.scratch(x.dtype, (axes[-1].reach,))
    counts = s.scratch(x.dtype, (axes[-1].out,))
    with_padding = bool(s.attr("count_include_pad", 0))
    s.call(
        "pool.averagepool", x.dtype, y, x, row, counts, c_windows(axes), _planes(s),
        with_padding,
    )  # fmt: skip


def lppool(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LpPool.html"""
    x = s.input(0)
    axes = _windows(s)
    y = s.output(0, x.dtype, _pooled(s, axes))
    s.call("lppool.lppool", x.dtype, y, x, c_windows(axes), _planes(s), _power(s))


def global_pool(s: Site) -> None:
    """GlobalMaxPool, GlobalAveragePool, GlobalLpPool: one value a channel.

    https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html
    """
    x = s.input(0)
    if x.rank < 2:
        s.fail(f"an input of rank {x.rank}: batch and channels expected")
    y = s.output(0, x.dtype, (*x.dims[:2], *[1] * (x.rank - 2)))
    lp = s.node.op == "GlobalLpPool"
    kernel = "lppool.globallppool" if lp else f"pool.{s.node.op.lower()}"
    power = [_power(s)] if lp else []
    s.call(kernel, x.dtype, y, x, _planes(s), d.product(x.dims[2:]), *power)


def _windows(s: Site) -> list[Window]:
    x = s.input(0)
    if x.rank < 3:
        s.fail(f"an input of rank {x.rank}: batch, channels and at least one axis expected")
    return windows(s, x.dims[2:], [int(k) for k in s.attr("kernel_shape", [])])


def _pooled(s: Site, axes: list[Window]) -> tuple[d.Dim, ...]:
    return (*s.input(0).dims[:2], *(w.out for w in axes))


def _planes(s: Site) -> d.Dim:
    return d.product(s.input(0).dims[:2])


def _power(s: Site) -> float:
    """The p of an Lp norm; opset 1 had it as a float."""
    p = float(s.attr("p", 2))
    if p <= 0:
        s.fail(f"p is {p}: it should be above 0")
    return p
