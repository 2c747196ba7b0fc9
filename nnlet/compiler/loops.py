"""loops: a Map -> one C function, a loop nest with the fewest loops.

Neighbouring dimensions in which every input either steps or repeats alike are one loop, so
that tensors of equal shape are walked in a single loop that the C compiler vectorizes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nnlet.compiler import dims as d
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import Map, Value

STEP, REPEAT, EITHER = "step", "repeat", "either"  # what an input does along a dimension


@dataclass(frozen=True)
class Loop:
    """One loop of the nest: its length, and what each input does along it.

    For an input that does EITHER, `strides` has the C text of its stride (0 or more).
    """

    size: Dim
    kinds: tuple[str, ...]
    strides: tuple[str, ...]


@dataclass(frozen=True)
class MapFunction:
    """C text of the function's parameters and body (they name it by what they are), and of
    the arguments behind the output and input pointers."""

    parameters: str
    body: str
    arguments: tuple[str, ...]


def map_function(step: Map) -> MapFunction:
    """The loop nest of one Map."""
    loops = nest(step)
    parameters = [f"{step.output.dtype.c} *restrict y"]
    parameters += [f"const {v.dtype.c} *restrict x{n}" for n, v in enumerate(step.inputs)]
    parameters += [f"idx n{k}" for k in range(len(loops))]
    arguments = [d.c(loop.size) for loop in loops]
    for k, loop in enumerate(loops):
        for n, kind in enumerate(loop.kinds):
            if kind == EITHER:
                parameters.append(f"idx s{n}_{k}")
                arguments.append(loop.strides[n])
    return MapFunction(", ".join(parameters), _body(step, loops), tuple(arguments))


def alike(step: Map) -> tuple[str, Map] | None:
    """For inputs that do EITHER: a C condition under which they all step, and the Map that then
    does the same in fewer loops. None where each is known to step or to repeat."""
    tests: dict[str, None] = {}
    inputs = []
    for value in step.inputs:
        dims = list(value.dims)
        for axis, size in enumerate(step.output.dims):
            if _kind(value, step.output, axis) == EITHER:
                at = axis - step.output.rank + value.rank
                tests[f"{d.c(dims[at])} == {d.c(size)}"] = None
                dims[at] = size
        inputs.append(replace(value, dims=tuple(dims)))
    return (" && ".join(tests), replace(step, inputs=tuple(inputs))) if tests else None


def nest(step: Map) -> list[Loop]:
    """The loops over the output of `step`, outermost first."""
    loops: list[Loop] = []
    for axis, size in enumerate(step.output.dims):
        if size == 1:
            continue
        kinds = tuple(_kind(v, step.output, axis) for v in step.inputs)
        strides = tuple(_stride(v, step.output, axis) for v in step.inputs)
        if loops and loops[-1].kinds == kinds and EITHER not in kinds:
            loops[-1] = Loop(loops[-1].size * size, kinds, strides)
        else:
            loops.append(Loop(size, kinds, strides))
    return loops


def _at(value: Value, output: Value, axis: int) -> Dim:
    """The size of `value` along the output's axis."""
    at = axis - output.rank + value.rank
    return value.dims[at] if at >= 0 else 1


def _kind(value: Value, output: Value, axis: int) -> str:
    size = _at(value, output, axis)
    if size == 1:
        return REPEAT
    return STEP if size == output.dims[axis] else EITHER


def _stride(value: Value, output: Value, axis: int) -> str:
    size = _at(value, output, axis)
    at = axis - output.rank + value.rank
    stride = d.c(d.product(value.dims[at + 1 :])) if at >= 0 else "0"
    return f"({d.c(size)} == 1 ? 0 : {stride})"


def _body(step: Map, loops: list[Loop]) -> str:
    lines = []
    for k in range(len(loops)):
        lines.append("  " * (k + 1) + f"for (idx i{k} = 0; i{k} < n{k}; i{k}++) {{")
    pad = "  " * (len(loops) + 1)
    for n, (ctype, text) in enumerate(step.lets):
        expression = re.sub(r"@(\d+)", lambda m: _element(int(m[1]), loops), text)
        expression = re.sub(r"\$(\d+)", r"v\1", expression)
        lines.append(f"{pad}const {ctype} v{n} = {expression};")
    index = _index([f"i{k}" for k in range(len(loops))], [f"n{k}" for k in range(len(loops))])
    lines.append(f"{pad}y[{index}] = v{len(step.lets) - 1};")
    for k in reversed(range(len(loops))):
        lines.append("  " * (k + 1) + "}")
    return "\n".join(lines)


def _element(n: int, loops: list[Loop]) -> str:
    """C text of input `n` at the current indices."""
    if any(loop.kinds[n] == EITHER for loop in loops):
        parts = []
        for k, loop in enumerate(loops):
            if loop.kinds[n] == EITHER:
                parts.append(f"i{k} * s{n}_{k}")
            elif loop.kinds[n] == STEP:
                inner = [_extent(n, m, loops) for m in range(k + 1, len(loops))]
                parts.append(" * ".join([f"i{k}", *(e for e in inner if e)]))
        return f"x{n}[{' + '.join(parts) or '0'}]"
    steps = [k for k, loop in enumerate(loops) if loop.kinds[n] == STEP]
    return f"x{n}[{_index([f'i{k}' for k in steps], [f'n{k}' for k in steps])}]"


def _extent(n: int, k: int, loops: list[Loop]) -> str:
    """C text of how many elements of input `n` lie along loop `k`; "" for one."""
    kind = loops[k].kinds[n]
    if kind == REPEAT:
        return ""
    # Along EITHER it has one element if its stride there is 0, else all of them.
    return f"n{k}" if kind == STEP else f"(s{n}_{k} ? n{k} : 1)"


def _index(indices: list[str], sizes: list[str]) -> str:
    """Row-major index: (i0 * n1 + i1) * n2 + i2."""
    if not indices:
        return "0"
    text = indices[0]
    for i, n in zip(indices[1:], sizes[1:], strict=True):
        text = f"{text} * {n} + {i}" if " " not in text else f"({text}) * {n} + {i}"
    return text
