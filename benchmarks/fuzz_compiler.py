"""Mutated ONNX files into the compiler, and what comes out of it run behind page fences.

    python -m benchmarks.fuzz_compiler                 # 10,000 mutants, results kept
    python -m benchmarks.fuzz_compiler --count 200 --seed 1

For every mutant the compiler must answer in time, with C or with one clear line; C must compile,
and must neither read nor write outside its memory on any input: each block of the heap is
fenced by pages that may not be touched (fence.c), and undefined behaviour stops the process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks import conformance
from nnlet.carrier import numpy_dtype
from nnlet.compiler import compile_protos
from nnlet.errors import InferenceError, NnletError
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fuzz_compiler.json"
FENCE = Path(__file__).with_name("fence.c")
COMPILE_SECONDS = 20
RUN_SECONDS = 20
BATCH = 60  # mutants a C module
NO_MODULE = -1
CORPUS = 400  # small conformance models, besides the shipped ones


@dataclass(frozen=True)
class Finding:
    """One mutant that did what none may do."""

    mutant: int
    seed_model: str
    what: str


# -- mutating ---------------------------------------------------------------------------------


def corpus() -> list[tuple[str, bytes]]:
    """Name and bytes of the models that are mutated."""
    found = [(p.parts[-3], p.read_bytes()) for p in sorted(ROOT.glob("models/*/*/model.onnx"))]
    cases = [c for c in conformance.cases() if not conformance.excluded(c)]
    random.Random(0).shuffle(cases)
    return found + [(c.name, c.model.SerializeToString()) for c in cases[:CORPUS]]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A damaged copy: its bytes, or its parts by kind."""
    if rng.random() < 0.3:
        return _mutate_bytes(data, rng)
    proto = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(PARTS)(proto, rng)
    return proto.SerializeToString()


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(changed))
        if kind == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[at] = rng.randrange(256)
        else:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
    return bytes(changed)


def _number(rng: random.Random) -> int:
    return rng.choice((0, 1, -1, 2, 3, 5, 7, 100, -7, 65536, 2**31 - 1, 2**31, -(2**31), 2**62))


def _attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    attributes = [a for n in proto.graph.node for a in n.attribute]
    if not attributes:
        return
    chosen = rng.choice(attributes)
    if chosen.type == chosen.INT:
        chosen.i = _number(rng)
    elif chosen.type == chosen.INTS and chosen.ints:
        chosen.ints[rng.randrange(len(chosen.ints))] = _number(rng)
        if rng.random() < 0.2:
            del chosen.ints[rng.randrange(len(chosen.ints)) :]
    elif chosen.type == chosen.FLOAT:
        chosen.f = rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf"), 0.5))
    elif chosen.type == chosen.STRING:
        chosen.s = rng.choice((b"", b"linear", b"SAME_UPPER", b"reflect", b"\xff"))


def _drop_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = [n for n in proto.graph.node if n.attribute]
    if nodes:
        node = rng.choice(nodes)
        del node.attribute[rng.randrange(len(node.attribute))]


def _rewire(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = [n for n in proto.graph.node if n.input]
    names = [n for node in proto.graph.node for n in (*node.input, *node.output)]
    if nodes:
        node = rng.choice(nodes)
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, ""])


def _dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    values = [*proto.graph.input]
    if not values:
        return
    dims = rng.choice(values).type.tensor_type.shape.dim
    if not dims or rng.random() < 0.1:
        dims.add().dim_value = rng.choice((1, 2, 3))
        return
    dim = rng.choice(list(dims))
    if rng.random() < 0.5:
        dim.dim_param = rng.choice(("n", "k", "?"))
    else:
        dim.dim_value = rng.choice((1, 2, 3, 5, 17, 0, -1, 2**31, 2**40))


def _datatype(proto: onnx.ModelProto, rng: random.Random) -> None:
    values = [*proto.graph.input, *proto.graph.output]
    if values:
        rng.choice(values).type.tensor_type.elem_type = rng.choice([*BY_ONNX, 8, 17, 99])


