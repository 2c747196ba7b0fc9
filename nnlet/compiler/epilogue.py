"""epilogue: a pass Program -> Program that moves elementwise steps into the kernels before them.

A bias, a residual and an activation that only limits (Relu, Clip) cost nothing while a
product's elements are still in registers: gemm.h takes them as its epilogue.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from nnlet.compiler.dims import Dim
from nnlet.compiler.program import Block, Call, Epilogue, Map, Program, Step, Value, walk

# The lets that Relu and Clip make (ops/elementwise.py); `x` is what is limited.
_LIMIT = re.compile(r"(?P<x>[@$]\d+) (?P<order>[<>]) (?P<by>\S+) \? (?P=by) : (?P=x)")
_NUMBER = re.compile(r"\(?(-?[0-9.]+(?:e[-+]?\d+)?)f?\)?")
_INFINITE = {"NN_INF": float("inf"), "-NN_INF": float("-inf"), "(-NN_INF)": float("-inf")}


def fuse_epilogues(program: Program) -> Program:
    """Joins each product with the elementwise steps that are its only readers."""
    uses: Counter[str] = Counter()
    for step in walk(program.steps):
        uses.update(step.reads - {v.storage for v in step.outputs})
        for part in step.code if isinstance(step, Call) else ():
            uses.update(part.keeps if isinstance(part, Block) else ())
    uses.update(value.storage for _, value in program.outputs)
    return replace(program, steps=_fuse(program.steps, uses))


def _fuse(steps: list[Step], uses: Counter[str]) -> list[Step]:
    result: list[Step | None] = []
    made: dict[str, int] = {}  # storage -> index in result of the product that fills it
    for step in steps:
        if isinstance(step, Call):
            step = _fuse_blocks(step, uses)
        else:
            for value in step.inputs:
                at = made.get(value.storage)
                product = None if at is None else result[at]
                joined = None
                if isinstance(product, Call) and uses[value.storage] == 1:
                    joined = _join(product, step, value)
                if joined is not None:
                    assert at is not None
                    step, result[at] = joined, None
                    break
        if isinstance(step, Call) and step.epilogue is not None:
            made[step.outputs[0].storage] = len(result)
        result.append(step)
    return [s for s in result if s is not None]


def _fuse_blocks(step: Call, uses: Counter[str]) -> Call:
    code = tuple(
        replace(part, steps=_fuse(part.steps, uses)) if isinstance(part, Block) else part
        for part in step.code
    )
    return replace(step, code=code)


def _join(product: Call, then: Map, link: Value) -> Call | None:
    """One Call that does `product`, then `then`, which reads it as `link`; None if it cannot."""
    (made,) = product.outputs
    assert product.epilogue is not None and isinstance(product.code[0], str)
    if not made.dims == link.dims == then.output.dims or then.output.dtype is not made.dtype:
        return None
    epilogue = _with_limits(product.epilogue, then) or _with_sum(product.epilogue, then, link)
    if epilogue is None:
        return None
    output = then.output
    code = re.sub(rf"\b{made.storage}\b", output.storage, product.code[0])
    reads = (product.reads - {made.storage}) | {v.storage for v in (output, *epilogue.values())}
    note = f"{product.note}, {then.note}"
    return replace(
        product, note=note, outputs=(output,), code=(code,), reads=reads, epilogue=epilogue
    )


def _with_limits(e: Epilogue, then: Map) -> Epilogue | None:
    """`e`, and then what `then` does if it only limits."""
    low, high = _number(e.low), _number(e.high)
    if low is None or high is None or len(then.inputs) != 1:
        return None
    for n, (_, text) in enumerate(then.lets):
        match = _LIMIT.fullmatch(text)
        by = _number(match["by"]) if match else None
        if match is None and text == "@0" and n == 0:
            continue  # Clip starts with its input
        if match is None or by is None or match["x"] not in ("@0", f"${n - 1}"):
            return None
        limit = max if match["order"] == "<" else min
        low, high = limit(low, by), limit(high, by)
    return replace(e, low=_text(low), high=_text(high))


def _number(text: str) -> float | None:
    """The value of a literal of ctext.py."""
    match = _NUMBER.fullmatch(text)
    return float(match[1]) if match else _INFINITE.get(text)


def _text(x: float) -> str:
    if x in (float("inf"), float("-inf")):
        return "NN_INF" if x > 0 else "-NN_INF"
    return f"{x!r}f"


def _with_sum(e: Epilogue, then: Map, link: Value) -> Epilogue | None:
    """`e` with what `then` adds, if that is all that it does."""
    if [text for _, text in then.lets] != ["@0 + @1"]:
        return None
    if len(then.inputs) != 2 or (e.low, e.high) != ("-NN_INF", "NN_INF"):
        return None
    a, b = then.inputs
    other = b if a.storage == link.storage else a
    if other.storage == link.storage:
        return None
    dims = then.output.dims
    if other.dims == dims and e.add is None:
        return replace(e, add=other)
    axis = _only_axis(other.dims, dims)
    if axis == len(dims) - 1 and e.column is None:
        return replace(e, column=other)
    if axis is not None and axis == e.axis and e.row is None:
        return replace(e, row=other)
    return None


def _only_axis(dims: tuple[Dim, ...], full: tuple[Dim, ...]) -> int | None:
    """The axis of `full` that `dims` has and repeats along all others; None if it is another."""
    missing = len(full) - len(dims)
    sized = [axis for axis, dim in enumerate(dims, start=missing) if dim != 1]
    if len(sized) != 1 or missing < 0 or dims[sized[0] - missing] != full[sized[0]]:
        return None
    return sized[0]
