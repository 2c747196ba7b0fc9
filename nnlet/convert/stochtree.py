"""stochtree: a sampled BARTModel as one tree ensemble whose targets are the posterior draws.

    columns [N, K] --> one-hot --> trees --> scale, link --> draws [N, draws]
                                                        \\-> mean, quantiles

A column of categories crosses as its index; the graph makes of it what stochtree's preprocessor
makes of it: nothing for ordered categories, one 0 or 1 a category for others. Quantiles are
NumPy's (linear interpolation between the sorted draws), computed in the graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import stochtree
from onnx import TensorProto, helper, numpy_helper

from nnlet.convert import draws as posterior
from nnlet.convert.columns import matched, number_spec
from nnlet.convert.converted import FLOATS, Array, Converted, Precision
from nnlet.convert.draws import Draws
from nnlet.convert.sample import Column, Sample, plain
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec, ColumnSpec, Scalar

OPSET = {"": 18, "ai.onnx.ml": 3}
MATRIX = "features"
QUANTILES = (0.05, 0.5, 0.95)  # where neither draws nor quantiles are asked for
COMPARED = 100_000  # draws of all rows together: 100 rows of 1000 draws


def read(path: Path) -> Any:
    """The BARTModel in a file that its to_json wrote. Raises ConvertError."""
    model = stochtree.BARTModel()
    try:
        model.from_json(path.read_text(encoding="utf-8"))
    except Exception as exc:  # from C++ as RuntimeError, and from Python as KeyError and others
        raise ConvertError(
            f"{path} is not read by stochtree {_version()} as a BARTModel "
            f"({str(exc).splitlines()[0]}): write it with BARTModel.to_json"
        ) from exc
    return model


def convert(
    model: Any,
    sample: Sample,
    precision: Precision,
    draws: bool = False,
    quantiles: Sequence[float] = (),
) -> Converted:
    """A sampled BARTModel as ONNX, with its answers to the sample: the posterior mean, and all
    draws or the quantiles asked for.

    Raises ConvertError for one that is not sampled, has more than a mean forest, or does not
    fit the sample.
    """
    _require_supported(model)
    asked = _quantiles(draws, quantiles)
    columns = _Columns.of(model._covariate_preprocessor)
    found = posterior.read(model.forest_container_mean.dump_json_string())
    sample = _matched(sample, columns)
    rows = sample.some(max(10, COMPARED // found.count))
    feed = _feed(rows, columns, precision)
    graph = _Graph(precision)
    graph.trees(graph.one_hot(columns), found)
    graph.scale(float(model.y_std), float(model.y_bar))
    graph.link(model.outcome_model.link)
    graph.answers(found.count, draws, asked)
    expected = _expected(model, rows, draws, asked)
    return Converted(
        proto=graph.model(len(columns.types)),
        columns=tuple(_specs(sample, columns)),
        answer=tuple(_answer(draws, asked)),
        feeds={MATRIX: feed},
        expected=expected,
        made_by=f"BARTModel of stochtree {_version()} ({found.count} draws, "
        f"{found.trees} trees each)",
        precision=precision,
    )


def _version() -> str:
    from importlib.metadata import version

    return version("stochtree")


# The model --------------------------------------------------------------------


def _require_supported(model: Any) -> None:
    if not isinstance(model, stochtree.BARTModel):
        raise ConvertError(
            f"a {type(model).__name__} of stochtree: only its BARTModel is converted"
        )
    if not model.is_sampled():
        raise ConvertError("this BARTModel is not fitted: call sample, then add it")
    beyond = [
        what
        for has, what in (
            (not model.include_mean_forest, "no mean forest"),
            (model.include_variance_forest, "a variance forest"),
            (model.has_rfx, "random effects"),
            (model.has_basis, "a regression in its leaves (leaf_basis)"),
        )
        if has
    ]
    outcome = model.outcome_model
    if (outcome.outcome, outcome.link) not in _OUTCOMES:
        beyond.append(f"a {outcome.outcome} outcome with link {outcome.link}")
    if beyond:
        raise ConvertError(
            f"this BARTModel has {' and '.join(beyond)}: what is converted is a mean forest of a "
            "continuous outcome, or of a binary one with link probit or cloglog"
        )
    preprocessor = model._covariate_preprocessor
    if preprocessor is None or not preprocessor._check_is_fitted():
        raise ConvertError(
            "this BARTModel does not know its columns (it was sampled by an older stochtree, or in "
            "R): sample it again in Python, from a DataFrame or an array"
        )


_OUTCOMES = {("continuous", "identity"), ("binary", "probit"), ("binary", "cloglog")}


def _quantiles(draws: bool, quantiles: Sequence[float]) -> tuple[float, ...]:
    if not quantiles:
        return () if draws else QUANTILES
    wrong = [q for q in quantiles if not 0 <= q <= 1]
    if wrong:
        raise ConvertError(f"quantiles are between 0 and 1: {', '.join(map(str, wrong))} is not")
    return tuple(float(q) for q in quantiles)


def _expected(
    model: Any, rows: Sample, draws: bool, quantiles: tuple[float, ...]
) -> dict[str, Array]:
    """stochtree's own answers, on the scale of the outcome or as probabilities."""
    scale = "linear" if model.outcome_model.link == "identity" else "probability"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = model.predict(rows.source, type="posterior", terms="y_hat", scale=scale)
        except Exception as exc:  # KeyError for a category that it does not know, and others
            raise ConvertError(
                f"BARTModel does not take the sample ({type(exc).__name__}: {exc}): hand over rows "
                "as it was sampled on"
            ) from exc
    found = np.asarray(found)
    answers = {"mean": found.mean(axis=1, keepdims=True)}
    if quantiles:
        answers["quantiles"] = np.quantile(found, quantiles, axis=1).T
    if draws:
        answers["draws"] = found
    return answers


