"""Which of scikit-learn's estimators become a function: every one that skl2onnx says it converts.

    python -m benchmarks.sklearn_coverage [--write] [NAME ...]

Each is fitted on one of scikit-learn's own data sets with the arguments in ARGUMENTS, converted,
and compared with its own predict or transform: in onnxruntime, and compiled. `--write` keeps the
table as benchmarks/results/sklearn.json and in docs/sklearn.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skl2onnx
import sklearn
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators

from nnlet.compiler import compile_protos
from nnlet.convert.check import TOLERANCE, compare_all
from nnlet.convert.converted import Converted
from nnlet.convert.precision import convert_precisely
from nnlet.convert.sample import sample_of
from nnlet.convert.sklearn import convert
from nnlet.errors import NnletError
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX

RESULTS = Path(__file__).parent / "results" / "sklearn.json"
PAGE = Path(__file__).parent.parent / "docs" / "sklearn.md"

CLASSIFIERS = [("nb", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
REGRESSORS = [("line", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=3))]
# What an estimator needs to be made, or to be small.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AdaBoostClassifier": {"n_estimators": 5},
    "AdaBoostRegressor": {"n_estimators": 5},
    "BaggingClassifier": {"n_estimators": 3},
    "BaggingRegressor": {"n_estimators": 3},
    "CalibratedClassifierCV": {"estimator": DecisionTreeClassifier(max_depth=3), "cv": 2},
    "ClassifierChain": {"estimator": LogisticRegression(max_iter=1000)},
    "ColumnTransformer": {"transformers": [("all", "passthrough", [0, 1, 2, 3])]},
    "ExtraTreesClassifier": {"n_estimators": 5},
    "ExtraTreesRegressor": {"n_estimators": 5},
    "FeatureUnion": {"transformer_list": [("same", "passthrough")]},
    "FunctionTransformer": {},
    "BayesianGaussianMixture": {"n_components": 3},
    "GaussianMixture": {"n_components": 3},
    "GaussianRandomProjection": {"n_components": 2},
    "GradientBoostingClassifier": {"n_estimators": 5},
    "GradientBoostingRegressor": {"n_estimators": 5},
    "GridSearchCV": {"estimator": DecisionTreeClassifier(), "param_grid": {"max_depth": [2, 3]}},
    "HistGradientBoostingClassifier": {"max_iter": 5},
    "HistGradientBoostingRegressor": {"max_iter": 5},
    "IsolationForest": {"n_estimators": 5},
    "KBinsDiscretizer": {"encode": "ordinal", "quantile_method": "averaged_inverted_cdf"},
    "KMeans": {"n_clusters": 3, "n_init": 1},
    "LocalOutlierFactor": {"novelty": True},
    "MiniBatchKMeans": {"n_clusters": 3, "n_init": 1},
    "MLPClassifier": {"max_iter": 50},
    "MLPRegressor": {"max_iter": 50},
    "MultiOutputClassifier": {"estimator": LogisticRegression(max_iter=1000)},
    "MultiOutputRegressor": {"estimator": LinearRegression()},
    "OneVsOneClassifier": {"estimator": LogisticRegression(max_iter=1000)},
    "OneVsRestClassifier": {"estimator": LogisticRegression(max_iter=1000)},
    "OutputCodeClassifier": {"estimator": LogisticRegression(max_iter=1000)},
    "Pipeline": {"steps": [("tree", DecisionTreeClassifier(max_depth=3))]},
    "QuantileRegressor": {"solver": "highs"},
    "QuantileTransformer": {"n_quantiles": 20},
    "RadiusNeighborsClassifier": {"radius": 10.0},
    "RadiusNeighborsRegressor": {"radius": 1000.0},
    "RandomTreesEmbedding": {"n_estimators": 5, "sparse_output": False},
    "RandomForestClassifier": {"n_estimators": 5},
    "RandomForestRegressor": {"n_estimators": 5},
    "RANSACRegressor": {"random_state": 0},
    "RandomizedSearchCV": {
        "estimator": DecisionTreeClassifier(),
        "param_distributions": {"max_depth": [2, 3]},
        "n_iter": 2,
    },
    "RFE": {"estimator": LinearRegression()},
    "RFECV": {"estimator": LinearRegression()},
    "SelectFromModel": {"estimator": LinearRegression()},
    "SelectKBest": {"k": 2},
    "SparseRandomProjection": {"n_components": 2},
    "StackingClassifier": {"estimators": CLASSIFIERS},
    "StackingRegressor": {"estimators": REGRESSORS},
    "TunedThresholdClassifierCV": {"estimator": LogisticRegression(max_iter=1000)},
    "VotingClassifier": {"estimators": CLASSIFIERS, "voting": "soft"},
    "VotingRegressor": {"estimators": REGRESSORS},
}
COUNTS = {"CategoricalNB", "ComplementNB", "MultinomialNB", "BernoulliNB", "OneHotEncoder",
          "OrdinalEncoder", "KBinsDiscretizer", "TfidfTransformer"}  # fmt: skip
BINARY = {"GaussianProcessClassifier", "TargetEncoder", "TunedThresholdClassifierCV"}


@dataclass(frozen=True)
class Row:
    """How far one estimator comes: `reason` says why no further."""

    name: str
    converted: bool
    compiled: bool
    precision: str = ""
    error: float = 0.0
    reason: str = ""


def supported() -> Iterator[tuple[str, type]]:
    """The estimators that skl2onnx has a converter for, by name."""
    known = {alias.removeprefix("Sklearn") for alias in skl2onnx.supported_converters(True)}
    for name, cls in all_estimators():
        alias = _alias(cls)
        if alias is not None and alias.removeprefix("Sklearn") in known:
            yield name, cls


def _alias(cls: type) -> str | None:
    from skl2onnx._supported_operators import _get_sklearn_operator_name

    try:
        return str(_get_sklearn_operator_name(cls))
    except RuntimeError:
        return None


def fitted(name: str, cls: type) -> tuple[Any, np.ndarray[Any, np.dtype[Any]]]:
    """The estimator, fitted on what suits it, and rows."""
    model = cls(**ARGUMENTS.get(name, {}))
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    if name in ("LabelEncoder", "LabelBinarizer"):
        raise NnletError("it is fitted on labels, not on rows: no column to serve")
    if sklearn.base.is_regressor(model) or name == "FactorAnalysis":
        x, y = load_diabetes(return_X_y=True, scaled=False)
    else:
        x, y = load_iris(return_X_y=True)
    x = np.round(x).astype(np.float64) if name in COUNTS else x
    y = (y > 0).astype(np.int64) if name in BINARY else y
    many = name.startswith("MultiTask") or name in ("MultiOutputRegressor", "RegressorChain")
    y = np.stack([y, y + 1], axis=1) if many else y
    if name in ("MultiOutputClassifier", "ClassifierChain"):
        y = np.stack([y > 0, y > 1], axis=1).astype(np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y), x


def measure(name: str, cls: type) -> Row:
    """One estimator: as far as it comes."""
    try:
        model, x = fitted(name, cls)
    except NnletError as exc:
        return Row(name, False, False, reason=str(exc))
    except Exception as exc:
        return Row(name, False, False, reason=f"not fitted here: {type(exc).__name__}: {exc}")
    try:
        sample = sample_of(x)
        converted, checked = convert_precisely(convert, model, sample, ("FP32", "FP64"), TOLERANCE)
        checked.require(name)
    except NnletError as exc:
        return Row(name, False, False, reason=" ".join(str(exc).split()))
    try:
        compiled = _compiled(converted)
        if compiled.passed:
            return Row(name, True, True, converted.precision, compiled.error)
        return Row(name, True, False, converted.precision, reason=str(compiled.worst))
    except NnletError as exc:
        return Row(name, True, False, converted.precision, reason=" ".join(str(exc).split()))


def _compiled(converted: Converted) -> Any:
    module = compile_protos([("m", "1", converted.proto)])
    outputs = converted.proto.graph.output
    types = [BY_ONNX[value.type.tensor_type.elem_type] for value in outputs]
    found = NativeModels(module.source, module.weights).run("m", "1", converted.feeds, types)
    answers = dict(zip([value.name for value in outputs], found, strict=True))
    return compare_all(converted, answers, "compiled", TOLERANCE)


def main() -> None:
    """Print one line an estimator."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    words = parser.parse_args()
    rows = []
    for name, cls in supported():
        if words.names and name not in words.names:
            continue
        row = measure(name, cls)
        rows.append(row)
        sys.stdout.write(f"{name:32} {_verdict(row)}\n")
        sys.stdout.flush()
    through = sum(row.compiled for row in rows)
    sys.stdout.write(f"{through} of {len(rows)}\n")
    if words.write:
        versions = {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__}
        table = {"versions": versions, "rows": [asdict(row) for row in rows]}
        RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(rows, versions), encoding="utf-8")


def _verdict(row: Row) -> str:
    if row.compiled:
        return f"{row.precision} error {row.error:.1e}"
    return ("converted, not compiled: " if row.converted else "not converted: ") + row.reason[:300]


def page(rows: list[Row], versions: dict[str, str]) -> str:
    """docs/sklearn.md."""
    through = [row for row in rows if row.compiled]
    lines = [
        "# scikit-learn, estimator by estimator",
        "",
        "Generated: `python -m benchmarks.sklearn_coverage --write` ("
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "). Each is fitted on a data set of scikit-learn's own, converted, compiled, and",
        "compared with its own answers (relative error at most 1e-4).",
        "",
        f"**{len(through)} of the {len(rows)} that skl2onnx has a converter for.**",
        "",
        "| estimator | computes in | largest error | |",
        "|---|---|---|---|",
    ]
    for row in rows:
        error = f"{row.error:.0e}" if row.compiled else ""
        reason = row.reason.replace("|", "/")[:200]
        lines.append(f"| {row.name} | {row.precision} | {error} | {reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
