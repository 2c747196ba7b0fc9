"""emit: Programs and their Plans -> one C file and one blob of weights.

It knows text, not graphs: what a step computes is in the step already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import c_string
from nnlet.compiler.graph import Array
from nnlet.compiler.loops import alike, map_function
from nnlet.compiler.memory import Plan, last_reads
from nnlet.compiler.program import (
    EPILOGUE,
    Block,
    Call,
    Epilogue,
    Kernel,
    Map,
    Program,
    Step,
    Value,
    datatype_of,
    walk,
)
from nnlet.tensor import DATATYPES, DataType

OPS = Path(__file__).parent / "ops"
WEIGHT_ALIGN = 64
# With less weights than this, a kilobyte of code counts for more than a product's speed, but in
# families whose products are long whatever their weights.
SMALL_WEIGHTS = 64 << 10
LONG = frozenset({"attention", "conv_packed", "recurrent", "winograd"})
_TYPE_NAMES = "TUVW"


@dataclass(frozen=True)
class CModule:
    """What the C compiler gets. `weights` lie at NN_WEIGHTS, 64-byte aligned, when it runs."""

    source: str
    weights: bytes


def emit(programs: Sequence[tuple[Program, Plan]]) -> CModule:
    """The C of all models, in the order of nn_models (by name, then by version)."""
    weights = _Weights()
    maps = _Maps()
    ordered = sorted(programs, key=lambda p: (p[0].name, int(p[0].version)))
    runs = [
        _Run(f"m{n}", program, plan, weights, maps).text()
        for n, (program, plan) in enumerate(ordered)
    ]
    kernels = sorted(
        {k for program, _ in ordered for k in program.kernels}, key=lambda k: (k.family, k.types)
    )
    blob = weights.blob()
    parts = [*_defines([p for p, _ in ordered], len(blob)), '#include "prelude.h"\n']
    parts += [_kernel(k) for k in kernels]
    parts += maps.texts
    parts += runs
    parts.append(_table([f"m{n}" for n in range(len(ordered))], [p for p, _ in ordered]))
    return CModule("\n".join(parts), blob)


def _defines(programs: Sequence[Program], weight_bytes: int) -> list[str]:
    """What gemm.h may leave out."""
    steps = [step for program in programs for step in walk(program.steps)]
    ends = [s.epilogue for s in steps if isinstance(s, Call) and s.epilogue is not None]
    families = {kernel.family for program in programs for kernel in program.kernels}
    used = {
        "GEMM_ROW": any(e.row for e in ends),
        "GEMM_COLUMN": any(e.column for e in ends) or "recurrent" in families,
        "GEMM_ADD": any(e.add for e in ends) or any(p.splits for p in programs),
        "GEMM_SMALL": weight_bytes < SMALL_WEIGHTS and families.isdisjoint(LONG),
    }
    return [f"#define {name} {int(value)}" for name, value in used.items()]


class _Weights:
    """The blob: equal arrays are stored once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._size = 0

    def place(self, array: Array) -> int:
        """The byte offset of `array` in the blob."""
        data = array.tobytes()
        if data not in self._known:
            self._known[data] = self._size
            padded = data + bytes(-len(data) % WEIGHT_ALIGN)
            self._parts.append(padded)
            self._size += len(padded)
        return self._known[data]

    def blob(self) -> bytes:
        return b"".join(self._parts)


class _Maps:
    """The loop nests: equal ones are one function."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[tuple[str, str], str] = {}

    def call(self, step: Map) -> str:
        """C text that runs `step`; sizes that turn out to be equal get the faster loops."""
        general = self._call(step)
        faster = alike(step)
        if faster is None:
            return general
        test, same = faster
        return f"if ({test}) {self._call(same)} else {general}"

    def _call(self, step: Map) -> str:
        function = map_function(step)
        key = (function.parameters, function.body)
        if key not in self._known:
            name = f"map{len(self._known)}"
            self._known[key] = name
            self.texts.append(
                f"static void {name}({function.parameters}) {{\n{function.body}\n}}\n"
            )
        pointers = [_pointer(v) for v in (step.output, *step.inputs)]
        return f"{self._known[key]}({', '.join([*pointers, *function.arguments])});"


def _pointer(value: Value) -> str:
    return value.storage if value.offset == 0 else f"{value.storage} + {d.c(value.offset)}"


def _epilogue(e: Epilogue) -> str:
    pointers = ["0" if v is None else _pointer(v) for v in (e.row, e.column, e.add)]
    return f"(gemm_epilogue){{{', '.join([*pointers, e.low, e.high])}}}"


def _kernel(kernel: Kernel) -> str:
    """A family's C file, with its types defined around it."""
    text = (OPS / f"{kernel.family}.c").read_text(encoding="utf-8")
    if not kernel.types:
        return text
    names = list(zip(_TYPE_NAMES, kernel.types, strict=False))
    suffix = "_".join(kernel.types)
    head = [f"#define {n} {t}" for n, t in names] + [f"#define NAME(f) f##_{suffix}"]
    tail = [f"#undef {n}" for n, _ in names] + ["#undef NAME"]
    return "\n".join([*head, text, *tail, ""])