def _answer(draws: bool, quantiles: tuple[float, ...]) -> list[AnswerSpec]:
    found = [AnswerSpec("mean", "mean", "number")]
    if quantiles:
        names = tuple(f"{q:g}" for q in quantiles)
        found.append(AnswerSpec("quantiles", "quantiles", "numbers", names=names))
    if draws:
        found.append(AnswerSpec("draws", "draws", "numbers"))
    return found


# The columns ------------------------------------------------------------------


class _Columns:
    """What stochtree's preprocessor does: `types` of the columns, the categories of some, and
    for each feature of the trees its column (`source`) and the category it is 1 for
    (`category`, NaN for the column's own value)."""

    def __init__(
        self, types: list[str], categories: dict[int, tuple[Scalar, ...]], one_hot: set[int]
    ) -> None:
        self.types = types
        self.categories = categories
        self.source: list[int] = []
        self.category: list[float] = []
        for at in range(len(types)):
            numbers = range(len(categories[at])) if at in one_hot else [np.nan]
            self.source += [at] * len(numbers)
            self.category += [float(n) for n in numbers]

    @classmethod
    def of(cls, preprocessor: Any) -> _Columns:
        """From stochtree's. Raises ConvertError for a column that it left out."""
        types = [str(kind) for kind in preprocessor._original_feature_types]
        left_out = [str(n) for n, kind in enumerate(types) if kind == "unsupported"]
        if left_out:
            raise ConvertError(
                f"stochtree ignored column {', '.join(left_out)} (counted from 0) when it was "
                "sampled: sample without it, or as numbers or categories"
            )
        categories: dict[int, tuple[Scalar, ...]] = {}
        one_hot: set[int] = set()
        for index, lists in (
            (preprocessor._ordinal_feature_index, preprocessor._ordinal_categories_list),
            (preprocessor._onehot_feature_index, preprocessor._onehot_categories_list),
        ):
            for at, place in enumerate(index):
                if place >= 0:
                    categories[at] = tuple(plain(value) for value in lists[place])
                    if lists is preprocessor._onehot_categories_list:
                        one_hot.add(at)
        return cls(types, categories, one_hot)


def _matched(sample: Sample, columns: _Columns) -> Sample:
    """The sample with as many columns; a category where stochtree had one."""
    sample = matched(sample, None, len(columns.types), "the BARTModel")
    for at, column in enumerate(sample.columns):
        if (column.type == "category") != (at in columns.categories):
            raise ConvertError(
                f"column {column.name!r} of the sample is {column.type}, and was "
                f"{columns.types[at]} when the BARTModel was sampled"
            )
    return sample


def _specs(sample: Sample, columns: _Columns) -> list[ColumnSpec]:
    return [
        ColumnSpec(column.name, "category", MATRIX, at, categories=columns.categories[at])
        if at in columns.categories
        else number_spec(column, MATRIX, at)
        for at, column in enumerate(sample.columns)
    ]


def _feed(rows: Sample, columns: _Columns, precision: Precision) -> Array:
    values = [
        _indices(column, columns.categories[at]) if at in columns.categories else column.values
        for at, column in enumerate(rows.columns)
    ]
    return np.stack(values, axis=1).astype(FLOATS[precision])


def _indices(column: Column, categories: tuple[Scalar, ...]) -> Array:
    place = {category: n for n, category in enumerate(categories)}
    unknown = sorted({str(v) for v in column.values if v not in place})
    if unknown:
        raise ConvertError(
            f"column {column.name!r} of the sample holds {', '.join(unknown)}, which the BARTModel "
            f"does not know: its categories are {', '.join(map(str, categories))}"
        )
    return np.array([place[v] for v in column.values], np.int64)


# The graph --------------------------------------------------------------------


