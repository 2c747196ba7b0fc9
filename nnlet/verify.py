"""verify: the compiled model's answers against onnxruntime's, element by element.

A model is asked with its example, and with random inputs of odd sizes: batch 1, 2, 3 and 17,
lengths that are not multiples of a vector's width. Floats may differ by a stated tolerance,
everything else not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from nnlet.carrier import Array, numpy_dtype
from nnlet.errors import InferenceError, ModelError, VerifyError
from nnlet.model import ModelSpec, load_onnx
from nnlet.tensor import DataType

# Largest allowed error, relative to the expected element or, where that is small, to the
# root mean square of its tensor (and never to less than FLOOR): near zero a sum's rounding is
# as large as its terms'.
TOLERANCE: dict[str, float] = {"FP16": 5e-3, "BF16": 4e-2, "FP32": 1e-4, "FP64": 1e-9}
BATCHES = (1, 2, 3, 17)  # for the first dimension that varies
LENGTHS = (7, 13, 30, 9)  # for the second; 30 is even, not a multiple of 4
# Where odd sizes do not fit: what the strides of image networks multiply to, and the height
# that text recognizers take. The first for odd sizes themselves.
UNITS = (1, 32, 48)
HIGHEST = (100, 2)  # integers stay below: as wide as most vocabularies, then what any has
FLOOR = 1e-2  # float errors are never relative to less: answers near 0 have no digits to lose
SEED = 20241028


class Runtime(Protocol):
    """What answers for the compiled models: provider.Provider or native.NativeModels."""

    def run(
        self, name: str, version: str, inputs: Mapping[str, Array], outputs: Sequence[DataType]
    ) -> list[Array]: ...


@dataclass(frozen=True)
class Worst:
    """The element that differs most: `error` is relative, as TOLERANCE says."""

    output: str
    index: tuple[int, ...]
    found: float
    expected: float
    error: float

    def __str__(self) -> str:
        at = ", ".join(str(i) for i in self.index)
        return (
            f"output '{self.output}'[{at}]: compiled {self.found:.9g}, onnxruntime "
            f"{self.expected:.9g} (error {self.error:.2g})"
        )


@dataclass(frozen=True)
class Check:
    """One set of inputs. `worst` is None where all outputs are equal, `skipped` says why
    onnxruntime could not be asked."""

    inputs: str
    worst: Worst | None
    passed: bool
    skipped: str = ""


@dataclass(frozen=True)
class Report:
    """All checks of one model version."""

    model: str
    checks: tuple[Check, ...]
    tolerance: float

    @property
    def passed(self) -> bool:
        return all(c.passed for c in self.checks)

    @property
    def compared(self) -> int:
        return sum(not c.skipped for c in self.checks)

    @property
    def worst(self) -> Worst | None:
        """The largest error of all checks."""
        found = [c.worst for c in self.checks if c.worst is not None]
        return max(found, key=lambda w: w.error, default=None)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "model": self.model,
            "passed": self.passed,
            "compared": self.compared,
            "skipped": [c.inputs for c in self.checks if c.skipped],
            "tolerance": self.tolerance,
            "worst": None if self.worst is None else asdict(self.worst),
        }

    def require(self) -> None:
        """Raises VerifyError, naming the worst element, unless every check passed."""
        bad = [c for c in self.checks if not c.passed]
        if bad:
            raise VerifyError(
                f"{self.model}: the compiled model and onnxruntime disagree on {len(bad)} of "
                f"{self.compared} inputs, worst with {bad[0].inputs}: {self.worst}; allowed is "
                f"{self.tolerance:g}. This is a bug in nnlet: please report it with the model; "
                "until then serve it with --provider host"
            )


def verify(spec: ModelSpec, runtime: Runtime, tolerance: float | None = None) -> Report:
    """Compares one model version; `tolerance` replaces the one for its datatypes.

    Raises ModelError where onnxruntime cannot load the model.
    """
    session = reference(spec)
    limits = {
        o.name: TOLERANCE.get(o.datatype.name, 0.0) if tolerance is None else tolerance
        for o in spec.outputs
    }
    checks = tuple(_check(spec, session, runtime, attempts, limits) for attempts in _inputs(spec))
    return Report(spec.graph, checks, max(limits.values(), default=0.0))


def reference(spec: ModelSpec) -> ort.InferenceSession:
    """onnxruntime on the model as it is written: its optimizer reorders and fuses roundings."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its refusals are raised as well
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(str(spec.path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime has one exception type a status code
        raise ModelError(
            f"{spec.path}: onnxruntime, which is the reference, cannot load it: "
            f"{str(exc).splitlines()[0]}"
        ) from exc


Attempt = tuple[str, dict[str, Array]]  # what the inputs are, and the inputs


def _inputs(spec: ModelSpec) -> list[list[Attempt]]:
    """For each check, inputs to try until onnxruntime takes them: the example alone; random ones
    of odd sizes, then of sizes that an image network with strides takes."""
    found: list[list[Attempt]] = []
    example = _example(spec)
    if example is not None:
        found.append([("the example", example)])
    names = _dim_names(spec)
    rng = np.random.default_rng(SEED)
    for batch, length in zip(BATCHES, LENGTHS, strict=True):
        found.append(
            [
                _attempt(spec, names, example, rng, (batch, length, unit), high)
                for unit in UNITS
                for high in HIGHEST
            ]
        )
    return found


def _attempt(
    spec: ModelSpec,
    names: Mapping[str, Sequence[int | str]],
    example: dict[str, Array] | None,
    rng: np.random.Generator,
    size: tuple[int, int, int],
    high: int,
) -> Attempt:
    """Random inputs of `size`: (batch, length, unit). The first dimension that varies is the
    batch, the next the length, or one unit, each further one a unit more. Integers are below
    `high`."""
    batch, length, unit = size
    start = length if unit == 1 else unit
    variable = list(dict.fromkeys(n for dims in names.values() for n in dims if isinstance(n, str)))
    sizes = {n: start + (k - 1) * unit if k else batch for k, n in enumerate(variable)}
    label = ", ".join(f"{n}={size}" for n, size in sizes.items()) or "random values"
    inputs = {
        port.name: _random(
            rng,
            port.datatype,
            [sizes[n] if isinstance(n, str) else n for n in names[port.name]],
            None if example is None else example.get(port.name),
            high,
        )
        for port in spec.inputs
    }
    return label, inputs


def _example(spec: ModelSpec) -> dict[str, Array] | None:
    if set(spec.example) != {port.name for port in spec.inputs}:
        return None
    return {p.name: np.array(spec.example[p.name], numpy_dtype(p.datatype)) for p in spec.inputs}


def _dim_names(spec: ModelSpec) -> dict[str, list[int | str]]:
    """Dims of each input; a dimension that varies has a name, its own or one made here."""
    proto = load_onnx(spec.path, weights=False)
    names: dict[str, list[int | str]] = {}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        names[value.name] = [
            d.dim_value if d.dim_value > 0 else _name(d.dim_param, f"{value.name}[{axis}]")
            for axis, d in enumerate(dims)
        ]
    return names


def _name(given: str, own: str) -> str:
    """The name of a dimension; "?" is what some exporters write for none."""
    return own if given in ("", "?") else given


def _random(
    rng: np.random.Generator,
    datatype: DataType,
    shape: Sequence[int],
    like: Array | None,
    high: int,
) -> Array:
    """Values of the example in another order where there is one: they are in the model's range
    (indices, for one). Else normal floats, and integers from 0 up to below `high`."""
    dtype = numpy_dtype(datatype)
    if like is not None and like.size and (datatype.kind != "f" or like.std() > 0):
        values = rng.choice(like.reshape(-1), size=shape)
        if datatype.kind == "f":
            spread = float(like.astype(np.float64).std())
            values = values.astype(np.float64) + rng.normal(scale=0.1 * spread, size=shape)
        return np.asarray(values).astype(dtype)
    if datatype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2 if datatype.kind == "b" else high, size=shape).astype(dtype)


def _check(
    spec: ModelSpec,
    session: ort.InferenceSession,
    runtime: Runtime,
    attempts: Sequence[Attempt],
    limits: Mapping[str, float],
) -> Check:
    """The first attempt that both take. Raises VerifyError where only onnxruntime takes any."""
    skipped = refused = ""
    types = [o.datatype for o in spec.outputs]
    for label, inputs in attempts:
        try:
            answers = session.run([o.name for o in spec.outputs], inputs)
            expected = [_plain(answer) for answer in answers]
        except Exception as exc:  # the model itself does not take this size or these values
            skipped = skipped or str(exc).splitlines()[0]
            continue
        try:
            found = runtime.run(spec.name, spec.version, inputs, types)
        except InferenceError as exc:
            # onnxruntime lets windows hang over an image that is too small for the network.
            refused = refused or f"{label}: {exc}"
            continue
        return _compared(spec, label, found, expected, limits)
    if refused:
        raise VerifyError(
            f"{spec.graph}: onnxruntime answers, the compiled model refuses: {refused}"
        )
    return Check(attempts[0][0], None, True, skipped)


def _plain(answer: Any) -> Array:
    """An answer as an array; ZipMap's is a list of rows, each a score by class."""
    if isinstance(answer, list):
        return np.array([list(row.values()) for row in answer], np.float32)
    return np.asarray(answer)


def _compared(
    spec: ModelSpec,
    label: str,
    found: Sequence[Array],
    expected: Sequence[Array],
    limits: Mapping[str, float],
) -> Check:
    worst = [
        w
        for port, a, b in zip(spec.outputs, found, expected, strict=True)
        if (w := compare(port.name, a, b)) is not None
    ]
    passed = all(w.error <= limits[w.output] for w in worst)
    return Check(label, max(worst, key=lambda w: w.error, default=None), passed)


def compare(output: str, found: Array, expected: Array) -> Worst | None:
    """The element of `found` that is furthest from `expected`; None if all are equal.

    Raises VerifyError where shapes or types differ. NaN equals NaN.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise VerifyError(
            f"output '{output}': compiled {found.dtype}{list(found.shape)}, onnxruntime "
            f"{expected.dtype}{list(expected.shape)}"
        )
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), expected.astype(np.float64)
        same = (found == expected) | (np.isnan(a) & np.isnan(b))
        if same.all():
            return None
        error = _errors(found, expected, a, b)
    error[same] = 0.0
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    return Worst(output, tuple(int(i) for i in at), float(a[at]), float(b[at]), float(error[at]))


def _errors(found: Array, expected: Array, a: Array, b: Array) -> Any:
    """Relative errors; infinite where one side is not finite, or where types are exact."""
    if found.dtype.kind in "iub":
        return np.full(found.shape, np.inf)
    finite = np.isfinite(a) & np.isfinite(b)
    scale = float(np.sqrt(np.mean(np.square(b[finite])))) if finite.any() else 0.0
    error = np.abs(a - b) / np.maximum(np.abs(b), max(scale, FLOOR))
    return np.where(finite, error, np.inf)
