"""Site: one node on its way to become steps; what an operator function works with.

It reads attributes and inputs, declares outputs with their datatype and dims, and says which
kernel computes them. It never sees addresses or C files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Union

import numpy as np

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import c_string, literal
from nnlet.compiler.dims import Dim, Expr
from nnlet.compiler.graph import Array, Graph, Node
from nnlet.compiler.known import MAX_ITEMS, Known, items_of, known_ints
from nnlet.compiler.program import (
    EPILOGUE,
    Block,
    Call,
    Code,
    Epilogue,
    Kernel,
    Map,
    Value,
    datatype_of,
)
from nnlet.compiler.reals import Real
from nnlet.errors import CompileError, UnsupportedModel
from nnlet.tensor import DATATYPES, DataType

if TYPE_CHECKING:
    from nnlet.compiler.lower import Lowering, Scope

FP32 = DATATYPES["FP32"]
INT64 = DATATYPES["INT64"]
_BITS = {1: DATATYPES["UINT8"], 2: DATATYPES["UINT16"], 4: DATATYPES["UINT32"]}
_BITS[8] = DATATYPES["UINT64"]
HALF = frozenset({"FP16", "BF16"})

Argument = Union[Value, Expr, int, float, str, Sequence[Dim], None]  # noqa: UP007


@dataclass(frozen=True)
class Op:
    """A row of the operator table.

    `half`: takes float16 and bfloat16 as they are (it only moves bits, or casts). All other
    operators compute those in float32: their inputs and outputs are converted around them.
    """

    lower: Callable[[Site], None]
    half: bool = False


OpTable = Mapping[str, Op]


class Site:
    """One node on its way to become steps; what an operator function works with."""

    def __init__(self, node: Node, scope: Scope, inputs: Sequence[Value | None]) -> None:
        self.node = node
        self.opset = node.opset
        self.results: dict[int, Value] = {}
        self._inputs = inputs
        self._scope = scope
        self._outputs: list[Value] = []
        self._scratch: list[Value] = []
        self._reads: set[str] = set()
        self._code: list[Code] = []
        self._late: set[str] = set()
        self._epilogue: Epilogue | None = None

    # What the node says.

    @property
    def note(self) -> str:
        """The operator and the node's name, for messages and comments."""
        name = self.node.name or next((o for o in self.node.outputs if o), "")
        return f"{self.node.op} '{name}'"

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where the node has none."""
        return self.node.attrs.get(name, default)

    def has_input(self, index: int) -> bool:
        return index < len(self._inputs) and self._inputs[index] is not None

    def has_output(self, index: int) -> bool:
        return index < len(self.node.outputs) and self.node.outputs[index] != ""

    @property
    def input_count(self) -> int:
        return len(self._inputs)

    def input(self, index: int) -> Value:
        """The input at `index`, which must be there."""
        value = self._inputs[index] if index < len(self._inputs) else None
        if value is None:
            self.fail(f"input {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        return self._inputs[index] if index < len(self._inputs) else None

    def const(self, index: int) -> Array | None:
        """The content of an input that is constant (or absent: None)."""
        value = self.optional(index)
        return None if value is None else value.content

    def sizes(self, index: int) -> tuple[Dim, ...] | None:
        """The elements of an integer input as sizes, None if they are data or it is absent."""
        value = self.optional(index)
        return None if value is None else known_ints(value)

    def ints(self, name: str, index: int) -> list[int] | None:
        """Integers that old opsets give as attribute `name` and new ones as an input.

        None where both are absent; fails where the input is not constant.
        """
        if name in self.node.attrs:
            return [int(x) for x in self.node.attrs[name]]
        if not self.has_input(index):
            return None
        content = self.const(index)
        if content is None:
            self.fail(f"'{name}' (input {index}) must be constant")
        return [int(x) for x in content.reshape(-1)]

    def read_sizes(self, index: int) -> tuple[Dim, ...]:
        """The elements of an integer input as sizes: read in the run where they are data.

        What is read may be negative; it ends the step, so that outputs can have these sizes.
        """
        known = self.sizes(index)
        if known is not None:
            return known
        value = self.input(index)
        if not isinstance(value.size, int) or value.size > MAX_ITEMS:
            self.unsupported(f"input {index} holds sizes: how many must be known")
        self.flush()
        return self._scope.read(value)

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """The attribute `axis`, counted from the front. Fails where it is outside the rank."""
        return self.wrap(int(self.attr(name, default)), rank)

    def wrap(self, axis: int, rank: int) -> int:
        """`axis` counted from the front."""
        if not -rank <= axis < rank:
            self.fail(f"axis {axis} is outside a tensor of rank {rank}")
        return axis + rank if axis < 0 else axis

    # What comes out.

    def output(self, index: int, dtype: DataType, dims: Sequence[Dim]) -> Value:
        """Declares output `index`, to be filled by this site's code. A result that nobody
        reads (its name is "") is computed all the same."""
        value = self._scope.storage(dtype, dims, self._label(index))
        self._outputs.append(value)
        self.results[index] = value
        return value

    def known(self, index: int, dtype: DataType, items: Sequence[Dim], rank: int = 1) -> Value:
        """Output `index` is a small tensor of sizes, a vector or (rank 0) a scalar."""
        array = items_of(items, (len(items),) if rank else ())
        value = Known(dtype, array).value(self._label(index))
        self.results[index] = value
        return value

    def _label(self, index: int) -> str:
        return self.node.outputs[index] if index < len(self.node.outputs) else ""

    def alias(self, index: int, value: Value, dims: Sequence[Dim], offset: Dim = 0) -> Value:
        """Output `index` is (a part of) the same bytes as `value`, from `offset` elements on."""
        const = value.const
        if const is not None:
            flat = const.reshape(-1)
            if not (d.static(dims) and isinstance(offset, int)):
                return self._alias(index, self.ref(value), dims, offset)
            shape = tuple(int(x) for x in dims)  # type: ignore[arg-type]
            part = flat[offset : offset + int(np.prod(shape, dtype=np.int64))].reshape(shape)
            result = Value("", value.dtype, shape, const=part)
        elif value.ints is not None and not value.storage and offset == 0:
            result = Value("", value.dtype, tuple(dims), ints=value.ints)
        else:
            return self._alias(index, self.ref(value), dims, offset)
        self.results[index] = result
        return result

    def _alias(self, index: int, value: Value, dims: Sequence[Dim], offset: Dim) -> Value:
        self.flush()
        settled = self._scope.sizes.of_tensor(dims, self.note)
        at = value.offset + self._scope.sizes.settled(offset)
        result = Value(value.storage, value.dtype, settled, offset=at, label=self._label(index))
        self.results[index] = result
        return result

    def constant(self, index: int, array: Array) -> Value:
        """Output `index` is known at compile time."""
        result = self.value_of(array)
        self.results[index] = result
        return result

    def value_of(self, array: Array) -> Value:
        """A constant: weights as a kernel wants them (packed, transposed, cast)."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        return Value("", datatype_of(array), array.shape, const=array)

    def scratch(self, dtype: DataType, dims: Sequence[Dim]) -> Value:
        """Memory that is free again after this site."""
        value = self._scope.storage(dtype, dims, f"scratch of {self.note}")
        self._scratch.append(value)
        return value

    def temporary(self, dtype: DataType, dims: Sequence[Dim]) -> Value:
        """A result of one step of this site that its next step reads (see flush)."""
        value = self._scope.storage(dtype, dims, f"part of {self.note}")
        self._outputs.append(value)
        return value

    def view(self, value: Value, dims: Sequence[Dim]) -> Value:
        """The elements of `value` under other dims, which must have as many."""
        if tuple(dims) == value.dims:
            return value
        if value.const is not None and d.static(dims):
            return self.value_of(value.const.reshape(tuple(dims)))  # type: ignore[arg-type]
        stored = self.ref(value)
        return replace(stored, dims=tuple(dims))

    def absent(self, index: int, why: str) -> None:
        """Output `index` cannot be given: an error where something reads it."""
        self._scope.absent[self._label(index)] = f"{self.note}: {why}"

    # How it is computed.

    def ref(self, value: Value) -> Value:
        """`value` with storage, made now if it had none."""
        return self._scope.stored(value)

    def pointer(self, value: Value) -> str:
        """C text: pointer to the first element of `value`, which this site reads or writes."""
        value = self.ref(value)
        self._reads.add(value.storage)
        return value.storage if value.offset == 0 else f"({value.storage} + {d.c(value.offset)})"

    def epilogue(self, epilogue: Epilogue) -> str:
        """The kernel argument for what the kernel of this step does to its output, which
        elementwise operators behind it may join (epilogue.py). The call must be all of its step.
        """
        self._epilogue = replace(
            epilogue,
            row=epilogue.row and self.ref(epilogue.row),
            column=epilogue.column and self.ref(epilogue.column),
            add=epilogue.add and self.ref(epilogue.add),
        )
        self._reads.update(v.storage for v in self._epilogue.values())
        return EPILOGUE

    def bits(self, dtype: DataType) -> DataType:
        """The unsigned type of the same width, for kernels that only move elements."""
        return _BITS[dtype.size]

    def raw(self, value: Value, at: Dim = 0) -> str:
        """C text: pointer to element `at` of `value` for such a kernel."""
        pointer = self.pointer(value)
        return f"(void *){pointer}" if at == 0 else f"(void *)({pointer} + {d.c(at)})"

    def emit(self, line: str) -> None:
        """Adds a line of C. Use pointer() and size() for what stands in it."""
        self._code.append(line)

    def call(self, kernel: str, types: Sequence[DataType] | DataType, *args: Argument) -> None:
        """Adds a call of `family.function` (ops/family.c), instantiated for `types`."""
        self.emit(self.invoke(kernel, types, *args) + ";")

    def invoke(self, kernel: str, types: Sequence[DataType] | DataType, *args: Argument) -> str:
        """C text of that call, for use inside a line of emit()."""
        family, function = kernel.split(".")
        names = tuple(t.c for t in ([types] if isinstance(types, DataType) else types))
        self._scope.lowering.kernels.add(Kernel(family, names))
        return f"{'_'.join((function, *names))}({', '.join(self.argument(a) for a in args)})"

    def argument(self, arg: Argument) -> str:
        """C text of one kernel argument."""
        if arg is None:
            return "0"
        if isinstance(arg, Value):
            return self.pointer(arg)
        if isinstance(arg, bool):
            return str(int(arg))
        if isinstance(arg, (int, np.integer, Expr)):
            return d.c(arg if isinstance(arg, Expr) else int(arg))
        if isinstance(arg, (float, np.floating)):
            return literal(arg, FP32)
        if isinstance(arg, str):
            return arg
        return f"(const idx[]){{{', '.join(d.c(x) for x in arg) or '0'}}}"

    def splits(self) -> None:
        """Says that a kernel may take a product's sums in parts, which its epilogue then adds."""
        self._scope.lowering.splits = True

    def check(self, ok: str, message: str, *args: str, code: str = "NN_INVALID_ARGUMENT") -> None:
        """Ends the run with `message` (%d takes an i64 C expression) unless `ok` holds."""
        values = "".join(f", (i64)({a})" for a in args)
        self.emit(f'NN_CHECK({ok}, {code}, "%s: {message}", {c_string(self.note)}{values});')

    def size(self, text: str) -> Expr:
        """A size (never negative) that only the run can know, set here to the C expression
        `text`. Outputs can have it after flush()."""
        return d.size_symbol(str(self.integer(text)))

    def integer(self, text: str) -> Expr:
        """The same for an integer that may be negative."""
        symbol = self._scope.lowering.symbol("r")
        self.emit(f"{symbol} = {text};")
        return d.symbol(symbol)

    def settled(self, dim: Dim) -> Dim:
        """`dim` in terms of variables, computed before this step."""
        return self._scope.sizes.settled(dim)

    def flush(self) -> None:
        """Ends a step: what was declared so far is computed before what follows."""
        if self._code or self._outputs:
            step = Call(
                self.note,
                tuple(self._outputs),
                tuple(self._scratch),
                frozenset(self._reads),
                tuple(self._code),
                frozenset(self._late),
                self._epilogue,
            )
            self._scope.steps.append(step)
        self._outputs, self._scratch, self._reads, self._code = [], [], set(), []
        self._late, self._epilogue = set(), None

    def map(
        self,
        index: int,
        dtype: DataType,
        inputs: Sequence[Value],
        *lets: tuple[DataType, str],
    ) -> Value:
        """Output `index` elementwise: broadcast `inputs`, evaluate `lets`, keep the last.

        In a let, `@n` is the n-th input's element and `$n` the n-th let.
        """
        value = self.elementwise(dtype, inputs, *lets, label=self._label(index))
        self.results[index] = value
        return value

    def elementwise(
        self,
        dtype: DataType,
        inputs: Sequence[Value],
        *lets: tuple[DataType, str],
        label: str = "",
    ) -> Value:
        """The same as an intermediate result. It ends the step so far."""
        self.flush()
        dims = self.broadcast([v.dims for v in inputs])
        self.flush()
        value = self._scope.storage(dtype, dims, label)
        inputs = [self._scope.sizes.matched(v, value.dims) for v in inputs]
        stored, texts = self._inline_scalars(inputs, [text for _, text in lets])
        typed = tuple((t.c, text) for (t, _), text in zip(lets, texts, strict=True))
        self._scope.steps.append(Map(self.note, value, stored, typed))
        return value

    def _inline_scalars(
        self, inputs: Sequence[Value], texts: list[str]
    ) -> tuple[tuple[Value, ...], list[str]]:
        """Constant scalars become literals in the text, the rest inputs with storage."""
        kept: list[Value] = []
        for n, value in enumerate(inputs):
            content = value.content
            # Halves are read by conversion functions that take their bits: keep those stored.
            if content is not None and content.size == 1 and value.dtype.name not in HALF:
                by = literal(content.reshape(-1)[0], value.dtype)
            else:
                by = f"@k{len(kept)}"
                kept.append(self.ref(value))
            texts = [_replace(text, n, by) for text in texts]
        return tuple(kept), [text.replace("@k", "@") for text in texts]

    def broadcast(self, shapes_: Sequence[Sequence[Dim]]) -> tuple[Dim, ...]:
        """ONNX's multidirectional broadcasting; sizes not known to agree are checked in the run.

        https://onnx.ai/onnx/repo-docs/Broadcasting.html
        """
        rank = max((len(s) for s in shapes_), default=0)
        result: list[Dim] = []
        for at in range(rank):
            candidates = [s[at - rank + len(s)] for s in shapes_ if at - rank + len(s) >= 0]
            size: Dim = 1
            for other in candidates:
                size = self._broadcast_dim(size, other)
            result.append(size)
        return tuple(result)

    def _broadcast_dim(self, a: Dim, b: Dim) -> Dim:
        if a == b or b == 1:
            return a
        if a == 1:
            return b
        if isinstance(a, int) and isinstance(b, int):
            self.fail(f"dimensions {a} and {b} do not broadcast")
        full = self._scope.sizes.unclamped(a, b)
        if full is not None:
            self.same(a, b, "dimensions to broadcast")
            self._scope.sizes.learn(b if full == a else a, full)
            return full
        ca, cb = d.c(a), d.c(b)
        ok = f"{ca} == {cb} || {ca} == 1 || {cb} == 1"
        self.check(ok, "dimensions %d and %d do not broadcast", ca, cb)
        # Against a fixed size above 1 the other is that size or 1: the result is known.
        if isinstance(a, int):
            return a
        if isinstance(b, int):
            return b
        return self.size(f"{ca} == 1 ? {cb} : {ca}")

    def same(self, a: Dim, b: Dim, what: str) -> None:
        """Requires two sizes to be equal, now if they are known, else in the run."""
        if a == b:
            return
        if isinstance(a, int) and isinstance(b, int):
            self.fail(f"{what}: {a} and {b} should be equal")
        self.check(f"{d.c(a)} == {d.c(b)}", f"{what}: %d and %d should be equal", d.c(a), d.c(b))

    # Subgraphs (If, Loop, Scan).

    def inline(self, graph: Graph) -> list[Value]:
        """Lowers a subgraph in place, as if its nodes stood here: its results."""
        self.flush()
        scope = self._scope.inner()
        scope.steps = self._scope.steps
        return scope.run(graph)

    def body(self, graph: Graph, inputs: Mapping[str, Value]) -> Body:
        """Lowers a subgraph with its inputs bound, for emit_body."""
        scope = self._scope.inner()
        scope.names.update(inputs)
        results = [scope.stored(value) for value in scope.run(graph)]
        return Body(scope, results)

    def emit_body(self, body: Body, tail: Sequence[str]) -> None:
        """Adds the steps of a body between the lines emitted before and after. `tail` are lines
        that run after them, while the results still have their memory."""
        kept = frozenset(v.storage for v in body.results)
        self._code.append(Block(body.scope.steps, kept, tuple(tail)))

    def variable(self, dtype: DataType, dims: Sequence[Dim], label: str) -> Value:
        """A storage that is this site's own: nobody else gives it memory or frees it."""
        return self._scope.storage(dtype, dims, label)

    def adopt(self, index: int, value: Value, late: bool) -> None:
        """Makes a variable output `index`. It gets memory before this site's code runs, or, if
        it is `late`, from that code (see take), which may learn its sizes only in a body."""
        self._outputs.append(value)
        self.results[index] = value
        if late:
            self._late.add(value.storage)

    def take(self, value: Value, dims: Sequence[Dim]) -> str:
        """A line that takes memory for a variable, room for those dims."""
        label, sizes = c_string(value.label), ", ".join(d.c(x) for x in dims)
        return f"NN_TAKE({value.storage}, nn_scratch, {label}, {sizes});"

    def new_size(self) -> Expr:
        """A size that this site's own code sets."""
        return d.size_symbol(self._scope.lowering.symbol("r"))

    def mark(self) -> Mark:
        """What can be told apart, or undone, later: all that is lowered from here on."""
        return Mark(self._scope.lowering)

    def choose(self) -> int:
        """0, or 1 where with 0 a node behind this one did not fit."""
        return self._scope.lowering.choose()

    # When it cannot be.

    def fail(self, message: str) -> NoReturn:
        """This node contradicts itself or its inputs."""
        raise CompileError(f"{self.note}: {message}")

    def unsupported(self, message: str) -> NoReturn:
        """A valid node in a form that nnlet does not compile."""
        raise UnsupportedModel(f"{self.note}: {message}")


