"""statsmodels: linear, generalized linear and discrete models, as ONNX written here.

    columns --formula--> design matrix --params--> linear predictor --inverse link--> mean

There is no other converter. A model of arrays takes one input `features`, without the column
that add_constant put in; a model of a formula takes the columns that the formula reads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas
import statsmodels
from scipy import stats

from nnlet.convert import formulas, links
from nnlet.convert.columns import matched, number_spec
from nnlet.convert.converted import Array, Converted, Precision
from nnlet.convert.sample import Sample, sample_of
from nnlet.convert.writer import Writer
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec, ColumnSpec

MATRIX = "features"
OFFSET, EXPOSURE = "offset", "exposure"

Mean = Callable[[Writer, Any, str], str]


def _identity(graph: Writer, model: Any, z: str) -> str:
    return z


def _linked(graph: Writer, model: Any, z: str) -> str:
    return links.inverse(graph, model.family.link, z)


def _logistic(graph: Writer, model: Any, z: str) -> str:
    return links.distribution(graph, stats.logistic, z)


def _normal(graph: Writer, model: Any, z: str) -> str:
    return links.distribution(graph, stats.norm, z)


def _exponential(graph: Writer, model: Any, z: str) -> str:
    return graph.node("Exp", z)


def _softmax(graph: Writer, model: Any, z: str) -> str:
    """The first class is the one that others are compared with: its predictor is 0."""
    first = graph.node("Mul", graph.node("Slice", z, *map(graph.integers, (0, 1, 1))), 0.0)
    return graph.node("Softmax", graph.beside([first, z]), axis=1)


# From the linear predictor to what predict answers, by the model's class.
MEANS: Mapping[str, Mean] = {
    "OLS": _identity,
    "WLS": _identity,
    "GLS": _identity,
    "GLSAR": _identity,
    "RLM": _identity,
    "QuantReg": _identity,
    "MixedLM": _identity,
    "GLM": _linked,
    "GEE": _linked,
    "Logit": _logistic,
    "Probit": _normal,
    "MNLogit": _softmax,
    "Poisson": _exponential,
    "NegativeBinomial": _exponential,
    "NegativeBinomialP": _exponential,
    "GeneralizedPoisson": _exponential,
}


@dataclass(frozen=True)
class Predictor:
    """The linear predictor in the making: its value, and what goes into it. `arguments`: what
    the library's predict takes."""

    value: str
    columns: tuple[ColumnSpec, ...]
    feeds: Mapping[str, Array]
    exog: Any


def convert(results: Any, sample: Sample, precision: Precision) -> Converted:
    """Fitted results as ONNX, with the library's own predictions for the sample; without one,
    for the rows that they were fitted on.

    Raises ConvertError for a model, a link or a term of a formula that cannot be written.
    """
    model = _model(results)
    mean = MEANS[type(model).__name__]
    sample = _sampled(results, sample)
    graph = Writer(precision)
    extras = _extras(model, sample)
    kept = replace(sample, columns=tuple(c for c in sample.columns if c.name not in extras))
    write = _by_formula if _spec(model) is not None else _by_matrix
    predictor = write(graph, results, kept)
    predictor = _with_extras(graph, predictor, extras, sample)
    answer = mean(graph, model, predictor.value)
    found = _predicted(results, predictor, extras, sample)
    fields, outputs, expected = _fields(graph, model, answer, found)
    inputs = {name: (array.dtype, array.shape[1]) for name, array in predictor.feeds.items()}
    return Converted(
        proto=graph.model(inputs, outputs),
        columns=predictor.columns,
        answer=fields,
        feeds=predictor.feeds,
        expected=expected,
        made_by=f"{_name(model)} of statsmodels {statsmodels.__version__}",
        precision=precision,
        notes=_notes(model),
    )


def _model(results: Any) -> Any:
    """The model that results are of. Raises ConvertError for what is not fitted or not known."""
    if not hasattr(results, "params"):
        raise ConvertError(
            f"{type(results).__name__} is not fitted: hand over what its fit() returns"
        )
    model = results.model
    if type(model).__name__ not in MEANS:
        raise ConvertError(
            f"{type(model).__name__} of statsmodels is not converted: {', '.join(MEANS)} are. "
            "Export ONNX yourself and add the file"
        )
    return model


def _params(results: Any) -> Array:
    """[design columns and more, predictors]: parameters of the distribution come last."""
    params = np.asarray(results.params, np.float64)
    return params.reshape(len(params), -1)


def _spec(model: Any) -> Any:
    """What the formula was read to; None for a model of arrays."""
    found = getattr(model, "model_spec", None) or getattr(model.data, "model_spec", None)
    return found or getattr(model.data, "design_info", None)  # its name before 0.15