def _constant(proto: onnx.ModelProto, rng: random.Random) -> None:
    """Makes an input constant, with values that index and size operators do not expect."""
    tensors = list(proto.graph.initializer)
    if tensors and rng.random() < 0.5:
        tensor = rng.choice(tensors)
        if rng.random() < 0.3 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = _number(rng)
            return
        array = numpy_helper.to_array(tensor).copy()
        if array.size and array.dtype.kind in "iu":
            array.reshape(-1)[rng.randrange(array.size)] = _number(rng) % 2**31
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return
    inputs = [v for v in proto.graph.input if v.type.tensor_type.elem_type in (6, 7)]
    if inputs:
        value = rng.choice(inputs)
        shape = [
            d.dim_value if 0 < d.dim_value < 9 else 1 for d in value.type.tensor_type.shape.dim
        ]
        dtype = numpy_dtype(BY_ONNX[value.type.tensor_type.elem_type])
        array = np.array([_number(rng) % 2**31 for _ in range(int(np.prod(shape)))], dtype)
        proto.graph.initializer.append(numpy_helper.from_array(array.reshape(shape), value.name))


def _drop_node(proto: onnx.ModelProto, rng: random.Random) -> None:
    if proto.graph.node:
        del proto.graph.node[rng.randrange(len(proto.graph.node))]


def _rename_op(proto: onnx.ModelProto, rng: random.Random) -> None:
    if proto.graph.node:
        names = sorted(conformance.OPS)
        rng.choice(list(proto.graph.node)).op_type = rng.choice(names).rpartition(".")[2]


def _opset(proto: onnx.ModelProto, rng: random.Random) -> None:
    if proto.opset_import:
        rng.choice(list(proto.opset_import)).version = rng.choice((0, 1, 7, 9, 11, 13, 18, 22, 99))


PARTS: Sequence[Callable[[onnx.ModelProto, random.Random], None]] = (
    _attribute, _attribute, _drop_attribute, _rewire, _dims, _dims, _datatype, _constant,
    _constant, _drop_node, _rename_op, _opset,
)  # fmt: skip


# -- compiling and running --------------------------------------------------------------------


class _TooSlow(Exception):
    """The alarm."""


def _alarm(_signal: int, _frame: Any) -> None:
    raise _TooSlow