def item_text(item: Dim | Real) -> str:
    return str(item) if isinstance(item, Real) else d.c(item)


def _replace(text: str, index: int, by: str) -> str:
    return re.sub(rf"@{index}\b", by.replace("\\", "\\\\"), text)


@dataclass(frozen=True)
class Body:
    """A lowered subgraph: its results have memory, some of them that of values outside."""

    scope: Scope
    results: list[Value]

    def own_copy(self, index: int) -> None:
        """Gives a result memory of its own."""
        value = self.results[index]
        copy = self.scope.storage(value.dtype, value.dims, value.label)
        size = d.c(value.size * value.dtype.size)
        at = value.storage if value.offset == 0 else f"({value.storage} + {d.c(value.offset)})"
        line = f"memcpy({copy.storage}, {at}, {size});"
        self.scope.steps.append(Call("copy", (copy,), (), frozenset({value.storage}), (line,)))
        self.results[index] = copy


class Mark:
    """A moment of a lowering: tells sizes from before it, and can go back to it."""

    def __init__(self, lowering: Lowering) -> None:
        self._lowering = lowering
        self._state = {name: copy(value) for name, value in vars(lowering).items()}

    def undo(self) -> None:
        """Forgets all that was lowered since."""
        for name, value in self._state.items():
            setattr(self._lowering, name, copy(value))

    def knows(self, dim: Dim) -> bool:
        """Whether `dim` is made of sizes from before."""
        since = set(self._lowering.symbols[len(self._state["symbols"]) :])
        return isinstance(dim, int) or since.isdisjoint(re.findall(r"\w+", d.c(dim)))