class _Run:
    """The function that runs one model."""

    def __init__(
        self, name: str, program: Program, plan: Plan, weights: _Weights, maps: _Maps
    ) -> None:
        self.name = name
        self.program = program
        self.plan = plan
        self.weights = weights
        self.maps = maps
        self.lines: list[str] = []

    def text(self) -> str:
        program = self.program
        self.line(f"// {program.name}, version {program.version}")
        self.line(f"static i32 run_{self.name}(const nn_tensor *in, nn_tensor *out) {{")
        self.line("i32 status = NN_OK;", 1)
        self.line(f"memset(out, 0, {len(program.outputs)} * sizeof *out);", 1)
        self._declare()
        self._bind_inputs()
        self._steps(program.steps, 1, frozenset(v.storage for _, v in program.outputs))
        self._finish_outputs()
        self.line("done:")
        self.line("nn_scratch_reset();", 1)
        self.line(f"if (status != NN_OK) nn_release(out, {len(program.outputs)});", 1)
        self.line("return status;", 1)
        self.line("}")
        return "\n".join(self.lines) + "\n"

    def line(self, text: str, depth: int = 0) -> None:
        self.lines.append("  " * depth + text)

    def _declare(self) -> None:
        """Everything at the top: `goto done` may not pass a declaration by."""
        program, plan = self.program, self.plan
        for name, array in program.constants.items():
            ctype = _ctype(array)
            offset = self.weights.place(array)
            self.line(f"const {ctype} *const {name} = (const {ctype} *)(NN_WEIGHTS + {offset});", 1)
        for symbol in program.symbols:
            self.line(f"i64 {symbol} = 0;", 1)
        inputs = {i.value.storage for i in program.inputs}
        for name, value in program.pointers.items():
            const = "const " if name in inputs else ""
            self.line(f"{const}{value.dtype.c} *{name} = 0;", 1)
        self.line("u8 *arena = 0;", 1)
        if plan.arena:
            self.line(f'NN_TAKE(arena, nn_scratch, "the model", {plan.arena});', 1)
        for name, offset in plan.offsets.items():
            ctype = program.pointers[name].dtype.c
            self.line(f"{name} = ({ctype} *)(arena + {offset});", 1)

    def _bind_inputs(self) -> None:
        """Sizes first, then pointers; a name given twice must mean one size."""
        seen: dict[str, str] = {}
        for n, port in enumerate(self.program.inputs):
            for axis, dim in enumerate(port.value.dims):
                if isinstance(dim, int):
                    continue
                symbol, found = d.c(dim), f"in[{n}].dims[{axis}]"
                if symbol not in seen:
                    self.line(f"{symbol} = {found};", 1)
                    seen[symbol] = c_string(port.name)
                else:
                    text = f"input '%s' has %d in dimension {axis}, but input '%s' has %d for it"
                    names = f"{c_string(port.name)}, (i64){found}, {seen[symbol]}, {symbol}"
                    check = f'{symbol} == {found}, NN_INVALID_ARGUMENT, "{text}"'
                    self.line(f"NN_CHECK({check}, {names});", 1)
        for n, port in enumerate(self.program.inputs):
            self._bind(n, port.value, port.name)

    def _bind(self, n: int, value: Value, name: str) -> None:
        carrier = DATATYPES[value.dtype.carrier]
        if carrier is value.dtype or carrier.size == value.dtype.size != 1:
            self.line(f"{value.storage} = in[{n}].data;", 1)
            return
        # A type that wasi-nn lacks crosses in a wider one (nnlet/tensor.py: carrier).
        dims = ", ".join(d.c(x) for x in value.dims)
        convert = "x[i] != 0" if value.dtype.kind == "b" else f"({value.dtype.c})x[i]"
        self.line("{", 1)
        self.line(f"const {carrier.c} *x = in[{n}].data;", 2)
        self.line(f"{value.dtype.c} *y = 0;", 2)
        self.line(f"NN_TAKE(y, nn_scratch, {c_string(name)}, {dims});", 2)
        self.line(f"for (idx i = 0; i < {d.c(value.size)}; i++) y[i] = {convert};", 2)
        self.line(f"{value.storage} = y;", 2)
        self.line("}", 1)

    def _steps(self, steps: list[Step], depth: int, keeps: frozenset[str]) -> None:
        dying = last_reads(steps, keeps)
        for step, dead in zip(steps, dying, strict=True):
            self.line(f"// {_comment(step.note)}", depth)
            late = step.late if isinstance(step, Call) else frozenset()
            for value in (*step.outputs, *step.scratch):
                if value.storage not in late:
                    self._take(value, depth)
            if isinstance(step, Map):
                self.line(self.maps.call(step), depth)
            else:
                self._code(step, depth)
            scratch = {v.storage for v in step.scratch}
            for name in sorted(dead | scratch):
                if self._dynamic(name):
                    self.line(f"nn_free({name});", depth)

    def _code(self, step: Call, depth: int) -> None:
        for part in step.code:
            if isinstance(part, Block):
                self._steps(part.steps, depth + 1, part.keeps)
                for text in part.tail:
                    self.line(text, depth + 1)
                made = {v.storage for s in part.steps for v in s.outputs}
                for name in sorted(part.keeps & made):
                    if self._dynamic(name):
                        self.line(f"nn_free({name});", depth + 1)
            elif step.epilogue is not None:
                self.line(part.replace(EPILOGUE, _epilogue(step.epilogue)), depth)
            else:
                self.line(part, depth)

    def _dynamic(self, name: str) -> bool:
        return (
            name in self.program.pointers
            and name not in self.plan.offsets
            and name not in self.plan.owned
        )

    def _take(self, value: Value, depth: int) -> None:
        """Memory for a storage that has none in the arena."""
        name = value.storage
        if name in self.plan.offsets:
            return
        label = c_string(value.label or name)
        dims = ", ".join(d.c(x) for x in value.dims)
        source = "nn_alloc" if name in self.plan.owned else "nn_scratch"
        self.line(f"NN_TAKE({name}, {source}, {label}, {dims});", depth)
        if name in self.plan.owned:
            # From here on it is freed with the output, also where the run fails.
            self.line(f"out[{self.plan.owned[name]}].data = {name};", depth)

    def _finish_outputs(self) -> None:
        for n, (name, value) in enumerate(self.program.outputs):
            carrier = DATATYPES[value.dtype.carrier]
            dims = ", ".join(d.c(x) for x in value.dims)
            size = d.c(value.size)
            self.line(f"// output '{_comment(name)}'", 1)
            if self.plan.owned.get(value.storage) != n:
                self.line("{", 1)
                self.line(f"{carrier.c} *y = 0;", 2)
                self.line(f"NN_TAKE(y, nn_alloc, {c_string(name)}, {dims});", 2)
                self.line(f"out[{n}].data = y;", 2)
                self.line(
                    f"for (idx i = 0; i < {size}; i++) y[i] = ({carrier.c})({_pointer(value)})[i];",
                    2,
                )
                self.line("}", 1)
            self.line(
                f"NN_CHECK(nn_describe(&out[{n}], NN_{_nn_name(carrier)}, {carrier.size}, "
                f"{value.rank}, (const i64[]){{{dims or '0'}}}), NN_TOO_LARGE, "
                f"\"output '%s' needs more memory than there is\", {c_string(name)});",
                1,
            )


