"""stochtree: a BARTModel's draws, mean and quantiles, in onnxruntime, compiled and served."""

from __future__ import annotations

import json
import threading
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.convert.check import check_onnxruntime
from nnlet.convert.converted import Precision
from nnlet.convert.converters import read_model_file
from nnlet.convert.sample import sample_of
from nnlet.dev import DevServer
from nnlet.errors import ConvertError
from nnlet.host import Address, free_port
from nnlet.model import read_repository
from nnlet.ort import OnnxRuntime
from nnlet.project import Project

HOW = "stochtree is not installed: pip install --require-hashes -r requirements/bart.txt"
stochtree = pytest.importorskip("stochtree", reason=HOW)
pandas = pytest.importorskip("pandas", reason=HOW)

from nnlet.convert.stochtree import convert  # noqa: E402

ROWS = 120
RNG = np.random.default_rng(11)
DRAWS, TREES = 15, 8
TABLE = pandas.DataFrame(
    {
        "area": RNG.normal(100, 30, ROWS).round(1),
        "rooms": RNG.integers(1, 8, ROWS),
        "garage": RNG.random(ROWS) < 0.4,
        "district": pandas.Categorical(RNG.choice(["north", "south", "west"], ROWS)),
        "label": pandas.Categorical(RNG.choice(["A", "B", "C"], ROWS), ordered=True),
    }
)
PRICE = (
    TABLE["area"] * 3
    + TABLE["rooms"] * 10
    + TABLE["garage"] * 25
    + (TABLE["district"] == "west") * 80
    - TABLE["label"].cat.codes * 30
    + RNG.normal(0, 10, ROWS)
).to_numpy()


def fitted(x: Any = TABLE, y: Any = PRICE, **options: Any) -> Any:
    model = stochtree.BARTModel()
    options.setdefault("mean_forest_params", {"num_trees": TREES})
    options["general_params"] = {"random_seed": 1, **options.get("general_params", {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.sample(x, y, num_gfr=3, num_burnin=0, num_mcmc=DRAWS, **options)
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted()


@pytest.mark.parametrize("precision", ["FP32", "FP64"])
def test_draws_mean_and_quantiles_are_stochtrees(model: Any, precision: Precision) -> None:
    converted = convert(model, sample_of(TABLE), precision, draws=True, quantiles=[0, 0.05, 0.5, 1])
    check_onnxruntime(converted, 1e-6).require(converted.made_by)
    found = {name: value.shape for name, value in converted.expected.items()}
    assert found == {"mean": (ROWS, 1), "quantiles": (ROWS, 4), "draws": (ROWS, DRAWS)}
    draws = model.predict(TABLE, terms="y_hat")
    np.testing.assert_array_equal(converted.expected["draws"], draws)
    np.testing.assert_array_equal(
        converted.expected["quantiles"][:, 1], np.quantile(draws, 0.05, axis=1)
    )


def test_an_array_has_columns_of_numbers() -> None:
    x = RNG.normal(size=(ROWS, 3))
    converted = convert(fitted(x, x[:, 0] * 5), sample_of(x), "FP32")
    check_onnxruntime(converted).require(converted.made_by)
    assert [column.type for column in converted.columns] == ["number"] * 3


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_a_binary_outcome_is_answered_as_probability(link: str) -> None:
    outcome = stochtree.OutcomeModel(outcome="binary", link=link)
    bought = (np.median(PRICE) < PRICE).astype(float)
    binary = fitted(
        y=bought,
        general_params={"outcome_model": outcome, "sample_sigma2_global": False},
        mean_forest_params={"num_trees": TREES, "sample_sigma2_leaf": False},
    )
    converted = convert(binary, sample_of(TABLE), "FP32", draws=True)
    check_onnxruntime(converted).require(converted.made_by)
    assert 0 <= converted.expected["draws"].min() < converted.expected["draws"].max() <= 1


def test_what_is_added_answers_as_stochtree(model: Any, tmp_path: Path) -> None:
    """From the model's own JSON to the compiled component, which add compares itself."""
    file = tmp_path / "price.json"
    file.write_text(model.to_json())
    added = nnlet.add(file, "price", TABLE, into=tmp_path / "models", quantiles=[0.05, 0.95])
    assert added.error < 1e-6
    (spec,) = read_repository(tmp_path / "models")
    assert [(a.name, a.kind, a.names) for a in spec.answer] == [
        ("mean", "number", ()),
        ("quantiles", "numbers", ("0.05", "0.95")),
    ]
    columns = {column.name: column for column in spec.columns}
    assert columns["district"].categories == ("north", "south", "west")
    assert [column.position for column in spec.columns] == list(range(5))


def test_a_model_read_from_json_is_the_model(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "price.json"
    file.write_text(model.to_json())
    again = convert(read_model_file(file), sample_of(TABLE), "FP32", draws=True)
    same = convert(model, sample_of(TABLE), "FP32", draws=True)
    assert again.proto == same.proto


def test_json_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"answer": 42}))
    with pytest.raises(ConvertError, match="no model in JSON that nnlet knows"):
        read_model_file(file)
    file.write_text(json.dumps({"outcome_mean": 42}))
    with pytest.raises(ConvertError, match="is not read by stochtree"):
        read_model_file(file)


def test_what_is_not_converted_is_refused_in_words(model: Any) -> None:
    with pytest.raises(ConvertError, match="not fitted: call sample"):
        convert(stochtree.BARTModel(), sample_of(TABLE), "FP32")
    variance = fitted(variance_forest_params={"num_trees": 3})
    with pytest.raises(ConvertError, match="has a variance forest"):
        convert(variance, sample_of(TABLE), "FP32")
    grouped = fitted(rfx_group_ids_train=np.arange(ROWS) % 3, rfx_basis_train=np.ones((ROWS, 1)))
    with pytest.raises(ConvertError, match="has random effects"):
        convert(grouped, sample_of(TABLE), "FP32")
    with pytest.raises(ConvertError, match=r"between 0 and 1: 95 is not"):
        convert(model, sample_of(TABLE), "FP32", quantiles=[95])


def test_a_sample_of_other_columns_is_refused(model: Any) -> None:
    with pytest.raises(ConvertError, match="has 4 columns, the BARTModel was fitted on 5"):
        convert(model, sample_of(TABLE.drop(columns="rooms")), "FP32")
    words = TABLE.assign(rooms="many")
    with pytest.raises(ConvertError, match="column 'rooms' of the sample is category"):
        convert(model, sample_of(words), "FP32")
    elsewhere = TABLE.assign(district="east")
    with pytest.raises(ConvertError, match="holds east, which the BARTModel does not know"):
        convert(model, sample_of(elsewhere), "FP32")


def test_draws_of_another_library_are_refused(tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    line = sklearn.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ConvertError, match="draws is for models of stochtree, not of scikit-learn"):
        nnlet.add(line, "line", [[0.0]], into=tmp_path, draws=True)


def test_a_caller_sends_words_and_gets_every_draw(
    model: Any, project: Project, clean_modules: None
) -> None:
    nnlet.add(model, "price", TABLE, into=project.models, draws=True)
    (project.root / "app.py").write_text(
        "from nnlet.guest import TABLES, App\napp = App(routes=TABLES)\n"
    )
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        records = TABLE.head(5).to_json(orient="records").encode()
        request = urllib.request.Request(f"{server.url}/predict/price", records)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    expected = model.predict(TABLE.head(5), terms="y_hat")
    np.testing.assert_allclose([one["draws"] for one in found], expected, rtol=1e-5)
    np.testing.assert_allclose([one["mean"] for one in found], expected.mean(axis=1), rtol=1e-5)
