"""Program: what lowering makes of a Graph, and what memory and emit work on.

A Program is a list of steps. A step fills the storage of its outputs from the storages that
it reads; its code is C text that names storages by their variables (`t12`), so it does not
depend on where they will lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import ml_dtypes
import numpy as np

from nnlet.compiler.dims import Dim, product, static
from nnlet.compiler.graph import Array
from nnlet.compiler.reals import Real
from nnlet.errors import CompileError
from nnlet.tensor import DATATYPES, DataType

# The numpy type of each datatype (bfloat16 is ml_dtypes').
NUMPY: dict[str, np.dtype[Any]] = {
    row.name: np.dtype(
        {"bfloat16": ml_dtypes.bfloat16, "float": np.float32, "double": np.float64}.get(
            row.onnx_name, row.onnx_name
        )
    )
    for row in DATATYPES.values()
}
_DATATYPE = {dtype: DATATYPES[name] for name, dtype in NUMPY.items()}


def datatype_of(array: Array) -> DataType:
    """The datatype of an array. Raises CompileError for one that is not in the table."""
    try:
        return _DATATYPE[array.dtype]
    except KeyError:
        raise CompileError(f"tensors of type {array.dtype} are not supported") from None


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in the program.

    `storage` is the C variable that points to its first byte's storage, "" while it has none:
    a constant (`const`), or a small tensor whose elements are known as sizes (`ints`, flat; as
    Reals where it is floating point) get theirs when a step first needs their bytes. `offset`
    counts elements: a value may be a part of another's storage.
    """

    storage: str
    dtype: DataType
    dims: tuple[Dim, ...]
    const: Array | None = None
    ints: tuple[Dim | Real, ...] | None = None
    offset: Dim = 0
    label: str = ""

    @property
    def rank(self) -> int:
        return len(self.dims)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.dims)

    @property
    def content(self) -> Array | None:
        """The elements, where they are known at compile time."""
        if self.const is not None:
            return self.const
        if self.ints is None or not static(self.dims):
            return None
        if not all(isinstance(x, int) for x in self.ints):
            return None
        shape = tuple(int(x) for x in self.dims)  # type: ignore[arg-type]
        return np.array(self.ints, NUMPY[self.dtype.name]).reshape(shape)


@dataclass(frozen=True, eq=False)
class Block:
    """Steps inside a step: the body of a loop or the branch of a condition.

    `tail` runs after the steps, while the storages in `keeps` (its results) still live.
    """

    steps: list[Step]
    keeps: frozenset[str] = frozenset()
    tail: tuple[str, ...] = ()


Code = Union[str, Block]  # noqa: UP007

EPILOGUE = "@epilogue"  # in a line of C: the argument of type gemm_epilogue (gemm.h)


@dataclass(frozen=True)
class Epilogue:
    """What a product's kernel does to each element before it stores it:
    min(max(product + row + column + add, low), high).

    `row` has an element for each index along the output's axis `axis`, `column` along its last
    one; `add` has the output's shape. All are FP32, and so are the C texts of the limits.
    """

    axis: int | None = None  # None: there can be no `row`
    row: Value | None = None
    column: Value | None = None
    add: Value | None = None
    low: str = "-NN_INF"
    high: str = "NN_INF"

    def values(self) -> list[Value]:
        """What it reads."""
        return [v for v in (self.row, self.column, self.add) if v is not None]


@dataclass(frozen=True, eq=False)
class Call:
    """Statements, mostly calls of kernels.

    `outputs` and `scratch` get storage before the code runs, except that the code itself takes
    memory for the outputs in `late`; scratch is free after it. Where the only statement is a
    kernel that can do more to its output, `epilogue` says what it does, and the C text of the
    EPILOGUE argument stands for it.
    """

    note: str
    outputs: tuple[Value, ...]
    scratch: tuple[Value, ...]
    reads: frozenset[str]
    code: tuple[Code, ...]
    late: frozenset[str] = frozenset()
    epilogue: Epilogue | None = None


@dataclass(frozen=True, eq=False)
class Map:
    """One loop nest over `output`: for every element, the `lets` in order, the last stored.

    A let is (C type, C expression) in which `@n` is the element of the n-th input and `$n`
    the n-th let. Inputs broadcast as ONNX says.
    """

    note: str
    output: Value
    inputs: tuple[Value, ...]
    lets: tuple[tuple[str, str], ...]

    @property
    def outputs(self) -> tuple[Value, ...]:
        return (self.output,)

    @property
    def scratch(self) -> tuple[Value, ...]:
        return ()

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(v.storage for v in self.inputs)


Step = Union[Call, Map]  # noqa: UP007


@dataclass(frozen=True)
class Kernel:
    """A C file of ops/ as included once for `types` (as T, U, ... in it)."""

    family: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Input:
    """A model input: `dims` are ints or the symbols that the generated code sets."""

    name: str
    value: Value


@dataclass(frozen=True)
class Program:
    """One model, lowered."""

    name: str
    version: str
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, Value], ...]
    steps: list[Step]
    symbols: tuple[str, ...]  # run-time sizes, declared as i64
    pointers: dict[str, Value] = field(default_factory=dict)  # storage -> the value it is for
    constants: dict[str, Array] = field(default_factory=dict)  # storage -> content
    kernels: frozenset[Kernel] = frozenset()
    splits: bool = False  # whether a product may take its sums in parts (gemm.h: GEMM_DEPTH)


def blocks(step: Step) -> Iterator[Block]:
    """The blocks directly inside a step."""
    if isinstance(step, Call):
        yield from (part for part in step.code if isinstance(part, Block))


def reads(step: Step) -> frozenset[str]:
    """Every storage that a step reads, in its blocks too."""
    result = step.reads
    for block in blocks(step):
        result = result.union(block.keeps, *(reads(s) for s in block.steps))
    return result


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those inside blocks included."""
    for step in steps:
        yield step
        for block in blocks(step):
            yield from walk(block.steps)
