"""Recurrent networks: RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import literal
from nnlet.compiler.dims import Dim
from nnlet.compiler.graph import Array
from nnlet.compiler.ops import linear
from nnlet.compiler.ops.gemm import depth, pack_b
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site

PANEL, DEPTH = 8, 4  # recurrent.c: RNN_PANEL, RNN_DEPTH
MANY = 4  # sequences from which on a packed product is faster than one for each
BOTH = ("input", "state")  # a gate's two biases
# Activation functions, and the default alpha and beta of those that have them.
FUNCTIONS: dict[str, tuple[float, ...]] = {
    "affine": (1.0, 0.0),
    "elu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01,),
    "relu": (),
    "scaledtanh": (1.0, 1.0),
    "sigmoid": (),
    "softplus": (),
    "softsign": (),
    "tanh": (),
    "thresholdedrelu": (1.0,),
}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def rnn(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__RNN.html"""
    network = _Network(s, gates=1, functions=("tanh",))
    for one in network.directions():
        w, bias = one.panels(0, 1), one.biases((0, 1, BOTH))
        gates = one.room(_padded(network.hidden))
        s.call(
            "recurrent.rnn", network.dtype, one.layout, one.y, one.h, gates, one.packed, one.x, w,
            bias, one.text,
        )  # fmt: skip
        one.finish()


