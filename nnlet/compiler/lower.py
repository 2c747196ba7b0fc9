"""lower: Graph -> Program, one operator function a node.

A node whose result is known at compile time (constant, or sizes) leaves no step. For the others
an operator function gets a Site (site.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from nnlet.compiler import dims as d
from nnlet.compiler import fold, shapes
from nnlet.compiler.dims import Dim, Expr
from nnlet.compiler.graph import Array, Graph, Node, Port
from nnlet.compiler.program import (
    NUMPY,
    Call,
    Input,
    Kernel,
    Map,
    Program,
    Step,
    Value,
    datatype_of,
)
from nnlet.compiler.site import FP32, HALF, Op, OpTable, Site, item_text
from nnlet.compiler.sizes import Sizes
from nnlet.compiler.typecheck import check_types, output_type
from nnlet.errors import CompileError, NnletError, UnsupportedModel
from nnlet.tensor import DataType

MAX_ATTEMPTS = 64  # of choices, before the first error counts


def lower(graph: Graph, name: str, version: str, ops: OpTable) -> Program:
    """The program of one model. Raises UnsupportedModel or CompileError, naming the node.

    An operator may ask for a choice (`Site.choose`); the first choices with which all nodes fit
    are taken.
    """
    choices: list[int] = []
    first: NnletError | None = None
    for _ in range(MAX_ATTEMPTS):
        lowering = Lowering(ops, choices)
        try:
            return lowering.model(graph, name, version)
        except (CompileError, UnsupportedModel) as exc:
            first = first or exc
        choices = lowering.choices
        while choices and choices[-1]:  # both ways were tried here
            choices.pop()
        if not choices:
            break
        choices[-1] = 1
    assert first is not None
    raise first


class Lowering:
    """What is shared by all scopes of one model: counters, kernels, constants."""

    def __init__(self, ops: OpTable, choices: Sequence[int] = ()) -> None:
        self.ops = ops
        self.choices = list(choices)
        self.chosen = 0  # how many of them were asked for
        self.kernels: set[Kernel] = set()
        self.splits = False
        self.constants: dict[str, Array] = {}
        self.pointers: dict[str, Value] = {}
        self.symbols: list[str] = []
        self._stored: dict[int, Value] = {}
        self._alive: list[Array] = []

    def choose(self) -> int:
        """The next choice: as given, else 0."""
        if self.chosen == len(self.choices):
            self.choices.append(0)
        self.chosen += 1
        return self.choices[self.chosen - 1]

    def symbol(self, stem: str) -> str:
        name = f"{stem}{len(self.symbols)}"
        self.symbols.append(name)
        return name

    def model(self, graph: Graph, name: str, version: str) -> Program:
        scope = Scope(self, None)
        inputs = []
        named: dict[str, Expr] = {}
        for port in graph.inputs:
            value = self._input(port, scope, named)
            scope.names[port.name] = value
            inputs.append(Input(port.name, value))
        outputs = scope.run(graph)
        return Program(
            name,
            version,
            tuple(inputs),
            tuple((p.name, scope.stored(v)) for p, v in zip(graph.outputs, outputs, strict=True)),
            scope.steps,
            tuple(self.symbols),
            self.pointers,
            self.constants,
            frozenset(self.kernels),
            self.splits,
        )

    def _input(self, port: Port, scope: Scope, named: dict[str, Expr]) -> Value:
        if port.datatype is None or port.dims is None:
            raise UnsupportedModel(
                f"input {port.name!r} is not a tensor of known datatype and rank"
            )
        dims: list[Dim] = []
        for dim in port.dims:
            if isinstance(dim, int):
                dims.append(dim)
            elif dim is None:
                dims.append(d.size_symbol(self.symbol("n")))
            else:
                if dim not in named:
                    named[dim] = d.size_symbol(self.symbol("n"))
                dims.append(named[dim])
        return scope.storage(port.datatype, dims, port.name)

    def constant(self, array: Array, dtype: DataType, dims: tuple[Dim, ...]) -> Value:
        """A constant's storage; one array gets one storage however often it is read."""
        known = self._stored.get(id(array))
        if known is None:
            storage = f"w{len(self.constants)}"
            self.constants[storage] = array
            self._alive.append(array)  # keeps id() unique
            known = Value(storage, dtype, dims, const=array)
            self._stored[id(array)] = known
        return known


