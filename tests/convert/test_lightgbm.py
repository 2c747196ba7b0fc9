"""LightGBM: a fitted model, its files, and what was added answer alike, compiled too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.convert.converters import converter_of, read_model_file
from nnlet.convert.sample import sample_of
from nnlet.errors import ConvertError
from nnlet.model import read_repository
from tests.convert.boosted import Asked, asked

HOW = "not installed: pip install --require-hashes -r requirements/lightgbm.txt scikit-learn"
lightgbm = pytest.importorskip("lightgbm", reason=HOW)
pandas = pytest.importorskip("pandas", reason=HOW)
sklearn = pytest.importorskip("sklearn", reason=HOW)

from sklearn import datasets, pipeline, preprocessing  # noqa: E402

CANCER = datasets.load_breast_cancer(as_frame=True)
WINE = datasets.load_wine(as_frame=True)
DIABETES = datasets.load_diabetes(as_frame=True)
GAPS = CANCER.data.mask(np.random.default_rng(0).random(CANCER.data.shape) < 0.2)
FEW: dict[str, Any] = {"n_estimators": 5, "num_leaves": 7, "verbose": -1, "n_jobs": 1}
REGRESSIONS = (
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
    *("poisson", "gamma", "tweedie"),
)
CROSS = ("binary", "cross_entropy", "cross_entropy_lambda")


def categories() -> Any:
    """Words with gaps, integers as categories, a number."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "city": pandas.Categorical(rng.choice(["Zürich", *"stuvwxy"], 300)),
            "size": rng.random(300),
            "code": pandas.Categorical(rng.choice([10, 3, 7, 99], 300)),
        }
    )
    target = frame["city"].isin(["x", "s"]) + frame["size"] * frame["code"].isin([10, 7])
    frame.loc[::9, "city"] = None
    return frame, target


def fitted() -> dict[str, tuple[Any, Any]]:
    x, y = CANCER.data, CANCER.target
    d, t = DIABETES.data, DIABETES.target
    w, names = WINE.data, WINE.target_names[WINE.target]
    frame, target = categories()
    grouped = {"min_data_per_group": 2, "cat_smooth": 0.0}
    numbers = frame.assign(city=frame["city"].cat.codes.clip(0), code=frame["code"].astype(int))
    zeros = d.mask(np.random.default_rng(0).random(d.shape) < 0.3, 0.0)
    half = d.mask(d > 0.05)
    forest = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
    classifier, regressor = lightgbm.LGBMClassifier, lightgbm.LGBMRegressor
    parameters = {"objective": "binary", "num_threads": 1, "verbose": -1}
    rows, held = lightgbm.Dataset(x[:300], y[:300]), lightgbm.Dataset(x[300:], y[300:])
    stops = [lightgbm.early_stopping(2, verbose=False)]
    early = lightgbm.train(parameters, rows, 100, valid_sets=[held], callbacks=stops)
    models = {
        "gaps": (classifier(**FEW).fit(GAPS, y), GAPS),
        "gaps that training had not": (classifier(**FEW).fit(x, y), GAPS),
        "words as classes": (classifier(**FEW).fit(w, names), w),
        "arrays": (classifier(**FEW).fit(w.values, names), w.values),
        "one against all": (classifier(objective="multiclassova", **FEW).fit(w, names), w),
        "sigmoid": (classifier(sigmoid=2.0, **FEW).fit(x, y), x),
        "stopped early": (early, x),
        "square root": (regressor(reg_sqrt=True, **FEW).fit(d, t), d),
        "dart": (regressor(boosting_type="dart", **FEW).fit(d, t), d),
        "random forest": (classifier(**forest, **FEW).fit(w, names), w),
        "zero is a gap": (regressor(zero_as_missing=True, **FEW).fit(zeros, t), zeros),
        "zero and NaN are gaps": (regressor(zero_as_missing=True, **FEW).fit(zeros, t), half),
        "no gaps": (regressor(use_missing=False, **FEW).fit(half, t), half),
        "ranker": (lightgbm.LGBMRanker(**FEW).fit(x, y, group=[20] * 28 + [9]), x),
        "categories": (regressor(**grouped, **FEW).fit(frame, target), frame),
        "categories one by one": (
            regressor(max_cat_to_onehot=100, **grouped, **FEW).fit(frame, target),
            frame,
        ),
        "categories as integers": (
            regressor(**grouped, **FEW).fit(numbers, target, categorical_feature=["city", "code"]),
            numbers,
        ),
        "Booster of several classes": (classifier(**FEW).fit(w, names).booster_, w),
    }
    for objective in REGRESSIONS:
        models[objective] = (regressor(objective=objective, **FEW).fit(d, t), d)
    for objective in CROSS:
        parameters["objective"] = objective
        booster = lightgbm.train(parameters, lightgbm.Dataset(x, y), 5)
        models[f"Booster {objective}"] = (booster, x)
    return models


@pytest.fixture(scope="module")
def answers() -> dict[str, Asked]:
    return asked(fitted())


def test_every_model_answers_as_lightgbm(answers: dict[str, Asked]) -> None:
    for answer in answers.values():
        answer.require()
        assert answer.compiled.rows >= 150


