"""XGBoost: a fitted model, its files, and what was added answer alike, compiled too."""

from __future__ import annotations

import warnings
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

HOW = "not installed: pip install --require-hashes -r requirements/xgboost.txt scikit-learn"
xgboost = pytest.importorskip("xgboost", reason=HOW)
pandas = pytest.importorskip("pandas", reason=HOW)
sklearn = pytest.importorskip("sklearn", reason=HOW)

from sklearn import datasets, pipeline, preprocessing  # noqa: E402

CANCER = datasets.load_breast_cancer(as_frame=True)
WINE = datasets.load_wine(as_frame=True)
DIABETES = datasets.load_diabetes(as_frame=True)
GAPS = CANCER.data.mask(np.random.default_rng(0).random(CANCER.data.shape) < 0.2)
REGRESSIONS = (
    *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror"),
    *("reg:gamma", "reg:tweedie", "count:poisson", "survival:cox"),
)
BINARY = ("reg:logistic", "binary:logistic", "binary:logitraw", "binary:hinge")


def categories() -> Any:
    """Words with gaps, integers as categories, a number."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "city": pandas.Categorical(rng.choice(list("stuvwxyz"), 300)),
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
    several = np.stack([t, -t, 2 * t], axis=1)
    frame, target = categories()
    classifier, regressor = xgboost.XGBClassifier, xgboost.XGBRegressor
    few: dict[str, Any] = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}
    early = classifier(n_estimators=100, max_depth=2, early_stopping_rounds=2, n_jobs=1)
    early.fit(x[:300], y[:300], eval_set=[(x[300:], y[300:])], verbose=False)
    models = {
        "gaps": (classifier(**few).fit(GAPS, y), GAPS),
        "another value is a gap": (
            classifier(missing=-9, **few).fit(GAPS.fillna(-9), y),
            GAPS.fillna(-9),
        ),
        "several classes": (classifier(**few).fit(WINE.data, WINE.target), WINE.data),
        "arrays": (classifier(**few).fit(WINE.data.values, WINE.target), WINE.data.values),
        "stopped early": (early, x),
        "random forest": (xgboost.XGBRFClassifier(**few).fit(x, y), x),
        "ranker": (xgboost.XGBRanker(**few).fit(x, y, qid=np.arange(len(y)) // 20), x),
        "dart": (regressor(booster="dart", rate_drop=0.5, **few).fit(d, t), d),
        "a tree for each output": (regressor(**few).fit(d, several), d),
        "a tree for all outputs": (
            regressor(multi_strategy="multi_output_tree", **few).fit(d, several),
            d,
        ),
        "quantiles": (
            regressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9], **few).fit(
                d, t
            ),
            d,
        ),
        "a base score of one's own": (classifier(base_score=0.2, **few).fit(x, y), x),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_depth is not used
        linear = classifier(booster="gblinear", **few).fit(WINE.data, WINE.target)
        models["linear"] = (linear, WINE.data)
        models["linear, gaps"] = (regressor(booster="gblinear", **few).fit(GAPS, y), GAPS)
    for one_hot in (1, 100):
        model = regressor(enable_categorical=True, max_cat_to_onehot=one_hot, **few)
        models[f"categories, one-hot up to {one_hot}"] = (model.fit(frame, target), frame)
    for objective in REGRESSIONS:
        models[objective] = (regressor(objective=objective, **few).fit(d, t), d)
    for objective in BINARY:
        booster = xgboost.train({"objective": objective, "nthread": 1}, xgboost.DMatrix(x, y), 5)
        models[f"Booster {objective}"] = (booster, x)
    rows = xgboost.DMatrix(WINE.data, WINE.target)
    booster = xgboost.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, rows, 3)
    models["Booster multi:softmax"] = (booster, WINE.data)
    rows = xgboost.DMatrix(d)
    rows.set_float_info("label_lower_bound", t)
    rows.set_float_info("label_upper_bound", t)
    booster = xgboost.train({"objective": "survival:aft", "nthread": 1}, rows, 5)
    models["Booster survival:aft"] = (booster, d)
    return models


@pytest.fixture(scope="module")
def answers() -> dict[str, Asked]:
    return asked(fitted())


def test_every_model_answers_as_xgboost(answers: dict[str, Asked]) -> None:
    for answer in answers.values():
        answer.require()
        assert answer.converted.precision == "FP32"
        assert answer.compiled.rows >= 150


def test_columns_and_answer_are_named(answers: dict[str, Asked]) -> None:
    converted = answers["gaps"].converted
    first = converted.columns[0]
    assert (first.name, first.input, first.position) == ("mean radius", "features", 0)
    assert first.missing == "nan"
    label, probabilities = converted.answer
    assert (label.kind, label.classes) == ("label", (0, 1))
    assert (probabilities.kind, probabilities.classes) == ("probabilities", (0, 1))
    (quantiles,) = answers["quantiles"].converted.answer
    assert (quantiles.kind, quantiles.names) == ("numbers", ("0.1", "0.5", "0.9"))


def test_trees_after_the_best_round_are_left_out(answers: dict[str, Asked]) -> None:
    model = fitted()["stopped early"][0]
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    (node,) = (n for n in answers["stopped early"].converted.proto.graph.node if n.domain)
    (trees,) = (a.ints for a in node.attribute if a.name == "nodes_treeids")
    assert max(trees) == model.best_iteration


def test_categories_are_the_models_and_the_place_in_the_list_crosses(
    answers: dict[str, Asked],
) -> None:
    city, size, code = answers["categories, one-hot up to 1"].converted.columns
    assert (city.categories, city.unknown, city.missing) == (tuple("stuvwxyz"), "error", "nan")
    assert (code.categories, code.type, size.type) == ((3, 7, 10, 99), "category", "number")


def test_categories_that_are_listed_already_keep_their_place(tmp_path: Path) -> None:
    frame, target = categories()
    model = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(frame, target)
    nnlet.add(model, "sizes", frame, into=tmp_path)
    frame["city"] = frame["city"].cat.rename_categories({"s": "a"})  # sorts before all others
    frame["city"] = pandas.Categorical(frame["city"], categories=list("zyxwvuta"))
    model = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(frame, target)
    nnlet.add(model, "sizes", frame, into=tmp_path)
    assert read_repository(tmp_path)[-1].columns[0].categories == tuple("stuvwxyza")


def test_words_beyond_ascii_are_the_samples() -> None:
    frame, target = categories()
    frame["city"] = frame["city"].cat.rename_categories({"x": "Curaçao", "s": "Zürich"})
    model = xgboost.XGBRegressor(n_estimators=3, n_jobs=1, enable_categorical=True)
    (answer,) = asked({"": (model.fit(frame, target), frame)}).values()
    answer.require()
    assert answer.converted.columns[0].categories == tuple(frame["city"].cat.categories)
    with pytest.raises(ConvertError, match="knows only their numbers: hand over a DataFrame"):
        convert = converter_of(model).load()
        convert(model, sample_of(frame.astype({"city": object})), "FP32")


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("raw", [False, True], ids=["XGBClassifier", "Booster"])
def test_a_file_is_added_without_trust(suffix: str, raw: bool, tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(WINE.data, WINE.target)
    path = tmp_path / f"model.{suffix}"
    (model.get_booster() if raw else model).save_model(path)
    table = tmp_path / "wine.csv"
    WINE.frame.to_csv(table, index=False)
    added = nnlet.add(str(path), "wine", table, target="target", into=tmp_path / "models")
    assert added.error < 1e-5
    (spec,) = read_repository(tmp_path / "models")
    assert [column.name for column in spec.columns] == list(WINE.data.columns)
    assert [field.kind for field in spec.answer] == ["label", "probabilities"]


def test_a_booster_that_was_stopped_early_says_that_all_rounds_are_used() -> None:
    booster = fitted()["stopped early"][0].get_booster()
    converted = converter_of(booster).load()(booster, sample_of(CANCER.data), "FP32")
    assert f"though the best was {booster.best_iteration + 1}: add booster[:" in converted.notes[0]


def test_a_pipeline_ends_in_one() -> None:
    pytest.importorskip("skl2onnx", reason=HOW)
    x, y = WINE.data, WINE.target
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), xgboost.XGBClassifier(n_estimators=3, n_jobs=1)
    )
    number = pipeline.make_pipeline(
        preprocessing.MinMaxScaler(), xgboost.XGBRegressor(n_estimators=3, n_jobs=1)
    )
    for answer in asked({"a": (model.fit(x, y), x), "b": (number.fit(x, y), x)}).values():
        answer.require()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: xgboost.XGBClassifier(), "is not fitted: call fit, then add it"),
        (lambda: xgboost.XGBClassifier, "is a class: hand over a fitted object"),
    ],
)
def test_a_refusal_says_what_to_do(make: Any, said: str) -> None:
    with pytest.raises(ConvertError, match=said):
        converter_of(xgboost.XGBClassifier()).load()(make(), sample_of(WINE.data), "FP32")


def test_a_file_that_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.json", "{}", "is no model in JSON that nnlet knows"),
        ("b.json", "{", "is not JSON"),
        ("c.json", '{"learner": 1}', "is no model that XGBoost"),
        ("d.ubj", "", "is no model that XGBoost"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ConvertError, match=said):
            read_model_file(tmp_path / name)