def gru(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__GRU.html"""
    network = _Network(s, gates=3, functions=("sigmoid", "tanh"))
    linear_before_reset = bool(s.attr("linear_before_reset", 0))
    for one in network.directions():
        if linear_before_reset:
            # r is applied to the state's part of the candidate, its bias included.
            w, candidate_w = one.panels(0, 3), None
            bias = one.biases((0, 2, BOTH), (2, 3, ("state",)))
            candidate_bias = one.biases((2, 3, ("input",)))
        else:
            w, candidate_w = one.panels(0, 2), one.panels(2, 3)
            bias = one.biases((0, 2, BOTH))
            candidate_bias = one.biases((2, 3, BOTH))
        gates = one.room(_padded(2 * network.hidden) + _padded(network.hidden))
        s.call(
            "recurrent.gru", network.dtype, one.layout, one.y, one.h, gates, one.packed, one.x, w,
            bias, candidate_w, candidate_bias, one.text,
        )  # fmt: skip
        one.finish()


def lstm(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LSTM.html"""
    network = _Network(s, gates=4, functions=("sigmoid", "tanh", "tanh"))
    for one in network.directions():
        c = one.state(6)
        w, bias = one.panels(0, 4), one.biases((0, 4, BOTH))
        gates = one.room(_padded(4 * network.hidden))
        peepholes = part(s, s.input(7), one.n) if s.has_input(7) else None
        s.call(
            "recurrent.lstm", network.dtype, one.layout, one.y, one.h, c, gates, one.packed, one.x,
            w, bias, peepholes, one.text,
        )  # fmt: skip
        one.finish()
        one.keep(2, c)


class _Network:
    """What the directions of a node share: sizes, types, outputs."""

    def __init__(self, s: Site, gates: int, functions: Sequence[str]) -> None:
        self.s = s
        self.batch_first = bool(s.attr("layout", 0))
        x, w, r = s.input(0), s.input(1), s.input(2)
        if x.rank != 3 or w.rank != 3 or r.rank != 3:
            s.fail("X, W and R should have three dimensions each")
        self.dtype = x.dtype
        self.steps, self.batch = x.dims[1::-1] if self.batch_first else x.dims[:2]
        self.inputs, self.hidden = x.dims[2], r.dims[2]
        self.gates = gates
        direction = str(s.attr("direction", "forward"))
        if direction not in DIRECTIONS:
            s.fail(f"unknown direction {direction!r}")
        self.reversed = DIRECTIONS[direction]
        self.functions = _functions(s, functions, len(self.reversed))
        self._check_dims()
        self.inputs_parts = [self._project(n) for n in range(len(self.reversed))]
        self.lengths = self._lengths()
        count = len(self.reversed)
        states = (self.batch, count) if self.batch_first else (count, self.batch)
        every = (self.batch, self.steps) if self.batch_first else (self.steps,)
        every = (*every, count) if self.batch_first else (*every, count, self.batch)
        dims = ((*every, self.hidden), (*states, self.hidden), (*states, self.hidden))
        self.outputs = [
            s.output(n, self.dtype, dims[n]) if s.has_output(n) else None for n in range(3)
        ]

    def _check_dims(self) -> None:
        s, count, rows = self.s, len(self.reversed), self.gates * self.hidden
        states = (self.batch, count) if self.batch_first else (count, self.batch)
        expected: dict[int, tuple[Dim, ...]] = {
            1: (count, rows, self.inputs),
            2: (count, rows, self.hidden),
            3: (count, 2 * rows),
            4: (self.batch,),
            5: (*states, self.hidden),
            6: (*states, self.hidden),
            7: (count, 3 * self.hidden),
        }
        for n, dims in expected.items():
            value = s.optional(n)
            if value is None:
                continue
            if value.rank != len(dims):
                s.fail(f"input {n} has rank {value.rank}, expected {len(dims)}")
            for axis, (found, wanted) in enumerate(zip(value.dims, dims, strict=True)):
                s.same(found, wanted, f"dimension {axis} of input {n}")

    def _project(self, n: int) -> Value:
        """The input's part of every gate at every step, in direction `n`: a step of its own."""
        s, rows, columns = self.s, self.steps * self.batch, self.gates * self.hidden
        s.flush()
        x = s.temporary(self.dtype, (rows, columns))
        w = part(s, s.input(1), n)
        if w.const is not None:
            right = linear.Matrices(s.value_of(w.const.T), (), columns, 1)
        else:
            right = linear.Matrices(w, (), 1, self.inputs)
        left = linear.Matrices(s.input(0), (), self.inputs, 1)
        result = linear.Matrices(x, (), columns, 1)
        linear.product(s, result, left, right, (), rows, columns, self.inputs)
        s.flush()
        return x

    def _lengths(self) -> str:
        """C text of the sequences' lengths; "0" where all are full."""
        lengths = self.s.optional(4)
        if lengths is None:
            return "0"
        text, steps = self.s.pointer(lengths), d.c(self.steps)
        self.s.emit(f"for (idx b = 0; b < {d.c(self.batch)}; b++) {{")
        words = "a sequence of length %d, but there are %d steps"
        self.s.check(f"{text}[b] >= 0 && {text}[b] <= {steps}", words, f"{text}[b]", steps)
        self.s.emit("}")
        return text

    def directions(self) -> Iterator[_Direction]:
        for n in range(len(self.reversed)):
            yield _Direction(self, n)


class _Direction:
    """One direction: its weights as the kernels want them, its input's part, its state."""

    def __init__(self, network: _Network, n: int) -> None:
        self.network, self.s, self.n = network, network.s, n
        self.x = network.inputs_parts[n]
        self.weights = part(self.s, self.s.input(2), n)
        self.layout = self._layout()
        depth(self.s, network.hidden)
        dims = (network.batch, network.hidden)
        self.packed = None
        if self.layout not in ("RNN_PANELS", "RNN_BLOCKS"):
            self.packed = self.s.scratch(network.dtype, dims)
        self.h = self.state(5)
        y = network.outputs[0]
        start = n * network.hidden * (1 if network.batch_first else network.batch)
        self.y = None if y is None else f"({self.s.pointer(y)} + {d.c(start)})"
        self.text = self._text()

    def _layout(self) -> str:
        """How the state's weights lie."""
        if self.weights.const is None or self.network.dtype is not FP32:
            return "RNN_PANELS"
        batch = self.network.batch
        if isinstance(batch, int):
            return "RNN_BLOCKS" if batch < MANY else "RNN_PACKED"
        return f"({d.c(batch)} < {MANY} ? RNN_BLOCKS : RNN_PACKED)"

    def panels(self, low: int, high: int) -> Value | str:
        """The state's weights of the gates from `low` to `high` in their layout."""
        s, k = self.s, self.network.hidden
        r = self.weights
        if r.const is not None:
            size = r.const.shape[1]
            filled = _filled(r.const[low * size : high * size])
            if self.layout in LAYOUTS:
                return s.value_of(LAYOUTS[self.layout](filled))
            # Only a run with many sequences needs room for the other layout.
            rows = d.minimum(d.floordiv(self.network.batch, MANY), 1) * filled.shape[0]
            room = s.scratch(FP32, (rows, filled.shape[1]))
            args = (self.layout, room, s.value_of(_blocks(filled)), *filled.shape)
            return f"rnn_repack({', '.join(s.argument(a) for a in args)})"
        rows = replace(r, offset=r.offset + low * k * k)
        packed = s.scratch(self.network.dtype, (_padded((high - low) * k), k))
        s.call("recurrent.rnn_pack", self.network.dtype, packed, rows, (high - low) * k, k)
        return packed

    def biases(self, *parts: tuple[int, int, Sequence[str]]) -> Value:
        """One after the other the sums of biases of gates from one to the other, then zeros."""
        s, k, dtype = self.s, self.network.hidden, self.network.dtype
        size = sum(high - low for low, high, _ in parts) * k
        result = s.scratch(dtype, (_padded(size),))
        given = s.optional(3)
        b = None if given is None else part(s, given, self.n)
        at: Dim = 0
        for low, high, kinds in parts:
            terms = [
                None if b is None or kind not in kinds
                else replace(s.ref(b), offset=s.ref(b).offset + (low + start) * k)
                for kind, start in (("input", 0), ("state", self.network.gates))
            ]  # fmt: skip
            to = replace(result, offset=at)
            n = (high - low) * k
            s.call("recurrent.rnn_bias", dtype, to, *terms, n, _padded(size) - at)
            at = at + n
        return result

    def state(self, index: int) -> Value:
        """A state [batch, hidden] that starts as input `index` says, or as zeros."""
        net = self.network
        value = self.s.scratch(net.dtype, (net.batch, net.hidden))
        start, step = self._state_rows(self.s.optional(index))
        self.s.call(
            "recurrent.rnn_rows", net.dtype, value, start, net.hidden, step, net.batch, net.hidden
        )
        return value

    def keep(self, index: int, state: Value) -> None:
        """Output `index`, if it is wanted, gets the state."""
        net = self.network
        y = net.outputs[index]
        if y is not None:
            to, step = self._state_rows(y)
            self.s.call(
                "recurrent.rnn_rows", net.dtype, to, state, step, net.hidden, net.batch, net.hidden
            )

    def finish(self) -> None:
        self.keep(1, self.h)

    def _state_rows(self, value: Value | None) -> tuple[str | None, Dim]:
        """Where this direction's rows begin in a tensor of states, and how far apart they are."""
        if value is None:
            return None, 0
        net = self.network
        count = len(net.reversed)
        start = self.n * net.hidden * (1 if net.batch_first else net.batch)
        step = net.hidden * (count if net.batch_first else 1)
        return f"({self.s.pointer(value)} + {d.c(start)})", step

    def room(self, columns: Dim) -> Value:
        """Memory for the gates of one step."""
        return self.s.scratch(self.network.dtype, (self.network.batch, columns))

    def _text(self) -> str:
        """C text of the rnn_direction."""
        net, s = self.network, self.s
        count = len(net.reversed)
        row = net.gates * net.hidden
        x = (row, net.steps * row) if net.batch_first else (net.batch * row, row)
        y = (
            (count * net.hidden, net.steps * count * net.hidden)
            if net.batch_first
            else (count * net.batch * net.hidden, net.hidden)
        )
        each = len(net.functions) // count
        functions = net.functions[self.n * each : (self.n + 1) * each]
        fields = {
            "steps": net.steps,
            "batch": net.batch,
            "hidden": net.hidden,
            "lengths": net.lengths,
            "reverse": net.reversed[self.n],
            "linear_before_reset": bool(s.attr("linear_before_reset", 0)),
            "input_forget": bool(s.attr("input_forget", 0)),
            "clip": float(s.attr("clip", 0.0)),
            "x_time": x[0],
            "x_batch": x[1],
            "y_time": y[0],
            "y_batch": y[1],
            "functions": f"{{{', '.join(functions)}}}",
        }
        text = ", ".join(f".{name} = {s.argument(value)}" for name, value in fields.items())
        return f"&(rnn_direction){{{text}}}"


def part(s: Site, value: Value, n: int) -> Value:
    """Direction `n` of an input whose first dimension the directions are."""
    if value.const is not None:
        return s.value_of(value.const[n])
    dims = value.dims[1:]
    stored = s.ref(value)
    return replace(stored, dims=dims, offset=stored.offset + n * d.product(dims))


def _functions(s: Site, defaults: Sequence[str], directions: int) -> list[str]:
    """C text of each activation function, direction after direction.

    activation_alpha and activation_beta hold values only for functions that have them.
    """
    names = [str(n).lower() for n in s.attr("activations", [])] or [*defaults] * directions
    if len(names) != len(defaults) * directions:
        s.fail(f"{len(names)} activations, expected {len(defaults) * directions}")
    alphas, betas = (iter(s.attr(f"activation_{n}", [])) for n in ("alpha", "beta"))
    texts = []
    for name in names:
        if name not in FUNCTIONS:
            s.fail(f"unknown activation {name!r}")
        given = FUNCTIONS[name]
        values = [
            next(rest, default) for rest, default in zip((alphas, betas), given, strict=False)
        ]
        numbers = ", ".join(literal(v, FP32) for v in (*values, 0.0, 0.0)[:2])
        texts.append(f"{{RNN_{name.upper()}, {numbers}}}")
    return texts


def _padded(n: Dim) -> Dim:
    """`n` rounded up to whole panels."""
    return d.ceildiv(n, PANEL) * PANEL


def _filled(w: Array) -> Array:
    """w[n, k] with n rounded up to whole panels."""
    return np.pad(w, ((0, -w.shape[0] % PANEL), (0, 0)))


def _panels(w: Array) -> Array:
    """w[n, k] in panels: as recurrent.c packs it in the run."""
    return w.reshape(-1, PANEL, w.shape[1]).transpose(0, 2, 1)


def _blocks(w: Array) -> Array:
    """w[n, k] in blocks of 4 of k and 8 of n."""
    full = np.pad(w, ((0, 0), (0, -w.shape[1] % DEPTH)))
    return full.reshape(-1, PANEL, full.shape[1] // DEPTH, DEPTH).transpose(2, 0, 3, 1)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "RNN_PANELS": _panels,
    "RNN_BLOCKS": _blocks,
    "RNN_PACKED": lambda w: pack_b(w.T),
}
