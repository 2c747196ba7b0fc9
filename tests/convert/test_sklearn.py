"""scikit-learn: a fitted model, and what was added answer alike, in onnxruntime and compiled."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.compiler import compile_protos
from nnlet.convert.check import TOLERANCE, Checked, compare_all
from nnlet.convert.converted import Converted
from nnlet.convert.precision import convert_precisely
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError, VerifyError
from nnlet.model import read_repository
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX

HOW = "scikit-learn is not installed: pip install --require-hashes -r requirements/sklearn.txt"
sklearn = pytest.importorskip("sklearn", reason=HOW)
pytest.importorskip("skl2onnx", reason=HOW)
pandas = pytest.importorskip("pandas", reason=HOW)

from sklearn import (  # noqa: E402
    calibration,
    cluster,
    compose,
    datasets,
    decomposition,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from nnlet.convert.sklearn import convert  # noqa: E402

IRIS = datasets.load_iris(as_frame=True)
WINE = datasets.load_wine(as_frame=True)
CANCER = datasets.load_breast_cancer(as_frame=True)
DIABETES = datasets.load_diabetes(as_frame=True, scaled=False)
SMALL = tree.DecisionTreeClassifier(max_depth=3, random_state=0)

CLASSIFIERS = [
    linear_model.LogisticRegression(max_iter=5000),
    linear_model.SGDClassifier(loss="log_loss", random_state=0),
    linear_model.RidgeClassifier(),
    linear_model.Perceptron(random_state=0),
    SMALL,
    ensemble.RandomForestClassifier(n_estimators=10, random_state=0),
    ensemble.ExtraTreesClassifier(n_estimators=10, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
    ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
    ensemble.BaggingClassifier(n_estimators=3, random_state=0),
    ensemble.VotingClassifier([("a", SMALL), ("b", naive_bayes.GaussianNB())], voting="soft"),
    ensemble.StackingClassifier([("a", SMALL), ("b", naive_bayes.GaussianNB())]),
    calibration.CalibratedClassifierCV(SMALL, cv=2),
    svm.SVC(random_state=0),
    svm.LinearSVC(random_state=0),
    neighbors.KNeighborsClassifier(),
    naive_bayes.GaussianNB(),
    neural_network.MLPClassifier(max_iter=20, random_state=0),
]
REGRESSORS = [
    linear_model.LinearRegression(),
    linear_model.Lasso(),
    tree.DecisionTreeRegressor(max_depth=4, random_state=0),
    ensemble.RandomForestRegressor(n_estimators=10, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=5, random_state=0),
    svm.SVR(),
    neighbors.KNeighborsRegressor(),
    neural_network.MLPRegressor(max_iter=20, random_state=0),
    gaussian_process.GaussianProcessRegressor(alpha=1.0, random_state=0),
]
OTHERS = [
    ensemble.IsolationForest(n_estimators=10, random_state=0),
    svm.OneClassSVM(),
    cluster.KMeans(3, n_init=1, random_state=0),
    decomposition.PCA(2),
    preprocessing.StandardScaler(),
    preprocessing.MinMaxScaler(),
    preprocessing.PolynomialFeatures(2),
    preprocessing.KBinsDiscretizer(
        3, encode="ordinal", quantile_method="averaged_inverted_cdf", random_state=0
    ),
    feature_selection.SelectKBest(k=2),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Converted, Checked, Checked]]:
    """Each estimator converted and checked, all compiled in one go: zig starts once."""
    fitted = {}
    for estimators, data in ((CLASSIFIERS, WINE), (REGRESSORS, DIABETES), (OTHERS, IRIS)):
        for estimator in estimators:
            model = pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # 20 steps do not converge, and need not
                model.fit(data.data, data.target)
            converted, checked = convert_precisely(
                convert, model, sample_of(data.data), ("FP32", "FP64"), TOLERANCE
            )
            fitted[type(estimator).__name__] = (converted, checked)
    runtime = compiled([converted for converted, _ in fitted.values()])
    return {
        name: (converted, checked, asked(runtime, n, converted))
        for n, (name, (converted, checked)) in enumerate(fitted.items())
    }


def compiled(models: Sequence[Converted]) -> NativeModels:
    module = compile_protos([(f"m{n}", "1", model.proto) for n, model in enumerate(models)])
    return NativeModels(module.source, module.weights)


def asked(runtime: NativeModels, n: int, model: Converted) -> Checked:
    outputs = model.proto.graph.output
    types = [BY_ONNX[value.type.tensor_type.elem_type] for value in outputs]
    found = runtime.run(f"m{n}", "1", model.feeds, types)
    by_name = dict(zip([value.name for value in outputs], found, strict=True))
    return compare_all(model, by_name, "compiled", TOLERANCE)


@pytest.mark.parametrize("name", [type(e).__name__ for e in (*CLASSIFIERS, *REGRESSORS, *OTHERS)])
def test_an_estimator_answers_as_scikit_learn(
    answers: dict[str, tuple[Converted, Checked, Checked]], name: str
) -> None:
    converted, by_onnxruntime, by_compiled = answers[name]
    assert by_onnxruntime.rows == by_compiled.rows >= 150
    assert by_onnxruntime.error <= TOLERANCE
    assert by_compiled.error <= TOLERANCE
    assert [column.type for column in converted.columns] == ["number"] * len(converted.columns)


def test_columns_and_answer_of_a_classifier_are_named() -> None:
    names = IRIS.target_names[IRIS.target]
    model = linear_model.LogisticRegression(max_iter=1000).fit(IRIS.data, names)
    converted = convert(model, sample_of(IRIS.data), "FP32")
    first = converted.columns[0]
    assert (first.name, first.input, first.position) == ("sepal length (cm)", "features", 0)
    assert first.range == (4.3, 7.9)
    label, probabilities = converted.answer
    assert (label.kind, label.classes) == ("label", ("setosa", "versicolor", "virginica"))
    assert (probabilities.kind, probabilities.classes) == ("probabilities", label.classes)
    assert set(converted.expected["label"]) == {0, 1, 2}


@pytest.mark.parametrize(
    "classes", [("no", "yes"), (False, True), (3, 7), (-1, 1), (0.0, 1.0)], ids=str
)
def test_labels_of_any_type_become_indices(classes: tuple[Any, Any]) -> None:
    target = np.array(classes)[CANCER.target]
    model = tree.DecisionTreeClassifier(max_depth=2).fit(CANCER.data, target)
    converted = convert(model, sample_of(CANCER.data), "FP32")
    assert converted.answer[0].classes == classes
    assert asked(compiled([converted]), 0, converted).error <= TOLERANCE
    assert set(converted.expected["label"]) == {0, 1}


def people() -> Any:
    """Numbers and words, both with gaps."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "age": rng.integers(18, 90, 200).astype(float),
            "income": rng.normal(40_000, 10_000, 200),
            "city": rng.choice(["Amsterdam", "Utrecht", "Den Haag"], 200),
            "plan": rng.choice(["basic", "plus"], 200),
            "member": rng.choice([True, False], 200),
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "city"] = None
    return frame