def _table(names: list[str], programs: list[Program]) -> str:
    """nn_models: what the callers of the C file read."""
    lines: list[str] = []
    rows: list[str] = []
    for name, program in zip(names, programs, strict=True):
        inputs = [(i.name, i.value) for i in program.inputs]
        for what, ports in (("inputs", inputs), ("outputs", list(program.outputs))):
            entries = []
            for k, (port, value) in enumerate(ports):
                sizes = ", ".join(str(x) if isinstance(x, int) else "-1" for x in value.dims)
                array = f"{name}_{what}{k}"
                lines.append(f"static const i32 {array}[] = {{{sizes or '0'}}};")
                kind = f"NN_{_nn_name(DATATYPES[value.dtype.carrier])}"
                entries.append(f"  {{{c_string(port)}, {array}, {kind}, {value.rank}}},")
            lines.append(f"static const nn_port {name}_{what}[] = {{")
            lines += entries or ['  {"", 0, 0, 0},']
            lines.append("};")
        rows.append(
            f'  {{{c_string(program.name)}, "{program.version}", {name}_inputs, {name}_outputs, '
            f"{len(program.inputs)}, {len(program.outputs)}, run_{name}}},"
        )
    lines += ["const nn_model nn_models[] = {", *rows, "};"]
    lines.append(f"const u32 nn_model_count = {len(programs)};\n")
    return "\n".join(lines)


def _ctype(array: Array) -> str:
    return datatype_of(array).c


def _nn_name(dtype: DataType) -> str:
    """wasi-nn's name of a datatype that it has."""
    return {"UINT8": "U8", "INT32": "I32", "INT64": "I64"}.get(dtype.name, dtype.name)


def _comment(text: str) -> str:
    """`text` on one line of a comment."""
    return "".join(ch if ch.isprintable() and ch != "\\" else "?" for ch in text)
