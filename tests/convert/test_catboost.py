"""CatBoost: a fitted model, its files, and what was added answer alike, compiled too."""

from __future__ import annotations

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

HOW = (
    "not installed (it has 100 MB): pip install --require-hashes -r requirements/catboost.txt "
    "scikit-learn"
)
catboost = pytest.importorskip("catboost", reason=HOW)
pandas = pytest.importorskip("pandas", reason=HOW)
sklearn = pytest.importorskip("sklearn", reason=HOW)

from sklearn import datasets, pipeline, preprocessing  # noqa: E402

CANCER = datasets.load_breast_cancer(as_frame=True)
WINE = datasets.load_wine(as_frame=True)
DIABETES = datasets.load_diabetes(as_frame=True)
GAPS = CANCER.data.mask(np.random.default_rng(0).random(CANCER.data.shape) < 0.2)
FEW: dict[str, Any] = {
    **{"iterations": 5, "depth": 4, "verbose": 0},
    **{"allow_writing_files": False, "thread_count": 1},
}
LOSSES = (
    *("RMSE", "MAE", "Quantile:alpha=0.9", "Huber:delta=1"),
    *("Poisson", "Tweedie:variance_power=1.5"),
)
ONE = {"one_hot_max_size": 1, "max_ctr_complexity": 1}
STATISTICS = [*("Buckets", "Counter", "BinarizedTargetMeanValue"), "Borders:TargetBorderCount=4"]


def categories() -> Any:
    """Words, integers as categories, a number."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "city": rng.choice(["Zürich", *"stuvwxy"], 300),
            "size": rng.random(300),
            "code": rng.choice([10, 3, 7, 99], 300),
        }
    )
    target = frame["city"].isin(["x", "s"]) + frame["size"] * frame["code"].isin([10, 7])
    return frame, target


def fitted() -> dict[str, tuple[Any, Any]]:
    x, y = CANCER.data, CANCER.target
    d, t = DIABETES.data, DIABETES.target
    w, names = WINE.data, WINE.target_names[WINE.target]
    frame, target = categories()
    classifier, regressor = catboost.CatBoostClassifier, catboost.CatBoostRegressor
    early = classifier(**{**FEW, "iterations": 100}).fit(
        x[:300], y[:300], eval_set=(x[300:], y[300:]), early_stopping_rounds=2
    )
    models = {
        "gaps below all": (classifier(**FEW).fit(GAPS, y), GAPS),
        "gaps above all": (classifier(nan_mode="Max", **FEW).fit(GAPS, y), GAPS),
        "booleans as classes": (classifier(**FEW).fit(x, y == 1), x),
        "words as classes": (classifier(**FEW).fit(w, names), w),
        "arrays": (classifier(**FEW).fit(w.values, names), w.values),
        "one against all": (classifier(loss_function="MultiClassOneVsAll", **FEW).fit(w, names), w),
        "stopped early": (early, x),
        "by depth": (regressor(grow_policy="Depthwise", **FEW).fit(GAPS, y), GAPS),
        "by loss": (classifier(grow_policy="Lossguide", **FEW).fit(w, names), w),
        "outputs": (
            regressor(loss_function="MultiRMSE", **FEW).fit(d, np.stack([t, -t], axis=1)),
            d,
        ),
    }
    for loss in LOSSES:
        models[loss] = (regressor(loss_function=loss, **FEW).fit(d, t), d)
    for name, given in {
        "one-hot": {"one_hot_max_size": 50},
        "statistics": ONE,
        "statistics by depth": {"grow_policy": "Depthwise", **ONE},
        "statistics of all kinds": {"simple_ctr": STATISTICS, "combinations_ctr": [], **ONE},
    }.items():
        model = regressor(cat_features=["city", "code"], **given, **FEW)
        models[name] = (model.fit(frame, target), frame)
    model = classifier(cat_features=["city", "code"], **ONE, **FEW)
    models["statistics of classes"] = (model.fit(frame, (target * 2).astype(int)), frame)
    return models


@pytest.fixture(scope="module")
def answers() -> dict[str, Asked]:
    return asked(fitted())


def test_every_model_answers_as_catboost(answers: dict[str, Asked]) -> None:
    for answer in answers.values():
        answer.require()
        assert answer.compiled.rows >= 150


def test_columns_and_answer_are_named(answers: dict[str, Asked]) -> None:
    label, _ = answers["words as classes"].converted.answer
    assert label.classes == ("class_0", "class_1", "class_2")
    assert answers["booleans as classes"].converted.answer[0].classes in (
        (False, True),
        ("False", "True"),
    )
    converted = answers["statistics"].converted
    city, size, code = converted.columns
    assert (city.categories, city.unknown) == (("Zürich", *"stuvwxy"), "error")
    assert (code.categories, size.type) == ((10, 3, 7, 99), "number")
    assert "CatBoost keeps only hashes" in converted.notes[0]


@pytest.mark.parametrize("suffix", ["cbm", "json", "onnx"])
def test_a_file_is_added_without_trust(suffix: str, tmp_path: Path) -> None:
    model = catboost.CatBoostClassifier(**FEW).fit(WINE.data, WINE.target)
    path, table = tmp_path / f"model.{suffix}", tmp_path / "wine.csv"
    model.save_model(str(path), format=suffix)
    WINE.frame.to_csv(table, index=False)
    added = nnlet.add(str(path), "wine", table, target="target", into=tmp_path / "models")
    assert added.error < 1e-4
    (spec,) = read_repository(tmp_path / "models")
    assert [column.name for column in spec.columns] == list(WINE.data.columns)
    assert spec.answer[-1].kind == "probabilities"


def test_a_pipeline_ends_in_one() -> None:
    pytest.importorskip("skl2onnx", reason=HOW)
    x, w = WINE.data, WINE.target_names[WINE.target]
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), catboost.CatBoostClassifier(**FEW)
    )
    (answer,) = asked({"": (model.fit(x, w), x)}).values()
    answer.require()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x, y: catboost.CatBoostRegressor(), "is not fitted: call fit, then add it"),
        (
            lambda x, y: catboost.CatBoostRegressor(
                cat_features=["city", "code"], **{**ONE, "max_ctr_complexity": 4}, **FEW
            ).fit(x, (x["city"] < "v") + 3.0 * ((x["city"] == "x") & (x["code"] == 99))),
            "fit with max_ctr_complexity=1",
        ),
        (
            lambda x, y: catboost.CatBoostRegressor(
                cat_features=["city", "code"], loss_function="RMSEWithUncertainty", **FEW
            ).fit(x, y),
            "RMSEWithUncertainty is not converted",
        ),
    ],
)
def test_a_refusal_says_what_to_do(make: Any, said: str) -> None:
    frame, target = categories()
    model = make(frame, target)
    with pytest.raises(ConvertError, match=said):
        converter_of(model).load()(model, sample_of(frame), "FP32")


def test_a_file_that_is_no_model_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.cbm").write_text("hello")
    with pytest.raises(ConvertError, match="is no model that CatBoost reads"):
        read_model_file(tmp_path / "a.cbm")
