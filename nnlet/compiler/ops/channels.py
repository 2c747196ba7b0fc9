"""How the channels of a convolution are grouped, and what its inputs must agree on."""

from __future__ import annotations

from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import Value
from nnlet.compiler.site import Site


@dataclass(frozen=True)
class Channels:
    """How a convolution's channels are grouped: per group, `filters` from `channels`."""

    batch: Dim
    groups: int
    filters: Dim
    channels: Dim

    @property
    def out(self) -> Dim:
        return self.filters * self.groups

    def arguments(self) -> tuple[Dim, ...]:
        """As the kernels take them."""
        return (self.batch, self.groups, self.filters, self.channels)


def channels_of(s: Site, x: Value, w: Value) -> Channels:
    """Weights are [groups * filters, channels, kernel...]."""
    groups = _groups(s, x, w)
    s.same(x.dims[1], w.dims[1] * groups, "channels of the input and of the weights")
    divides(s, groups, w.dims[0], "filters and group")
    return Channels(x.dims[0], groups, d.floordiv(w.dims[0], groups), w.dims[1])


def transposed_channels_of(s: Site, x: Value, w: Value) -> Channels:
    """Weights are [groups * channels, filters, kernel...]."""
    groups = _groups(s, x, w)
    s.same(x.dims[1], w.dims[0], "channels of the input and of the weights")
    divides(s, groups, w.dims[0], "channels and group")
    return Channels(x.dims[0], groups, w.dims[1], d.floordiv(w.dims[0], groups))


def _groups(s: Site, x: Value, w: Value) -> int:
    if x.rank < 3 or w.rank != x.rank:
        s.fail(f"an input of rank {x.rank} and weights of rank {w.rank}")
    groups = int(s.attr("group", 1))
    if groups < 1:
        s.fail(f"group is {groups}")
    return groups


def divides(s: Site, by: int, size: Dim, what: str) -> None:
    """Requires `size` to be a multiple of `by`."""
    s.same(d.floordiv(size, by) * by, size, f"{what} do not divide")


def check_bias(s: Site, bias: Value | None, c: Channels) -> None:
    if bias is not None:
        s.same(bias.size, c.out, "elements of the bias and output channels")


def kernel_of(s: Site, w: Value) -> tuple[Dim, ...]:
    """The kernel's size, as the weights have it; `kernel_shape` may only say the same."""
    kernel = w.dims[2:]
    said = s.attr("kernel_shape", kernel)
    if len(said) != len(kernel):
        s.fail(f"kernel_shape {list(said)} for weights of rank {w.rank}")
    for a, b in zip(said, kernel, strict=True):
        s.same(a, b, "kernel_shape and the weights' kernel")
    return kernel