def churn() -> Any:
    """Imputers, scalers and encoders by column, as in most notebooks."""
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    words = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="most_frequent", missing_values=None),
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
    )
    columns = compose.ColumnTransformer(
        [("n", numbers, ["age", "income"]), ("w", words, ["city", "plan"])],
        remainder="passthrough",
    )
    return pipeline.make_pipeline(columns, linear_model.LogisticRegression(max_iter=1000))


def test_words_and_gaps_go_through_a_column_transformer(tmp_path: Path) -> None:
    frame = people().astype({"city": object, "plan": object})
    frame["city"] = frame["city"].where(frame["city"].notna(), None)
    target = np.where(frame["income"] > 40_000, "stays", "goes")
    model = churn().fit(frame, target)
    added = nnlet.add(model, "churn", frame, into=tmp_path)
    assert added.error <= TOLERANCE
    (spec,) = read_repository(tmp_path)
    columns = {column.name: column for column in spec.columns}
    assert list(columns) == list(frame.columns)
    assert columns["plan"].categories == ("basic", "plus", "nan")  # its imputer takes a gap
    assert columns["plan"].unknown == "ignore"
    assert set(columns["city"].categories) == {"Amsterdam", "Den Haag", "Utrecht", "nan"}
    assert (columns["city"].missing, columns["age"].missing) == ("nan", "nan")
    assert columns["member"].type == "boolean"
    assert spec.answer[0].classes == ("goes", "stays")


