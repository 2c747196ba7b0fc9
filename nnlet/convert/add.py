"""add: the whole way of one model, from a fitted object to the repository."""

from __future__ import annotations

import html
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnlet.build import Report, silent
from nnlet.convert.check import TOLERANCE, Checked, check_compiled
from nnlet.convert.converted import Converted
from nnlet.convert.converters import Convert, converter_of, read_model_file
from nnlet.convert.labels import labelled
from nnlet.convert.precision import convert_precisely
from nnlet.convert.repository import Shelf, shelf, staged
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError
from nnlet.model import ModelSpec
from nnlet.project import find_project
from nnlet.signature import ColumnSpec, Scalar
from nnlet.verify import Runtime, verify

log = logging.getLogger("nnlet")


@dataclass(frozen=True)
class Added:
    """What `add` has put into the repository."""

    name: str
    version: str
    path: Path
    size: int
    digest: str
    made_by: str
    precision: str
    columns: tuple[ColumnSpec, ...]
    checks: tuple[Checked, ...]
    notes: tuple[str, ...] = ()
    sampled: bool = True

    @property
    def error(self) -> float:
        """The largest relative error of all checks."""
        return max(check.error for check in self.checks)

    def lines(self) -> list[str]:
        """What was done, for people."""
        rows = max(check.rows for check in self.checks)
        ties = max(check.ties for check in self.checks)
        agree = f"{rows} rows: answers equal the library's"
        if not self.sampled:
            agree = f"{rows} random inputs, compiled and in onnxruntime: equal within tolerance"
        elif self.error:
            agree = f"{rows} rows: worst difference from the library {self.error:.1e} (relative)"
        return [
            f"{self.name}/{self.version}  {self.made_by}, {self.precision}, {self.size:,} bytes",
            f"columns  {_listed(self.columns)}" if self.columns else "columns  none: tensors only",
            f"checked  {agree}" + (f"; {ties} ties" if ties else ""),
            *(f"note     {note}" for note in self.notes),
            "next     ./build.sh up",
        ]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "model": self.name,
            "version": self.version,
            "path": str(self.path),
            "bytes": self.size,
            "digest": self.digest,
            "made_by": self.made_by,
            "precision": self.precision,
            "columns": [column.name for column in self.columns],
            "rows": max(check.rows for check in self.checks),
            "error": self.error,
            "ties": max(check.ties for check in self.checks),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        rows = (line.partition("  ") for line in self.lines())
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(head)}</th>"
            f"<td style='text-align:left'>{html.escape(rest.strip())}</td></tr>"
            for head, _, rest in rows
        )
        return f"<table>{cells}</table>"


def _listed(columns: tuple[ColumnSpec, ...], limit: int = 8) -> str:
    shown = ", ".join(
        f"{c.name} ({len(c.categories)} categories)" if c.categories else c.name
        for c in columns[:limit]
    )
    return f"{shown} and {len(columns) - limit} more" if len(columns) > limit else shown


def add(
    model: Any,
    name: str,
    X: Any = None,
    y: Any = None,
    *,
    into: Path | str | None = None,
    target: str | None = None,
    description: str = "",
    labels: Sequence[Scalar] = (),
    tolerance: float = TOLERANCE,
    trust: bool = False,
    draws: bool = False,
    quantiles: Sequence[float] = (),
    report: Report = silent,
) -> Added:
    """Convert a fitted `model`, check it against its library, and add it to models/ as `name`.

    `model` is a fitted object, or a file of one (a pickle only with `trust`). `X` is a sample
    of what it was trained on: a DataFrame, a dict of columns, an array, or a file (.csv,
    .parquet, .json, .npy) whose column `target` is left out; what people read of its columns,
    and the rows that are compared, come from it. `y`, the true answers to `X`, goes into the
    description as the model's own score. `into` is the model repository, the project's
    models/ by default. `labels` are the names of a network's classes, in the order of its
    scores. `tolerance` is the largest allowed relative error. `draws` answers all posterior
    draws (of BART), `quantiles` these quantiles of them.

    Raises ConvertError, VerifyError, ToolMissing or ModelError, and then has changed nothing.
    """
    place = shelf(_repository(into), name)
    known = place.known_categories()
    if isinstance(model, (str, Path)):
        model = read_model_file(Path(model), trust)
    row = converter_of(model)
    convert = _naming(row.load({"draws": draws, "quantiles": quantiles}), labels)
    sample = replace(sample_of(X, target), known=known)
    if sample.source is None and row.needs_sample:
        raise ConvertError(
            f"a model of {row.library} needs a sample: rows as it was fitted on, to read the "
            "columns from and to check it with"
        )
    with report(f"Converting from {row.library}"):
        converted, reference = convert_precisely(convert, model, sample, row.precisions, tolerance)
    reference.require(converted.made_by)
    words = description or _described(converted, model, sample.source, y)
    with staged(place, converted, words) as spec:
        with report("Compiling it and comparing"):
            compiled = _check(converted, spec, tolerance)
        compiled.require(converted.made_by)
    return _added(place, spec, converted, (reference, compiled))


def _naming(convert: Convert, labels: Sequence[Scalar]) -> Convert:
    """The converter, with names for the classes where there are any."""
    if not labels:
        return convert
    return lambda model, sample, precision: labelled(convert(model, sample, precision), labels)


def _check(converted: Converted, spec: ModelSpec, tolerance: float) -> Checked:
    """The compiled model beside the library; without a sample, beside onnxruntime on random
    inputs."""
    runtime = _runtime(spec)
    if converted.feeds:
        return check_compiled(converted, spec, runtime, tolerance)
    report = verify(spec, runtime)
    report.require()
    return Checked("compiled", report.compared, report.tolerance, None)


def _runtime(spec: ModelSpec) -> Runtime:
    """The model as the component that is served."""
    from nnlet.compiler import compile_models
    from nnlet.component import build_component
    from nnlet.provider import Provider

    module = compile_models([spec])
    return Provider(build_component(module.source, module.weights))


def _repository(into: Path | str | None) -> Path:
    return find_project().models if into is None else Path(into)


def _described(converted: Converted, model: Any, source: Any, y: Any) -> str:
    """One sentence: who made it, and how well it does on the sample if that can be told."""
    if y is None or not hasattr(model, "score"):
        return f"{converted.made_by}."
    return (
        f"{converted.made_by}. Its score on {len(y)} sample rows is {model.score(source, y):.3f}."
    )


def _added(
    place: Shelf, spec: ModelSpec, converted: Converted, checks: tuple[Checked, ...]
) -> Added:
    return Added(
        name=spec.name,
        version=spec.version,
        path=place.folder / spec.version / "model.onnx",
        size=spec.size,
        digest=spec.digest,
        made_by=converted.made_by,
        precision=converted.precision,
        columns=spec.columns,
        checks=checks,
        notes=converted.notes,
        sampled=bool(converted.feeds),
    )