def test_columns_and_answer_are_named(answers: dict[str, Asked]) -> None:
    converted = answers["words as classes"].converted
    assert [column.name for column in converted.columns] == list(WINE.data.columns)
    label, probabilities = converted.answer
    assert label.classes == probabilities.classes == ("class_0", "class_1", "class_2")
    city, _, code = answers["categories"].converted.columns
    assert (city.categories[0], city.unknown, city.missing) == ("Zürich", "ignore", "nan")
    assert code.categories == (3, 7, 10, 99)
    assert answers["categories as integers"].converted.columns[2].type == "integer"


def test_trees_after_the_best_round_are_left_out(answers: dict[str, Asked]) -> None:
    best = fitted()["stopped early"][0].best_iteration
    (node,) = (n for n in answers["stopped early"].converted.proto.graph.node if n.domain)
    (trees,) = (a.ints for a in node.attribute if a.name == "nodes_treeids")
    assert max(trees) == best - 1


def test_float64_is_kept_at_a_threshold_that_float32_passes() -> None:
    x = np.array([[16_777_216.0], [16_777_217.0]] * 50)  # one and the same number in float32
    model = lightgbm.LGBMClassifier(min_child_samples=1, **FEW).fit(x, [0, 1] * 50)
    (answer,) = asked({"": (model, x)}).values()
    answer.require()
    assert answer.converted.precision == "FP64"
    assert "in FP32 the model decides otherwise" in answer.converted.notes[0]


def test_values_at_thresholds_and_beside_them_decide_alike() -> None:
    x, y = DIABETES.data.values.astype(np.float32).astype(np.float64), DIABETES.target
    model = lightgbm.LGBMRegressor(**FEW).fit(x, y)
    lines = model.booster_.model_to_string().splitlines()
    found = [line.partition("=")[2].split() for line in lines if line.startswith("threshold=")]
    cuts = np.float32([float(word) for words in found for word in words])
    near = [np.nextafter(cuts, np.float32(way)) for way in (-math.inf, math.inf)]
    rows = np.concatenate([cuts, *near]).astype(np.float64)
    table = np.tile(rows.reshape(-1, 1), (1, x.shape[1]))
    (answer,) = asked({"": (model, table)}).values()
    answer.require()
    assert answer.converted.precision == "FP32"


def test_a_file_is_added_without_trust(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(**FEW).fit(CANCER.data, CANCER.target)
    path, table = tmp_path / "model.txt", tmp_path / "cancer.csv"
    model.booster_.save_model(path)
    CANCER.frame.to_csv(table, index=False)
    added = nnlet.add(str(path), "cancer", table, target="target", into=tmp_path / "models")
    assert added.error < 1e-5
    (spec,) = read_repository(tmp_path / "models")
    assert [column.name for column in spec.columns] == list(CANCER.data.columns)
    assert [field.kind for field in spec.answer] == ["label", "probabilities"]


def test_words_in_a_csv_file_are_categories(tmp_path: Path) -> None:
    frame, target = categories()
    frame = frame.assign(city=frame["city"].cat.add_categories("none").fillna("none"))
    model = lightgbm.LGBMRegressor(min_data_per_group=2, **FEW).fit(frame, target)
    path, table = tmp_path / "model.txt", tmp_path / "sizes.csv"
    model.booster_.save_model(path)
    frame.to_csv(table, index=False)
    nnlet.add(str(path), "sizes", table, into=tmp_path / "models")
    columns = read_repository(tmp_path / "models")[0].columns
    assert [column.type for column in columns] == ["category", "number", "category"]
    assert columns[2].categories == (3, 7, 10, 99)


def test_a_pipeline_ends_in_one() -> None:
    pytest.importorskip("skl2onnx", reason=HOW)
    x, w = WINE.data, WINE.target_names[WINE.target]
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), lightgbm.LGBMClassifier(**FEW))
    odd = pipeline.make_pipeline(preprocessing.MinMaxScaler(), lightgbm.LGBMClassifier(**FEW))
    number = pipeline.make_pipeline(preprocessing.MinMaxScaler(), lightgbm.LGBMRegressor(**FEW))
    models = {
        "words": (model.set_output(transform="pandas").fit(x, w), x),
        "odd numbers": (odd.set_output(transform="pandas").fit(x, WINE.target * 2 + 3), x),
        "numbers": (number.set_output(transform="pandas").fit(x, WINE.target), x),
    }
    found = asked(models)
    for answer in found.values():
        answer.require()
    assert found["words"].converted.answer[0].classes == ("class_0", "class_1", "class_2")
    assert found["odd numbers"].converted.answer[0].classes == (3, 5, 7)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: lightgbm.LGBMClassifier(), "is not fitted: call fit, then add it"),
        (
            lambda: lightgbm.LGBMRegressor(linear_tree=True, **FEW).fit(WINE.data, WINE.target),
            "fit without linear_tree",
        ),
        (
            lambda: lightgbm.LGBMRegressor(**FEW).fit(CANCER.data, CANCER.target),
            "are not those that LGBMRegressor was fitted on",
        ),
    ],
)
def test_a_refusal_says_what_to_do(make: Any, said: str) -> None:
    model = make()
    with pytest.raises(ConvertError, match=said):
        converter_of(model).load()(model, sample_of(WINE.data), "FP32")


def test_a_text_file_that_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ConvertError, match="is no model of LightGBM"):
        read_model_file(tmp_path / "a.txt")