def _width(results: Any) -> int:
    """How many columns the design matrix has; there may be more parameters."""
    model = results.model
    if getattr(model, "exog", None) is not None:
        return int(model.exog.shape[1])
    return int(getattr(model, "k_fe", len(results.params) - getattr(model, "k_extra", 0)))


def _names(results: Any) -> tuple[list[str], bool]:
    """The design matrix's columns, and whether they are the user's names for them."""
    width = _width(results)
    given = list(getattr(results.params, "index", ()))[:width]  # of a Series
    if type(results.model.data).__name__.startswith("Pandas"):
        if given and all(isinstance(name, str) for name in given):  # else saved without data
            return given, True
    made_up = results.model.exog_names or [f"x{n}" for n in range(width)]
    return [str(name) for name in made_up[:width]], False


def _constant_at(results: Any) -> int | None:
    """The place of the column that add_constant put in: 1 in every row."""
    model = results.model
    at = model.data.const_idx
    exog = getattr(model, "exog", None)
    if at is None or (exog is not None and float(exog[0, at]) != 1):
        return None
    return int(at)


# The sample -------------------------------------------------------------------


def _sampled(results: Any, sample: Sample) -> Sample:
    """A sample of named columns; the training data where none was given."""
    if sample.source is None:
        return replace(sample_of(_training(results)), known=sample.known)
    if not sample.columns:
        raise ConvertError(
            f"the sample has shape {list(np.shape(sample.source))}, expected a table of columns"
        )
    return sample


def _training(results: Any) -> Any:
    """The rows that the model was fitted on, as a DataFrame. Raises ConvertError without them."""
    model = results.model
    frame = getattr(model.data, "frame", None) if _spec(model) is not None else None
    exog = getattr(model, "exog", None)
    if frame is None and (exog is None or _spec(model) is not None):
        raise ConvertError(
            "the results have been saved without their data: hand over a sample of the rows that "
            "they were fitted on"
        )
    if frame is None:
        frame = pandas.DataFrame(np.asarray(exog), columns=_names(results)[0])
    frame = frame.copy()
    for name, kind in _wanted(model).items():
        values = np.asarray(getattr(model, kind))
        if name not in frame and len(values) == len(frame):
            frame[name] = np.exp(values) if kind == EXPOSURE else values
    return frame


def _wanted(model: Any) -> dict[str, str]:
    """Offset and exposure, by the names of their columns."""
    found = {}
    for kind in (OFFSET, EXPOSURE):
        has = getattr(model, f"_has_{kind}", None)
        if has if has is not None else getattr(model, kind, None) is not None:
            found[getattr(model, f"_{kind}_name", None) or kind] = kind
    return found


def _extras(model: Any, sample: Sample) -> dict[str, str]:
    """Which columns of the sample are offset and exposure. Raises ConvertError without them."""
    found = _wanted(model)
    for name, kind in found.items():
        if name not in sample.names:
            raise ConvertError(
                f"this {type(model).__name__} was fitted with an {kind}: the sample needs a column "
                f"{name!r} with it, since callers send it too"
            )
    return found


# The linear predictor ---------------------------------------------------------


def _by_formula(graph: Writer, results: Any, sample: Sample) -> Predictor:
    """Each column that the formula reads is an input."""
    if not sample.named:
        raise ConvertError(
            "a model of a formula takes columns by name: hand over the sample as a DataFrame, a "
            "dict of columns, or a file with a header"
        )
    design, params = formulas.design_of(_spec(results.model)), _params(results)
    rows = sample.some()
    table = formulas.table(design, sample, rows, graph)
    at, values, weights, constant = 0, [], [], np.zeros(params.shape[1])
    for block in formulas.blocks(design, table.scope):
        mine = params[at : at + block.width]
        at += block.width
        if block.value:
            values.append(block.value)
            weights.append(mine)
        else:
            constant = constant + block.constant * mine[0]
    if not values:
        raise ConvertError("the formula reads no column, so the answer is the same for all rows")
    z = graph.node("MatMul", graph.beside(values), np.concatenate(weights))
    if constant.any():
        z = graph.node("Add", z, constant.reshape(1, -1))
    return Predictor(z, table.specs, table.feeds, _frame(rows))


