"""The ONNX conformance suite (onnx.backend.test, node tests) against the compiler.

    python -m benchmarks.conformance                  # all, through the compiled component
    python -m benchmarks.conformance --match softmax  # the cases whose name has a match
    python -m benchmarks.conformance --runtime native # the same C as native code: faster
    python -m benchmarks.conformance --runtime fenced # and its memory behind page fences
    python -m benchmarks.conformance --write          # keeps the results, makes docs/operators.md

Many cases are compiled into one module. A case that cannot apply is left out with a reason
(`excluded`); everything else counts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from onnx.backend.test.case.test_case import TestCase
from onnx.numpy_helper import to_array

from nnlet.compiler import CModule, compile_protos
from nnlet.compiler.load import OLDEST_OPSET, op_key
from nnlet.compiler.ops import OPS
from nnlet.errors import InferenceError, NnletError
from nnlet.tensor import BY_ONNX, DataType

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "conformance.json"
DOCS = ROOT / "docs" / "operators.md"
CHUNK = 60  # cases a module: larger ones compile no faster a case
CHUNK_SECONDS = 120
# Children of a process without threads: a fork of one that has them can stand still for ever.
CLEAN = multiprocessing.get_context("forkserver")

# Operators whose answer is not a function of their inputs.
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
          "RandomUniformLike"}  # fmt: skip
TRAINING = "ai.onnx.preview.training"
OPTIONAL = {"OptionalGetElement", "OptionalHasElement", "Optional"}
NARROW = {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0",
          "float4e2m1", "int4", "uint4", "int2", "uint2"}  # fmt: skip


class Runtime(Protocol):
    """What runs compiled models: native.NativeModels or provider.Provider."""

    def run(
        self, name: str, version: str, inputs: dict[str, Any], outputs: Sequence[DataType]
    ) -> list[Any]: ...


@dataclass(frozen=True)
class Result:
    """One case: `outcome` is passed, failed or excluded, `reason` says why it did not pass."""

    name: str
    operators: tuple[str, ...]
    opset: int
    outcome: str
    reason: str = ""


def cases(match: str = "") -> list[TestCase]:
    """The node cases of onnx.backend.test whose name contains a match of `match`."""
    from onnx.backend.test import loader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite computes its own infinities
        found = loader.load_model_tests(kind="node")
    return [case for case in found if re.search(match, case.name)]


def excluded(case: TestCase) -> str:
    """Why a case is left out; "" if it counts."""
    model = case.model
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"{(kind or 'untyped').removesuffix('_type')} values: wasi-nn carries tensors"
        name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        if name == "string":
            return "string tensors: wasi-nn has none"
        if name in NARROW:
            return "tensors of 8-bit floats or fewer than 8 bits: no such type in wasi-nn"
        if value.type.tensor_type.elem_type not in BY_ONNX:
            return f"{name} tensors: no runtime type"
    for node in operators_of(model.graph):
        if node.domain == TRAINING or _trains(node):
            return "training"
        if node.op_type in OPTIONAL:
            return "optional values: wasi-nn carries tensors"
        if node.op_type in RANDOM:
            return "random numbers: no answer to compare with"
        if any(a.type == a.SPARSE_TENSOR for a in node.attribute):
            return "sparse tensors: not in ONNX exports"
    if opset_of(model) < OLDEST_OPSET:
        return f"opset below {OLDEST_OPSET}"
    return ""


def _trains(node: onnx.NodeProto) -> bool:
    """Whether a node is in training mode: by attribute, or for Dropout by its third input."""
    mode = any(a.name == "training_mode" and a.i for a in node.attribute)
    return mode or (node.op_type == "Dropout" and len(node.input) > 2)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model imports."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 99)


def operators_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators_of(attribute.g)


def describe(case: TestCase, outcome: str, reason: str = "") -> Result:
    """The Result of one case."""
    nodes = list(operators_of(case.model.graph))
    names = sorted({op_key(n.domain, n.op_type) for n in nodes})
    return Result(case.name, tuple(names), opset_of(case.model), outcome, reason)


def native(module: CModule) -> Runtime:
    """The C as a native library."""
    from nnlet.native import NativeModels

    return NativeModels(module.source, module.weights, level=0)


def fenced(module: CModule) -> Runtime:
    """The C as a native library whose memory blocks end at pages that may not be touched."""
    from nnlet.native import NativeModels

    fence = {"arena.c": (ROOT / "benchmarks" / "fence.c").read_bytes()}
    return NativeModels(module.source, module.weights, replace=fence, sanitize=True)


def wasm(module: CModule) -> Runtime:
    """The C as a component, in wasmtime."""
    from nnlet.component import build_component
    from nnlet.provider import Provider

    return Provider(build_component(module.source, module.weights))


RUNTIMES: dict[str, Callable[[CModule], Runtime]] = {
    "native": native,
    "fenced": fenced,
    "wasm": wasm,
}


def run_cases(
    chosen: Sequence[TestCase], runtime: str, progress: Callable[[int], None] = lambda n: None
) -> list[Result]:
    """The results of all cases, in order."""
    results: dict[str, Result] = {}
    ready: list[TestCase] = []
    for case in chosen:
        reason = excluded(case)
        if reason:
            results[case.name] = describe(case, "excluded", reason)
            continue
        problem = _compiles(case)
        if problem:
            results[case.name] = describe(case, "failed", problem)
        else:
            ready.append(case)
    for start in range(0, len(ready), CHUNK):
        chunk = ready[start : start + CHUNK]
        for result in _isolated(chunk, runtime):
            results[result.name] = result
        progress(start + len(chunk))
    return [results[case.name] for case in chosen]


def _compiles(case: TestCase) -> str:
    """Why the compiler refuses a case; "" if it does not."""
    try:
        compile_protos([("m", "1", case.model)])
    except NnletError as exc:
        return str(exc)
    except Exception as exc:  # a bug in the compiler is a result too
        return f"BUG: {type(exc).__name__}: {exc}"
    return ""


def _isolated(chunk: Sequence[TestCase], runtime: str) -> list[Result]:
    """Runs a chunk in a process of its own; one that dies is split until the case is found."""
    receiver, sender = CLEAN.Pipe(duplex=False)
    process = CLEAN.Process(target=_run_chunk, args=(chunk, runtime, sender))
    process.start()
    sender.close()
    answer: list[Result] | str
    try:
        in_time = receiver.poll(CHUNK_SECONDS)
        answer = receiver.recv() if in_time else f"did not end in {CHUNK_SECONDS} s"
    except EOFError:
        process.join()
        answer = f"the process died with exit code {process.exitcode}"
    process.kill()
    process.join()
    if isinstance(answer, list):
        return answer
    if len(chunk) == 1:
        return [describe(chunk[0], "failed", answer)]
    half = len(chunk) // 2
    return [*_isolated(chunk[:half], runtime), *_isolated(chunk[half:], runtime)]


def _run_chunk(chunk: Sequence[TestCase], runtime: str, sender: Any) -> None:
    try:
        module = compile_protos([(f"m{n}", "1", case.model) for n, case in enumerate(chunk)])
        models = RUNTIMES[runtime](module)
    except Exception as exc:
        sender.send(f"{type(exc).__name__}: {str(exc)[-600:]}")
        return
    sender.send([_run_case(f"m{n}", case, models) for n, case in enumerate(chunk)])


def _run_case(name: str, case: TestCase, models: Runtime) -> Result:
    assert case.data_sets is not None
    graph = case.model.graph
    names = [v.name for v in graph.input]
    types = [BY_ONNX[v.type.tensor_type.elem_type] for v in graph.output]
    for given, expected in case.data_sets:
        inputs = {n: _array(x) for n, x in zip(names, given, strict=False)}
        try:
            found = models.run(name, "1", inputs, types)
            compare(found, [_array(x) for x in expected], case.rtol, case.atol)
        except (InferenceError, AssertionError) as exc:
            return describe(case, "failed", " ".join(str(exc).split())[:300])
        except Exception as exc:
            return describe(case, "failed", f"{type(exc).__name__}: {str(exc)[:300]}")
    return describe(case, "passed")


def _array(value: Any) -> Any:
    """Some cases hold arrays, some protobuf tensors."""
    return to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def compare(found: Sequence[Any], expected: Sequence[Any], rtol: float, atol: float) -> None:
    """As onnx.backend.test does: shapes, types, and values within the case's tolerances."""
    assert len(found) == len(expected), f"{len(found)} outputs, expected {len(expected)}"
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape, f"output {n}: shape {a.shape}, expected {b.shape}"
        assert a.dtype == b.dtype, f"output {n}: type {a.dtype}, expected {b.dtype}"
        if a.dtype.kind not in "fc" and a.dtype.name != "bfloat16":
            assert np.array_equal(a, b), f"output {n}: {_difference(a, b)}"
        else:
            a, b = a.astype(np.float64), b.astype(np.float64)
            close = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
            assert close.all(), f"output {n}: {_difference(a, b, close)}"


