"""The C and the weights of data/handwritten.c, and the runtimes that run it."""

from __future__ import annotations

import functools
import struct
from pathlib import Path

from nnlet.component import Flavour, build_component
from nnlet.native import NativeModels
from nnlet.provider import Provider

SOURCE = (Path(__file__).parent / "data" / "handwritten.c").read_text()

# a and b of line@1, line@2 and line@10, each 64-byte aligned.
WEIGHTS = b"".join(struct.pack("<2f56x", *ab) for ab in ((2, 3), (-1, 0.5), (0.25, 10)))

RUNTIMES = ("native", "relaxed", "simd128")


@functools.cache
def component(flavour: Flavour = "relaxed") -> bytes:
    """The provider of the handwritten models."""
    return build_component(SOURCE, WEIGHTS, flavour)


def runtime(name: str) -> NativeModels | Provider:
    """The handwritten models on one of RUNTIMES."""
    if name == "native":
        return NativeModels(SOURCE, WEIGHTS, sanitize=True)
    return Provider(component("simd128" if name == "simd128" else "relaxed"))