def _by_matrix(graph: Writer, results: Any, sample: Sample) -> Predictor:
    """All columns are one input; a constant among them is not asked for."""
    names, users = _names(results)
    at, params = _constant_at(results), _params(results)[: len(names)]
    free = [name for n, name in enumerate(names) if n != at]
    if len(sample.columns) == len(names) and at is not None:
        if not sample.named or sample.names[at] == names[at]:
            kept = tuple(c for n, c in enumerate(sample.columns) if n != at)
            sample = replace(sample, columns=kept)
    asked = free if users or not sample.named else None  # names that nobody gave bind nobody
    sample = matched(sample, asked, len(free), type(results.model).__name__)
    words = [column.name for column in sample.columns if column.type == "category"]
    if words:
        raise ConvertError(f"column {words[0]!r} of the sample holds words, expected numbers")
    rows = sample.some()
    exog = rows.matrix("float64")
    z = graph.node("MatMul", MATRIX, np.delete(params, at, 0) if at is not None else params)
    if at is not None:
        z = graph.node("Add", z, params[at].reshape(1, -1))
        exog = np.insert(exog, at, 1.0, axis=1)
    specs = tuple(number_spec(c, MATRIX, n) for n, c in enumerate(sample.columns))
    return Predictor(z, specs, {MATRIX: rows.matrix(graph.real.name)}, exog)


def _frame(rows: Sample) -> Any:
    """The rows as pandas has them, which is what statsmodels takes."""
    source = rows.source
    if isinstance(source, Mapping):
        source = pandas.DataFrame(dict(source))
    elif not isinstance(source, pandas.DataFrame):
        source = source.to_pandas()  # as Polars has it
    return source.reset_index(drop=True)  # rows with gaps are put back by it


def _with_extras(
    graph: Writer, predictor: Predictor, extras: Mapping[str, str], sample: Sample
) -> Predictor:
    """Plus the offset, and the logarithm of the exposure."""
    z, columns, feeds = predictor.value, list(predictor.columns), dict(predictor.feeds)
    by_name = {c.name: c for c in sample.columns}
    rows = {c.name: c for c in sample.some().columns}
    for name, kind in extras.items():
        if name not in feeds:
            feeds[name] = rows[name].values.astype(graph.real).reshape(-1, 1)
            columns.append(number_spec(by_name[name], name))
        z = graph.node("Add", z, graph.node("Log", name) if kind == EXPOSURE else name)
    return replace(predictor, value=z, columns=tuple(columns), feeds=feeds)


# The answer -------------------------------------------------------------------


def _predicted(
    results: Any, predictor: Predictor, extras: Mapping[str, str], sample: Sample
) -> Array:
    """What the library answers, [N, classes]. Raises ConvertError where it takes no such rows."""
    rows = {c.name: c.values for c in sample.some().columns}
    given = {kind: np.asarray(rows[name], np.float64) for name, kind in extras.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(results.predict(predictor.exog, **given), np.float64)
        except Exception as exc:  # patsy, formulaic and pandas raise errors of their own
            raise ConvertError(
                f"{type(results.model).__name__} does not take the sample ({type(exc).__name__}: "
                f"{str(exc).splitlines()[-1]}): hand over rows as it was fitted on"
            ) from exc
    return found.reshape(len(found), -1)


def _fields(
    graph: Writer, model: Any, answer: str, found: Array
) -> tuple[tuple[AnswerSpec, ...], dict[str, tuple[str, Any, int]], dict[str, Array]]:
    """The answer's fields, the outputs that they are read from, and the library's own."""
    if type(model).__name__ != "MNLogit":
        name = "probability" if _is_binary(model) else "prediction"
        field = AnswerSpec(name, name, "number")
        return (field,), {name: (answer, graph.real, 1)}, {name: found}
    classes = _classes(model)
    fields = (
        AnswerSpec("label", "label", "label", classes),
        AnswerSpec("probabilities", "probabilities", "probabilities", classes),
    )
    highest = graph.node("ArgMax", answer, axis=1, keepdims=0)
    outputs = {
        "label": (highest, np.int64, 0),
        "probabilities": (answer, graph.real, len(classes)),
    }
    return fields, outputs, {"label": found.argmax(axis=1), "probabilities": found}


def _classes(model: Any) -> tuple[str | int, ...]:
    """The classes of a multinomial model: integers if the target was numbers, else words."""
    names = [str(model._ynames_map[n]) for n in range(int(model.J))]
    kind = np.asarray(getattr(model.data, "orig_endog", None)).dtype.kind
    if kind in "iufb" and all(float(name).is_integer() for name in names):
        return tuple(int(float(name)) for name in names)
    return tuple(names)


def _is_binary(model: Any) -> bool:
    family = type(getattr(model, "family", None)).__name__
    return type(model).__name__ in ("Logit", "Probit") or family == "Binomial"


def _name(model: Any) -> str:
    name = type(model).__name__
    if not hasattr(model, "family"):
        return name
    return f"{name} ({type(model.family).__name__}, {type(model.family.link).__name__})"


def _notes(model: Any) -> tuple[str, ...]:
    """Of what the probability is."""
    if not _is_binary(model):
        return ()
    names = model.endog_names
    if isinstance(names, str):
        return (f"probability is that of {names} being 1",)
    return (f"probability is that of {names[0]}, which statsmodels takes as the event",)