class Scope:
    """One graph being lowered: its names, and its steps so far."""

    def __init__(self, lowering: Lowering, outer: Scope | None) -> None:
        self.lowering = lowering
        self.outer = outer
        self.names: dict[str, Value] = {}
        self.absent: dict[str, str] = {}  # name -> why there is no such value
        self.steps: list[Step] = []
        around: Sizes | None = outer.sizes if outer else None
        self.sizes: Sizes = Sizes(lowering.symbol, self._append, around)
        self._made: dict[int, tuple[Value, Value]] = {}

    def _append(self, step: Step) -> None:
        self.steps.append(step)

    def inner(self) -> Scope:
        """The scope of a subgraph: what has no name there is looked up here."""
        return Scope(self.lowering, self)

    def run(self, graph: Graph) -> list[Value]:
        """Lowers every node; the graph's outputs."""
        for name, array in graph.constants.items():
            try:
                dtype = datatype_of(array)
            except CompileError as exc:  # strings: no matter, unless something reads them
                self.absent[name] = f"constant {name!r}: {exc}"
                continue
            self.names[name] = Value("", dtype, array.shape, const=array, label=name)
        for node in graph.nodes:
            self.node(node)
        return [self.find(p.name) for p in graph.outputs]

    def find(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if name in scope.absent:
                raise UnsupportedModel(scope.absent[name])
            scope = scope.outer
        raise CompileError(f"tensor {name!r} is read before anything makes it")

    def storage(self, dtype: DataType, dims: Sequence[Dim], label: str) -> Value:
        """A value with a storage of its own, to be placed by the memory plan."""
        dims = self.sizes.of_tensor(dims, label)
        name = f"t{len(self.lowering.pointers)}"
        value = Value(name, dtype, dims, label=label)
        self.lowering.pointers[name] = value
        return value

    def read(self, value: Value) -> tuple[Dim, ...]:
        """The elements of an integer tensor in memory, as sizes."""
        value = self.stored(value)
        at = value.storage if value.offset == 0 else f"({value.storage} + {d.c(value.offset)})"
        names = [self.lowering.symbol("r") for _ in range(int(value.size))]  # type: ignore[arg-type]
        code = tuple(f"{name} = nn_as_size({at}[{n}]);" for n, name in enumerate(names))
        self.steps.append(Call("sizes", (), (), frozenset({value.storage}), code))
        return tuple(d.symbol(name) for name in names)

    def stored(self, value: Value) -> Value:
        """`value` with storage: weights for a constant, a small buffer for known sizes."""
        if value.storage:
            return value
        if value.const is not None:
            return self.lowering.constant(value.const, value.dtype, value.dims)
        scope: Scope | None = self
        while scope is not None:
            if id(value) in scope._made:
                return scope._made[id(value)][1]
            scope = scope.outer
        assert value.ints is not None
        content = value.content
        if content is not None:
            return self.lowering.constant(content, value.dtype, value.dims)
        buffer = self.storage(value.dtype, value.dims, value.label)
        lines = tuple(f"{buffer.storage}[{n}] = {item_text(x)};" for n, x in enumerate(value.ints))
        self.steps.append(Call("sizes", (buffer,), (), frozenset(), lines))
        self._made[id(value)] = (value, buffer)
        return buffer

    def node(self, node: Node) -> None:
        """Lowers one node: folded, followed as sizes, or by its operator function."""
        inputs = [self.find(n) if n else None for n in node.inputs]
        results = self._known(node, inputs)
        if results is None:
            results = self._lowered(node, inputs)
        for index, name in enumerate(node.outputs):
            if name and index in results:
                self.names[name] = results[index]
            elif name:
                why = f"{node.op} '{node.name}': output {index} ({name!r}) is not supported"
                self.absent.setdefault(name, why)

    def _known(self, node: Node, inputs: Sequence[Value | None]) -> dict[int, Value] | None:
        """The results, where they can be had at compile time."""
        followed = shapes.evaluate(node, inputs, self.sizes.settled, self.read)
        if followed is not None:
            return {
                n: known.value(name)
                for n, (known, name) in enumerate(zip(followed, node.outputs, strict=False))
            }
        folded = fold.fold(node, inputs)
        if folded is None:
            return None
        return {
            n: Value("", datatype_of(a), a.shape, const=a, label=node.outputs[n])
            for n, a in enumerate(folded)
            if a is not None
        }

    def _lowered(self, node: Node, inputs: Sequence[Value | None]) -> dict[int, Value]:
        check_types(node, inputs)
        op = self.lowering.ops[node.op]
        if op.half or not any(v is not None and v.dtype.name in HALF for v in inputs):
            return self._operator(op, node, inputs).results
        widened = [self._cast(node, v, FP32) if v is not None else None for v in inputs]
        results = self._operator(op, node, widened).results
        for n, value in results.items():
            to = output_type(node, inputs, n)
            if to is not None and to.name in HALF and value.dtype is FP32:
                results[n] = self._cast(node, value, to)
        return results

    def _operator(self, op: Op, node: Node, inputs: Sequence[Value | None]) -> Site:
        """Runs the operator function; what it trips over is the node's fault or ours."""
        site = Site(node, self, inputs)
        try:
            op.lower(site)
            site.flush()
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as exc:
            raise CompileError(
                f"{site.note}: cannot be compiled ({type(exc).__name__}: {exc}). Where onnxruntime "
                "runs this model, it is a bug in nnlet: please report it"
            ) from exc
        return site

    def _cast(self, node: Node, value: Value, to: DataType) -> Value:
        """`value` as `to`, where one of both is a half and the other float32."""
        if value.dtype.name not in HALF and to.name not in HALF:
            return value
        if value.const is not None:
            array = value.const.astype(NUMPY[to.name])
            return Value("", to, value.dims, const=array, label=value.label)
        text = f"nn_{value.dtype.c}_to_f32(@0)" if to is FP32 else f"nn_f32_to_{to.c}(@0)"
        output = self.storage(to, value.dims, value.label)
        self.steps.append(
            Map(f"{node.op} '{node.name}' as {to.name}", output, (value,), ((to.c, text),))
        )
        return output
