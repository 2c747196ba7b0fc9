"""Windows: the geometry of convolutions and pooling, one axis at a time.

A kernel sees three axes always (`nn_window[3]`, runtime/window.h): one and two dimensions are
three of which the first have size 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.site import Site

AXES = 3
LARGEST = 2**20  # of a stride, dilation or pad: keeps index arithmetic inside 32 bits


@dataclass(frozen=True)
class Window:
    """One spatial axis, in the order of nn_window: input and output size, taps, and how far
    apart outputs (`stride`) and taps (`dilation`) lie; `pad` before the input, `pad_end` behind.
    """

    size: Dim
    out: Dim
    kernel: Dim
    stride: int = 1
    dilation: int = 1
    pad: Dim = 0
    pad_end: Dim = 0

    def fields(self) -> tuple[Dim, ...]:
        """In the order of nn_window."""
        steps = (self.stride, self.dilation)
        return (self.size, self.out, self.kernel, *steps, self.pad, self.pad_end)

    @property
    def reach(self) -> Dim:
        """How many inputs all outputs see, padding included."""
        return (self.out - 1) * self.stride + _reach(self.kernel, self.dilation)

    @property
    def plain(self) -> bool:
        """Whether output and input index are the same: one tap, no stride, no padding."""
        return (self.kernel, self.stride, self.pad, self.pad_end) == (1, 1, 0, 0)


SINGLE = Window(1, 1, 1)  # an axis that is not there


def windows(s: Site, sizes: Sequence[Dim], kernel: Sequence[Dim]) -> list[Window]:
    """The windows of a convolution or pooling over the spatial `sizes`, from the attributes
    strides, dilations, pads, auto_pad and ceil_mode."""
    rank = spatial_rank(s, sizes, kernel)
    strides, dilations = axis_attr(s, "strides", rank), axis_attr(s, "dilations", rank)
    auto_pad = auto_pad_of(s)
    pads = axis_attr(s, "pads", 2 * rank, 0) if auto_pad == "NOTSET" else [0] * 2 * rank
    result = []
    for n, size in enumerate(sizes):
        reach = _reach(kernel[n], dilations[n])
        pad: Dim = pads[n]
        pad_end: Dim = pads[n + rank]
        if auto_pad.startswith("SAME"):
            out = d.ceildiv(size, strides[n])
            pad, pad_end = split_padding(
                d.maximum((out - 1) * strides[n] + reach - size, 0), auto_pad
            )
        else:
            out = _out(s, size, pad, pad_end, reach, strides[n])
        result.append(Window(size, out, kernel[n], strides[n], dilations[n], pad, pad_end))
    s.flush()  # the checks come before memory is taken for the output
    return result


def _reach(kernel: Dim, dilation: int) -> Dim:
    """How many inputs lie from the first tap to the last."""
    return (kernel - 1) * dilation + 1


def _out(s: Site, size: Dim, pad: Dim, pad_end: Dim, reach: Dim, stride: int) -> Dim:
    room = size + pad + pad_end - reach
    if isinstance(room, int):
        if room < 0:
            s.fail(f"a window of {reach} does not fit an input of {size} with its padding")
    else:
        message = "a window of %d does not fit an input of %d with its padding"
        s.check(f"{d.c(room)} >= 0", message, d.c(reach), d.c(size))
    if not s.attr("ceil_mode", 0):
        return d.floordiv(room, stride) + 1
    # No window starts behind the input: those would see padding only.
    return d.minimum(d.ceildiv(room, stride) + 1, d.ceildiv(size + pad, stride))


def split_padding(total: Dim, auto_pad: str) -> tuple[Dim, Dim]:
    """Padding before and behind: the odd one lies behind for SAME_UPPER, else before."""
    half = d.floordiv(total, 2)
    return (half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half)


def spatial_rank(s: Site, sizes: Sequence[Dim], kernel: Sequence[Dim]) -> int:
    """The number of spatial axes, checked."""
    rank = len(sizes)
    if not 1 <= rank <= AXES:
        s.unsupported(f"{rank} spatial dimensions (1 to {AXES} are supported)")
    if len(kernel) != rank:
        s.fail(f"a kernel of {len(kernel)} dimensions for {rank} spatial dimensions")
    if any(isinstance(k, int) and not 1 <= k <= LARGEST for k in kernel):
        s.fail(f"a kernel of {list(kernel)}")
    return rank


def auto_pad_of(s: Site) -> str:
    """The attribute auto_pad, checked."""
    value = str(s.attr("auto_pad", "NOTSET"))
    if value not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        s.fail(f"auto_pad {value!r}")
    return value


def axis_attr(s: Site, name: str, count: int, default: int = 1) -> list[int]:
    """An attribute of one integer an axis, each at least `default`."""
    values = [int(x) for x in s.attr(name, [default] * count)]
    if len(values) != count or not all(default <= x <= LARGEST for x in values):
        s.fail(f"{name} {values}: {count} expected, each from {default} to {LARGEST}")
    return values


def c_windows(axes: Sequence[Window]) -> str:
    """C text of the kernel argument `const nn_window w[3]`."""
    padded = [*[SINGLE] * (AXES - len(axes)), *axes]
    rows = ", ".join(f"{{{', '.join(d.c(x) for x in w.fields())}}}" for w in padded)
    return f"(const nn_window[]){{{rows}}}"