class _Graph:
    """The ONNX graph, built node after node; `last` is the value that the next one reads."""

    def __init__(self, precision: Precision) -> None:
        self.real = np.dtype(FLOATS[precision])
        self.last = MATRIX
        self._type = TensorProto.DOUBLE if precision == "FP64" else TensorProto.FLOAT
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def one_hot(self, columns: _Columns) -> int:
        """From columns to the features of the trees: how many those are."""
        category = np.array(columns.category, self.real)
        coded = ~np.isnan(category)
        if coded.any():
            source = np.array(columns.source, np.int64)
            expanded = self._add("Gather", self.last, self._constant("source", source), axis=1)
            equal = self._add("Equal", expanded, self._constant("category", category))
            one = self._add("Cast", equal, to=self._type)
            self.last = self._add("Where", self._constant("coded", coded), one, expanded)
        return len(category)

    def trees(self, features: int, found: Draws) -> None:
        """[N, draws]: the sum of each draw's trees.

        TreeEnsemble, its successor, is a third of the size, but onnxruntime takes minutes to load
        200,000 trees of it.
        """
        if found.feature.max(initial=0) >= features:
            raise ConvertError("its trees look at more features than its preprocessor makes")
        leaf = found.left < 0
        sums = self._add(
            "TreeEnsembleRegressor",
            self.last,
            domain="ai.onnx.ml",
            n_targets=found.count,
            nodes_treeids=found.tree,
            nodes_nodeids=found.number,
            nodes_featureids=found.feature,
            nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            nodes_truenodeids=np.where(leaf, 0, found.left),
            nodes_falsenodeids=np.where(leaf, 0, found.right),
            target_ids=found.draw[leaf],
            target_treeids=found.tree[leaf],
            target_nodeids=found.number[leaf],
            **self._numbers("nodes_values", found.threshold),
            **self._numbers("target_weights", found.value[leaf]),
        )
        self.last = self._add("Cast", sums, to=self._type) if self.real == np.float64 else sums

    def _numbers(self, name: str, values: Array) -> dict[str, Any]:
        """Floats as the attribute of that name, doubles as the tensor that may stand for it."""
        values = values.astype(self.real)
        if self.real == np.float32:
            return {name: values}
        return {f"{name}_as_tensor": numpy_helper.from_array(values, name)}

    def scale(self, scale: float, mean: float) -> None:
        """On the scale of the outcome."""
        scaled = self._add("Mul", self.last, self._constant("scale", np.array(scale, self.real)))
        self.last = self._add("Add", scaled, self._constant("outcome", np.array(mean, self.real)))

    def link(self, name: str) -> None:
        """The probability, for a binary outcome."""
        if name == "probit":  # (1 + erf(x / sqrt 2)) / 2
            scaled = self._add(
                "Mul", self.last, self._constant("root", np.array(np.sqrt(0.5), self.real))
            )
            raised = self._add(
                "Add", self._add("Erf", scaled), self._constant("one", np.array(1, self.real))
            )
            self.last = self._add("Mul", raised, self._constant("half", np.array(0.5, self.real)))
        elif name == "cloglog":
            self.last = self._add("Exp", self._add("Neg", self._add("Exp", self.last)))

    def answers(self, count: int, draws: bool, quantiles: tuple[float, ...]) -> None:
        """The outputs, of `count` draws."""
        found = self.last
        axis = self._constant("axis", np.array([1], np.int64))
        self._output(self._add("ReduceMean", found, axis, keepdims=1), "mean", 1)
        if quantiles:
            self._output(self._quantiles(found, count, quantiles), "quantiles", len(quantiles))
        if draws:
            self._output(found, "draws", count)

    def _quantiles(self, found: str, count: int, quantiles: tuple[float, ...]) -> str:
        """Between the two sorted draws that lie around (draws - 1) * q, as numpy.quantile."""
        many = self._constant("count", np.array([count], np.int64))
        ordered = self._add("TopK", found, many, outputs=2, axis=1, largest=0, sorted=1)
        places = np.array(quantiles) * (count - 1)
        below = np.floor(places).astype(np.int64)
        above = np.minimum(below + 1, count - 1)
        low, high = (
            self._add("Gather", ordered, self._constant(name, at), axis=1)
            for name, at in (("below", below), ("above", above))
        )
        share = self._constant("share", (places - below).astype(self.real))
        return self._add("Add", low, self._add("Mul", self._add("Sub", high, low), share))

    def model(self, columns: int) -> onnx.ModelProto:
        """The whole, with one input of `columns` columns."""
        features = helper.make_tensor_value_info(MATRIX, self._type, ["rows", columns])
        graph = helper.make_graph(self._nodes, "bart", [features], self._outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10, producer_name="nnlet from stochtree"
        )

    def _add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """One more node; the name of its first output."""
        names = [
            f"{op.lower()}_{len(self._nodes)}" + (f"_{n}" if n else "") for n in range(outputs)
        ]
        self._nodes.append(helper.make_node(op, inputs, names, names[0], **attributes))
        return names[0]

    def _constant(self, name: str, value: Array) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _output(self, value: str, name: str, width: int) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name))
        self._outputs.append(helper.make_tensor_value_info(name, self._type, ["rows", width]))