def _difference(a: Any, b: Any, close: Any = None) -> str:
    bad = np.argwhere(~(close if close is not None else np.asarray(a == b)))
    at = tuple(bad[0].tolist()) if len(bad) else ()
    return f"{len(bad)} of {a.size} differ, first at {at}: found {a[at]}, expected {b[at]}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--match", default="", help="a regular expression on case names")
    parser.add_argument("--runtime", choices=sorted(RUNTIMES), default="wasm")
    parser.add_argument("--write", action="store_true", help="keep results, make the docs")
    args = parser.parse_args()
    start = time.perf_counter()
    chosen = cases(args.match)
    results = run_cases(
        chosen, args.runtime, lambda n: print(f"{n} run", file=sys.stderr, flush=True)
    )
    for result in results:
        if result.outcome == "failed":
            print(f"FAILED {result.name}: {' '.join(result.reason.split())[:250]}")
    counts = Counter(r.outcome for r in results)
    print(dict(counts), f"in {time.perf_counter() - start:.0f} s")
    if args.write:
        write(results, args.runtime)
    return 1 if counts["failed"] else 0


def write(results: Sequence[Result], runtime: str) -> None:
    """Keeps the results as JSON and makes docs/operators.md from them."""
    record = {
        "command": f"python -m benchmarks.conformance --runtime {runtime} --write",
        "versions": {p: version(p) for p in ("onnx", "numpy", "wasmtime", "ziglang")},
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "counts": dict(Counter(r.outcome for r in results)),
        "cases": [asdict(r) for r in results],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    DOCS.write_text(document(record), encoding="utf-8")


def document(record: dict[str, Any]) -> str:
    """docs/operators.md: operator, opsets, cases passed, and what is missing."""
    counts = record["counts"]
    applicable = counts.get("passed", 0) + counts.get("failed", 0)
    share = 100 * counts.get("passed", 0) / max(applicable, 1)
    reasons = Counter(c["reason"] for c in record["cases"] if c["outcome"] == "excluded")
    lines = [
        "# Operators",
        "",
        "Generated from a run of the ONNX conformance suite (onnx.backend.test, node tests)",
        f"through the compiled component: `{record['command']}`",
        f"(onnx {record['versions']['onnx']}, wasmtime {record['versions']['wasmtime']}).",
        "",
        f"**{counts.get('passed', 0)} of {applicable} applicable cases pass ({share:.1f} %).**",
        "A case counts for every operator in it. Opsets 7 to the newest are accepted.",
        "",
        "| operator | since | passed | of |",
        "|---|---|---|---|",
    ]
    tally = _tally(record["cases"])
    for name in sorted(OPS, key=str.lower):
        passed, total = tally.get(name, (0, 0))
        lines.append(f"| {name} | {_since(name)} | {passed or ''} | {total or 'no case'} |")
    lines += ["", "## Missing", "", *_missing(tally)]
    failed = [c for c in record["cases"] if c["outcome"] == "failed"]
    lines += ["", "## Cases that fail", ""]
    lines += [f"- `{c['name']}`: {_brief(c['reason'])}" for c in failed] or ["None."]
    lines += ["", "## Left out of the count", ""]
    lines += [f"- {n} cases: {reason}" for reason, n in reasons.most_common()]
    return "\n".join(lines) + "\n"


def _brief(reason: str) -> str:
    """One line of a reason; of a list of missing operators, the operators."""
    head, *rest = reason.splitlines()
    return f"{head} {rest[0].strip()}" if head.endswith(":") and rest else head


def _tally(found: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    tally: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for case in found:
        if case["outcome"] == "excluded":
            continue
        for name in case["operators"]:
            passed, total = tally[name]
            tally[name] = (passed + (case["outcome"] == "passed"), total + 1)
    return tally


def _since(name: str) -> str:
    domain, _, op = name.rpartition(".")
    try:
        return str(onnx.defs.get_schema(op, domain=domain).since_version)
    except onnx.defs.SchemaError:
        return ""


def _missing(tally: dict[str, tuple[int, int]]) -> list[str]:
    """ONNX operators that neither have a kernel nor a function body that expands to some."""
    lines = []
    for schema in sorted(onnx.defs.get_all_schemas(), key=lambda s: (s.domain, s.name)):
        name = op_key(schema.domain, schema.name)
        if name in OPS or schema.deprecated or schema.domain == TRAINING:
            continue
        expands = schema.has_function or schema.has_context_dependent_function  # type: ignore[attr-defined]
        passed, total = tally.get(name, (0, 0))
        if expands:
            lines.append(f"- {name}: expanded to its ONNX function ({passed} of {total} pass)")
        else:
            lines.append(f"- {name}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