@pytest.mark.parametrize("handle", ["error", "ignore"])
def test_an_encoder_that_refuses_unknown_words_says_so(handle: str) -> None:
    frame = pandas.DataFrame({"city": ["a", "b", "a", "b"], "plan": ["x", "y", "z", "x"]})
    encoder = preprocessing.OneHotEncoder(handle_unknown=handle)
    model = pipeline.make_pipeline(encoder, linear_model.LinearRegression())
    converted = convert(model.fit(frame, [0, 1, 2, 3]), sample_of(frame), "FP32")
    assert [column.unknown for column in converted.columns] == [handle, handle]
    assert asked(compiled([converted]), 0, converted).error <= TOLERANCE


def test_an_ordinal_encoder_feeds_trees() -> None:
    frame = people()[["city", "plan", "income"]].fillna({"city": "unknown"})
    encoder = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = compose.ColumnTransformer([("w", encoder, ["city", "plan"])], remainder="passthrough")
    model = pipeline.make_pipeline(columns, ensemble.RandomForestRegressor(5, random_state=0))
    converted = convert(model.fit(frame, frame["income"]), sample_of(frame), "FP32")
    assert converted.columns[0].categories == ("Amsterdam", "Den Haag", "Utrecht", "unknown")
    assert converted.columns[0].unknown == "ignore"
    assert asked(compiled([converted]), 0, converted).error <= TOLERANCE


def test_float64_is_kept_where_float32_decides_otherwise() -> None:
    x = np.array([[16_777_216.0], [16_777_217.0]] * 50)  # one and the same number in float32
    y = np.array([0, 1] * 50)
    model = ensemble.HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1).fit(x, y)
    converted, checked = convert_precisely(
        convert, model, sample_of(x), ("FP32", "FP64"), TOLERANCE
    )
    assert (converted.precision, checked.error <= TOLERANCE) == ("FP64", True)
    assert "FP64 is kept: in FP32 the model decides otherwise" in converted.notes[0]
    assert asked(compiled([converted]), 0, converted).error <= TOLERANCE


@pytest.mark.parametrize(
    ("model", "sample", "said"),
    [
        (linear_model.LogisticRegression(), IRIS.data, "is not fitted: call fit"),
        (linear_model.LogisticRegression, IRIS.data, "is a class: hand over a fitted object"),
        (SMALL, IRIS.data.iloc[:, :2], "missing=['petal length (cm)', 'petal width (cm)']"),
        (SMALL, IRIS.frame, "unknown=['target'] (leave the target out"),
        (SMALL, IRIS.data.iloc[:, ::-1], "in another order"),
        (SMALL, IRIS.data.values[:, :3], "3 columns, DecisionTreeClassifier was fitted on 4"),
        (SMALL, IRIS.data.iloc[:0], "no rows"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(model: Any, sample: Any, said: str) -> None:
    if model is SMALL:
        model.fit(IRIS.data, IRIS.target)
    with pytest.raises(ConvertError) as refused:
        convert(model, sample_of(sample), "FP32")
    assert said in str(refused.value)


def test_a_part_without_a_converter_is_named() -> None:
    parts = pipeline.make_pipeline(decomposition.SparsePCA(2, max_iter=5), SMALL)
    parts.fit(IRIS.data, IRIS.target)
    with pytest.raises(ConvertError, match="SparsePCA has no converter to ONNX: replace that step"):
        convert(parts, sample_of(IRIS.data), "FP32")


def test_text_is_refused_in_words() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = pandas.DataFrame({"text": ["a good one", "a bad one"] * 3})
    columns = compose.ColumnTransformer([("t", TfidfVectorizer(), "text")])
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression())
    model.fit(frame, [1, 0] * 3)
    with pytest.raises(ConvertError, match="TfidfVectorizer reads text"):
        convert(model, sample_of(frame), "FP32")


def test_a_model_that_answers_otherwise_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    model = linear_model.LinearRegression().fit(DIABETES.data, DIABETES.target)
    honest = model.predict(DIABETES.data)
    model.predict = lambda x: honest + 10 * (np.arange(len(honest)) == 7)
    with pytest.raises(VerifyError, match=r"row 7, prediction: .* where the library says"):
        nnlet.add(model, "diabetes", DIABETES.data, into=tmp_path)
    assert list(tmp_path.iterdir()) == []
