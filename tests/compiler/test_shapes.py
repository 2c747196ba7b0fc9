"""Shape arithmetic as exporters write it: sizes stay known, and answers equal onnxruntime's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nnlet.compiler.load import from_proto
from nnlet.compiler.lower import lower
from nnlet.compiler.ops import OPS
from nnlet.native import NativeModels
from tests.compiler.onnxtext import model
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(8)
I8, F4 = np.int64, np.float32
TABLE = RNG.normal(size=(9, 4)).astype(F4)


@dataclass(frozen=True)
class Chain:
    """A graph, the dims of its outputs (named as the inputs'), and shapes to run it with."""

    graph: str
    dims: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    constants: Mapping[str, Any] = field(default_factory=dict)


CHAINS: dict[str, Chain] = {
    "heads are split off": Chain(
        """f (float[b, s, 24] x) => (float[p, q, r, t] y) {
            shape = Shape (x)
            batch = Gather <axis = 0> (shape, zero)
            sequence = Gather <axis = 0> (shape, one)
            b = Unsqueeze (batch, zeros) s = Unsqueeze (sequence, zeros)
            wanted = Concat <axis = 0> (b, s, three, minus_one)
            y = Reshape (x, wanted)
        }""",
        ("b", "s", "3", "8"),
        ((2, 5, 24), (1, 1, 24)),
        {"zero": I8(0), "one": I8(1), "zeros": I8([0]), "three": I8([3]), "minus_one": I8([-1])},
    ),
    "-1 is what is left of sizes": Chain(
        """f (float[b, s, 24] x) => (float[p, q, r] y) {
            part = Shape <start = 0, end = 1> (x)
            wanted = Concat <axis = 0> (part, rest)
            y = Reshape (x, wanted)
        }""",
        ("b", "s", "24"),
        ((2, 5, 24),),
        {"rest": I8([-1, 24])},
    ),
    "expand, as torch exports it": Chain(
        """f (float[1, 1, k] x, float[b, s] z) => (float[p, q, r] y) {
            shape = Shape (z)
            wanted = Concat <axis = 0> (shape, minus_one)
            count = Shape (wanted)
            ones = ConstantOfShape <value = int64[1] {1}> (count)
            marks = Mul (ones, minus_one)
            open = Equal (wanted, marks)
            sizes = Where (open, ones, wanted)
            y = Expand (x, sizes)
        }""",
        ("b", "s", "k"),
        ((1, 1, 4), (2, 3)),
        {"minus_one": I8([-1])},
    ),
    "sizes are doubled in floating point": Chain(
        """f (float[n, 3, h, w] x) => (float[p, q, r, t] y) {
            shape = Shape (x)
            image = Slice (shape, two, four)
            real = Cast <to = 1> (image)
            scaled = Mul (real, factor)
            floored = Floor (scaled)
            whole = Cast <to = 7> (floored)
            front = Slice (shape, zeros, two)
            sizes = Concat <axis = 0> (front, whole)
            y = Resize <mode = "nearest"> (x, , , sizes)
        }""",
        ("n", "3", "2 * h", "2 * w"),
        ((1, 3, 4, 5), (2, 3, 1, 7)),
        {"zeros": I8([0]), "two": I8([2]), "four": I8([4]), "factor": F4([2.0, 2.0])},
    ),
    "sizes are halved up in floating point": Chain(
        """f (float[n, c] x) => (float[p, q] y) {
            size = Shape <start = 1> (x)
            real = Cast <to = 1> (size)
            halved = Div (real, two)
            up = Ceil (halved)
            ends = Cast <to = 7> (up)
            y = Slice (x, zeros, ends, ones)
        }""",
        ("n", "?"),
        ((2, 5), (3, 4), (1, 1)),
        {"two": F4([2.0]), "zeros": I8([0]), "ones": I8([1])},
    ),
    "a scale that is computed": Chain(
        """f (float[1, 2, h, w] x, float[1, 2, k, l] z) => (float[p, q, r, t] y) {
            a = Shape <start = 2> (x) b = Shape <start = 2> (z)
            from = Cast <to = 1> (a) to = Cast <to = 1> (b)
            ratio = Div (to, from)
            scales = Concat <axis = 0> (ones, ratio)
            y = Resize <mode = "linear"> (x, , scales)
        }""",
        ("1", "2", "?", "?"),
        ((1, 2, 4, 5), (1, 2, 8, 15)),
        {"ones": F4([1.0, 1.0])},
    ),
    "positions are counted": Chain(
        """f (int64[b, s] x) => (float[p, q, r] y) {
            length = Shape <start = 1> (x)
            end = Squeeze (length)
            places = Range (zero, end, one)
            row = Unsqueeze (places, zeros)
            y = Gather <axis = 0> (table, row)
        }""",
        ("1", "s", "4"),
        ((2, 5), (1, 1)),
        {"zero": I8(0), "one": I8(1), "zeros": I8([0]), "table": TABLE},
    ),
    "a table is cut to the sequence": Chain(
        """f (float[b, s, 4] x) => (float[p, q, r] y) {
            end = Shape <start = 1, end = 2> (x)
            part = Slice (table, zeros, end, ones)
            y = Add (x, part)
        }""",
        ("b", "s", "4"),
        ((2, 5, 4), (1, 1, 4)),
        {"zeros": I8([0]), "ones": I8([1]), "table": TABLE[None]},
    ),
    "windows are padded and split off": Chain(
        """f (float[b, h, w, 2] x) => (float[p, q, r, t, u, v] y) {
            shape = Shape (x)
            b = Gather <axis = 0> (shape, one_zero)
            image = Slice (shape, ones, threes)
            rest = Mod (image, window)
            missing = Sub (window, rest)
            pads = Mod (missing, window)
            front = ConstantOfShape <value = int64[1] {0}> (five)
            all_pads = Concat <axis = 0> (front, pads, zeros)
            padded = Pad (x, all_pads)
            size = Shape <start = 1, end = 3> (padded)
            blocks = Div (size, window)
            h = Slice (blocks, zeros, ones) w = Slice (blocks, ones, twos)
            wanted = Concat <axis = 0> (b, h, window1, w, window1, twos)
            y = Reshape (padded, wanted)
        }""",
        ("b", "?", "4", "?", "4", "2"),
        ((1, 8, 12, 2), (2, 5, 7, 2)),
        {
            "one_zero": I8([0]), "zeros": I8([0]), "ones": I8([1]), "twos": I8([2]),
            "threes": I8([3]), "five": I8([5]), "window": I8([4, 4]), "window1": I8([4]),
        },
    ),
    "counts of the run leave their neighbours known": Chain(
        """f (bool[n] m, float[n, 6] x) => (float[p, q, r] y) {
            places = NonZero (m)
            column = Transpose <perm = [1, 0]> (places)
            rows = GatherND (x, column)
            found = Shape <start = 1> (places)
            wanted = Concat <axis = 0> (found, two, minus_one)
            y = Reshape (rows, wanted)
        }""",
        ("?", "2", "3"),
        ((4,), (4, 6)),
        {"two": I8([2]), "minus_one": I8([-1])},
    ),
    "sizes in memory leave their neighbours known": Chain(
        """f (float[n, 6] x, int64[1] k) => (float[p, q, r] y) {
            n = Shape <end = 1> (x)
            wanted = Concat <axis = 0> (n, k, minus_one)
            y = Reshape (x, wanted)
        }""",
        ("n", "?", "?"),
        ((4, 6), (1,)),
        {"minus_one": I8([-1])},
    ),
    "a shape is split": Chain(
        """f (float[a, b, c] x) => (float[p, q] y) {
            shape = Shape (x)
            i, j, k = Split <num_outputs = 3> (shape)
            rows = Mul (i, j)
            wanted = Concat <axis = 0> (rows, k)
            y = Reshape (x, wanted)
        }""",
        ("a * b", "c"),
        ((2, 3, 4),),
    ),
    "elements are counted": Chain(
        """f (float[a, b] x) => (int64[1] y, int64[1] z) {
            count = Size (x)
            y = Reshape (count, one)
            shape = Shape (x)
            z = ReduceProd <keepdims = 1> (shape)
        }""",
        ("1",),
        ((2, 3), (0, 3)),
        {"one": I8([1])},
    ),
    "comparisons choose": Chain(
        """f (float[a, b] x) => (float[p, q] y) {
            shape = Shape (x)
            large = Greater (shape, three)
            cut = Where (large, three, shape)
            y = Slice (x, zeros, cut)
        }""",
        ("?", "?"),
        ((2, 5), (4, 1)),
        {"three": I8([3, 3]), "zeros": I8([0, 0])},
    ),
    "the last element": Chain(
        """f (float[b, s, 3] x) => (float[p, q] y) {
            size = Shape <start = 1, end = 2> (x)
            last = Sub (size, ones)
            row = Gather <axis = 1> (x, last)
            y = Squeeze (row, ones)
        }""",
        ("b", "3"),
        ((2, 5, 3), (1, 1, 3)),
        {"ones": I8([1])},
    ),
    "reversed": Chain(
        """f (float[s, b] x) => (float[p, q] y) {
            y = Slice (x, minus_one, first, zeros, minus_one)
        }""",
        ("s", "b"),
        ((5, 2), (1, 1)),
        {"zeros": I8([0]), "minus_one": I8([-1]), "first": I8([-(2**63)])},
    ),
    "a far end is the end": Chain(
        """f (float[n, m] x) => (float[p, q] y) { y = Slice (x, start, end) }""",
        ("n", "?"),
        ((5, 2), (1, 1)),
        {"start": I8([0, 1]), "end": I8([1000000000, 2147483647])},
    ),
}  # fmt: skip


def proto_of(chain: Chain) -> Any:
    constants = {name: np.asarray(value) for name, value in chain.constants.items()}
    return model(chain.graph, constants=constants)


def arrays(proto: Any, shapes: tuple[tuple[int, ...], ...], run: int) -> dict[str, Array]:
    """Inputs of the run-th kind: a chain with one input has a shape for each run."""
    ports = proto.graph.input
    chosen = shapes if len(ports) > 1 else (shapes[run],)
    kinds = {1: "f4", 7: "i8", 9: "?"}
    found = {}
    for port, shape in zip(ports, chosen, strict=True):
        dtype = kinds[port.type.tensor_type.elem_type]
        found[port.name] = RNG.integers(1, 3, shape).astype(dtype)
    return found


def cases() -> dict[str, Case]:
    found = {}
    for name, chain in CHAINS.items():
        proto = proto_of(chain)
        runs = 1 if len(proto.graph.input) > 1 else len(chain.shapes)
        for run in range(runs):
            found[f"{name} {run}"] = Case(name, proto, arrays(proto, chain.shapes, run))
    return found


CASES = cases()


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(list(CASES.values()))


@pytest.mark.parametrize("name", CASES)
def test_answers_equal_onnxruntimes(models: NativeModels, name: str) -> None:
    check(models, CASES[name])


@pytest.mark.parametrize("name", CHAINS)
def test_sizes_stay_known(name: str) -> None:
    """As sizes of the inputs; "?" stands for what only the run can know."""
    proto = proto_of(CHAINS[name])
    program = lower(from_proto(proto, "m", OPS), "m", "1", OPS)
    names = {}
    for port, declared in zip(program.inputs, proto.graph.input, strict=True):
        for dim, own in zip(port.value.dims, declared.type.tensor_type.shape.dim, strict=True):
            names[str(dim)] = own.dim_param
    found = [shown(str(dim), names) for dim in program.outputs[0][1].dims]
    assert found == list(CHAINS[name].dims)


def shown(dim: str, names: Mapping[str, str]) -> str:
    dim = re.sub(r"n\d+", lambda match: names[match[0]], dim.strip("()"))
    return "?" if re.search(r"r\d+", dim) else dim