def compile_mutant(data: bytes) -> str:
    """ "compiled", "refused", or what went wrong."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(COMPILE_SECONDS)
    try:
        proto = onnx.load_from_string(data)
    except Exception:
        return "refused"  # by the parser: load.py says so with the file's name
    try:
        compile_protos([("m", "1", proto)])
        return "compiled"
    except NnletError:
        return "refused"
    except _TooSlow:
        return f"BUG: the compiler did not end in {COMPILE_SECONDS} s"
    except Exception as exc:
        return f"BUG: {type(exc).__name__}: {str(exc)[:200]}"
    finally:
        signal.alarm(0)


def random_inputs(proto: onnx.ModelProto, rng: random.Random) -> dict[str, Any]:
    """Inputs that fit the declared types; sizes that vary are small, values wild."""
    constants = {t.name for t in proto.graph.initializer}
    sizes: dict[str, int] = {}
    found = {}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        shape = [
            d.dim_value
            if d.dim_value > 0
            else sizes.setdefault(d.dim_param or str(rng.random()), rng.choice((0, 1, 2, 3, 5)))
            for d in tensor.shape.dim
        ]
        dtype = numpy_dtype(BY_ONNX[tensor.elem_type])
        if int(np.prod(shape, dtype=float)) > 1 << 22:
            return {}
        source = np.random.default_rng(rng.randrange(2**32))
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            wild = np.array([0, 1, 2, 3, info.min, info.max, 7], dtype)
            found[value.name] = source.choice(wild[: rng.choice((2, 4, 7))], size=shape)
        elif dtype.kind == "b":
            found[value.name] = source.integers(0, 2, size=shape).astype(bool)
        else:
            wild = np.array([0, 1, -1, 0.5, 1e30, -1e30, np.nan, np.inf], np.float64)
            with np.errstate(over="ignore"):
                chosen = source.choice(wild[: rng.choice((4, 8))], size=shape)
                found[value.name] = np.asarray(chosen).astype(dtype)
    return found


def run_batch(batch: Sequence[tuple[int, bytes]], seed: int, sender: Any) -> None:
    """Compiles the mutants of a batch into one module and runs each; sends (mutant, outcome)."""
    protos = [(f"m{n}", "1", onnx.load_from_string(data)) for n, data in batch]
    try:
        module = compile_protos(protos)
        models = NativeModels(
            module.source,
            module.weights,
            level=1,
            sanitize=True,
            replace={"arena.c": FENCE.read_bytes()},
        )
    except Exception as exc:
        sender.send((NO_MODULE, f"BUG: the C does not compile: {str(exc)[:300]}"))
        return
    for n, _, proto in protos:
        number = int(n[1:])
        sender.send((number, "started"))
        for attempt in range(2):
            inputs = random_inputs(proto, random.Random(f"{seed}/{number}/{attempt}"))
            try:
                models.run(n, "1", inputs)
                outcome = "ran"
            except InferenceError:
                outcome = "refused at run time"
            except Exception as exc:
                outcome = f"BUG: {type(exc).__name__}: {str(exc)[:200]}"
                break
        sender.send((number, outcome))


def run_mutants(batch: Sequence[tuple[int, bytes]], seed: int) -> dict[int, str]:
    """The outcome of each mutant. One that kills the process is named, the rest go on."""
    outcomes: dict[int, str] = {}
    left = list(batch)
    while left:
        receiver, sender = conformance.CLEAN.Pipe(duplex=False)
        process = conformance.CLEAN.Process(target=run_batch, args=(left, seed, sender))
        process.start()
        sender.close()
        running: int | None = None
        reason = ""
        try:
            while True:
                if not receiver.poll(RUN_SECONDS if running is not None else 600):
                    reason = f"slow: did not end in {RUN_SECONDS} s"
                    break
                number, outcome = receiver.recv()
                if number == NO_MODULE:
                    process.join()
                    return outcomes | _halves(left, seed, outcome)
                if outcome == "started":
                    running = number
                else:
                    outcomes[number], running = outcome, None
        except EOFError:
            pass
        process.kill()
        process.join()
        if running is not None:
            outcomes[running] = reason or f"BUG: the process died ({process.exitcode})"
        elif reason:
            outcomes.update({n: "BUG: the C compiler did not end" for n, _ in left})
        before = len(left)
        left = [(n, data) for n, data in left if n not in outcomes]
        if len(left) == before:
            outcomes.update({n: "BUG: the process died at start" for n, _ in left})
            break
    return outcomes


def _halves(batch: Sequence[tuple[int, bytes]], seed: int, outcome: str) -> dict[int, str]:
    """A batch whose module cannot be made, in parts: one mutant is to blame."""
    if len(batch) == 1:
        return {batch[0][0]: outcome}
    middle = len(batch) // 2
    return run_mutants(batch[:middle], seed) | run_mutants(batch[middle:], seed)


def fuzz(
    count: int, seed: int, progress: Callable[[int], None] = lambda n: None
) -> tuple[Counter[str], list[Finding]]:
    """Outcome counts of `count` mutants, and those that did what none may do."""
    seeds = corpus()
    outcomes: dict[int, str] = {}
    names: dict[int, str] = {}
    batch: list[tuple[int, bytes]] = []
    for n in range(count):
        rng = random.Random(f"{seed}/{n}")
        names[n], data = rng.choice(seeds)
        try:
            data = mutate(data, rng)
        except ValueError:
            outcomes[n] = "no mutant"  # protobuf refuses the number for this field
            continue
        outcomes[n] = compile_mutant(data)
        if outcomes[n] == "compiled":
            batch.append((n, data))
        if len(batch) == BATCH:
            outcomes.update(run_mutants(batch, seed))
            batch.clear()
            progress(n + 1)
    outcomes.update(run_mutants(batch, seed))
    findings = [Finding(n, names[n], o) for n, o in outcomes.items() if o.startswith("BUG")]
    return Counter(o.split(":")[0] for o in outcomes.values()), findings


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the results")
    args = parser.parse_args()
    start = time.perf_counter()
    counts, findings = fuzz(args.count, args.seed, lambda n: print(f"{n} done", file=sys.stderr))
    for finding in findings:
        print(f"{finding.mutant} ({finding.seed_model}): {finding.what}")
    print(dict(counts), f"in {time.perf_counter() - start:.0f} s")
    if args.write:
        record = {
            "command": f"python -m benchmarks.fuzz_compiler --count {args.count} --seed "
            f"{args.seed} --write",
            "versions": {p: version(p) for p in ("onnx", "ziglang", "numpy")},
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "counts": dict(counts),
            "findings": [asdict(f) for f in findings],
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
