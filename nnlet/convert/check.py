"""check: the converted model's answers beside the library's own, row by row.

    library's predict  <--->  onnxruntime  and  <--->  the compiled component

Floats may differ by a tolerance, as in verify.py relative to the answer or, near zero, to the
root mean square of its output. A label must be the same, unless the library's own
probabilities of the two are within the tolerance of each other: a tie, told apart and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from nnlet.convert.converted import Array, Converted
from nnlet.errors import ConvertError, VerifyError
from nnlet.model import ModelSpec
from nnlet.signature import AnswerSpec
from nnlet.verify import Runtime, compare

TOLERANCE = 1e-4  # relative; float32 has seven digits, and a model loses some of them


@dataclass(frozen=True)
class Difference:
    """Where a runtime's answer is furthest from the library's. `error` is relative, infinite
    for a label."""

    runtime: str
    output: str
    row: int
    found: Any
    expected: Any
    error: float

    def __str__(self) -> str:
        return (
            f"{self.runtime}, row {self.row}, {self.output}: {_shown(self.found)} where the "
            f"library says {_shown(self.expected)}"
            + (f" (error {self.error:.2g})" if np.isfinite(self.error) else "")
        )


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else repr(value)


@dataclass(frozen=True)
class Checked:
    """One comparison: `rows` compared, the worst of them, and `ties`, rows whose label differs
    where the library's own probabilities do not decide."""

    runtime: str
    rows: int
    tolerance: float
    worst: Difference | None
    ties: int = 0

    @property
    def passed(self) -> bool:
        return self.worst is None or self.worst.error <= self.tolerance

    @property
    def error(self) -> float:
        """The largest relative error; 0 where all is equal."""
        return self.worst.error if self.worst else 0.0

    def require(self, made_by: str) -> None:
        """Raises VerifyError, naming the worst row, unless it passed."""
        if not self.passed:
            raise VerifyError(
                f"{made_by}: the converted model does not answer as the library does: "
                f"{self.worst}; allowed is {self.tolerance:g} over {self.rows} rows. If that is "
                "good enough for you, say so with a larger tolerance; nothing was added"
            )


def check_onnxruntime(converted: Converted, tolerance: float = TOLERANCE) -> Checked:
    """Compare what onnxruntime makes of the model. Raises ConvertError where it cannot."""
    if not converted.feeds:
        _session(converted.proto)  # no sample: at least it loads
        return Checked("onnxruntime", 0, tolerance, None)
    found = answers_of(converted.proto, converted.feeds)
    return compare_all(converted, found, "onnxruntime", tolerance)


def answers_of(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What onnxruntime answers, by output. Raises ConvertError where it cannot."""
    session = _session(proto)
    names = [output.name for output in session.get_outputs()]
    try:
        answers = session.run(names, dict(feeds))
    except Exception as exc:  # onnxruntime has one exception type a status code
        raise ConvertError(
            f"onnxruntime cannot compute the model on the sample: {_first_line(exc)}"
        ) from exc
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, np.ndarray):
            raise ConvertError(
                f"output {name!r} is a list, not a tensor, which wasi-nn has not: export the model "
                "with one tensor for each output"
            )
    return dict(zip(names, answers, strict=True))


def check_compiled(
    converted: Converted, spec: ModelSpec, runtime: Runtime, tolerance: float = TOLERANCE
) -> Checked:
    """Compare what `runtime` makes of the compiled model."""
    found = runtime.run(
        spec.name, spec.version, converted.feeds, [o.datatype for o in spec.outputs]
    )
    names = [output.name for output in spec.outputs]
    return compare_all(converted, dict(zip(names, found, strict=True)), "compiled", tolerance)


def compare_all(
    converted: Converted, found: Mapping[str, Array], runtime: str, tolerance: float
) -> Checked:
    """All outputs that the library answers too."""
    kinds = {spec.output: spec for spec in converted.answer}
    differences = []
    ties = 0
    for name, expected in converted.expected.items():
        spec = kinds.get(name)
        if spec is not None and spec.kind == "label":
            worst, ties = _labels(converted, spec, found[name], expected, runtime, tolerance)
        else:
            worst = _values(name, found[name], expected, runtime)
        if worst is not None:
            differences.append(worst)
    rows = max((len(expected) for expected in converted.expected.values()), default=0)
    worst = max(differences, key=lambda d: d.error, default=None)
    return Checked(runtime, rows, tolerance, worst, ties)


def _values(name: str, found: Array, expected: Array, runtime: str) -> Difference | None:
    if found.size == expected.size:  # [N] and [N, 1] are the same answers
        expected = expected.reshape(found.shape)
    if found.shape != expected.shape:
        raise ConvertError(
            f"output {name!r} has shape {list(found.shape)} in {runtime}, the library's answer "
            f"{list(expected.shape)}"
        )
    worst = compare(name, found, expected.astype(found.dtype))
    if worst is None:
        return None
    row = worst.index[0] if worst.index else 0
    return Difference(runtime, name, row, worst.found, worst.expected, worst.error)


def _labels(
    converted: Converted,
    spec: AnswerSpec,
    found: Array,
    expected: Array,
    runtime: str,
    tolerance: float,
) -> tuple[Difference | None, int]:
    """The first row whose label is another one, and how many differ where classes are tied."""
    given, right = found.reshape(len(expected), -1), expected.reshape(len(expected), -1)
    rows = np.flatnonzero((given != right).any(axis=1))
    scores = _probabilities(converted, spec)
    tied = [
        row
        for row in map(int, rows)
        if _is_tie(scores, row, int(given[row, 0]), int(right[row, 0]), tolerance)
    ]
    wrong = [row for row in rows if row not in tied]
    if not wrong:
        return None, len(tied)
    row = int(wrong[0])
    says, said = _class(spec, given[row, 0]), _class(spec, right[row, 0])
    return Difference(runtime, spec.output, row, says, said, float("inf")), len(tied)


def _probabilities(converted: Converted, label: AnswerSpec) -> Array | None:
    for spec in converted.answer:
        if spec.kind == "probabilities" and spec.classes == label.classes:
            return converted.expected.get(spec.output)
    return None


def _is_tie(scores: Array | None, row: int, a: int, b: int, tolerance: float) -> bool:
    if scores is None or not 0 <= a < scores.shape[1]:
        return False
    return bool(abs(scores[row, a] - scores[row, b]) <= tolerance)


def _class(spec: AnswerSpec, index: int) -> Any:
    return spec.classes[index] if 0 <= index < len(spec.classes) else int(index)


def _session(proto: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its refusals are raised as well
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as exc:
        raise ConvertError(
            f"onnxruntime does not load the converted model: {_first_line(exc)}"
        ) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
