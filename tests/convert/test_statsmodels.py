"""statsmodels: what predict answers, and what was added, alike in onnxruntime and compiled."""

# ruff: noqa: E402  (what needs statsmodels is imported after it is known to be there)
from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlet
from nnlet.compiler import compile_protos
from nnlet.convert.check import Checked, answers_of, check_onnxruntime, compare_all
from nnlet.convert.converted import Converted
from nnlet.convert.sample import sample_of
from nnlet.convert.writer import Writer
from nnlet.errors import ConvertError
from nnlet.model import read_repository
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX

HOW = "statsmodels is not installed: pip install --require-hashes -r requirements/statsmodels.txt"
pytest.importorskip("statsmodels", reason=HOW)

import pandas
import statsmodels.api as sm
import statsmodels.formula
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.genmod import families
from statsmodels.genmod.families import links

from nnlet.convert.links import inverse
from nnlet.convert.statsmodels import convert

EXACT = 1e-12  # it is float64 on both sides


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Of fits that do not converge, or that a test makes singular on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def frame() -> Any:
    """Numbers, words, integers that are categories, booleans; a target of each kind."""
    rng = np.random.default_rng(0)
    rows = 120
    data = pandas.DataFrame(
        {
            "x": rng.uniform(1, 3, rows),
            "z": rng.uniform(1, 3, rows),
            "city": rng.choice(["Amsterdam", "Utrecht", "Breda"], rows),
            "floor": rng.integers(0, 3, rows),
            "garden": rng.choice([True, False], rows),
            "days": rng.uniform(10, 20, rows),
        }
    )
    data["price"] = 2 * data.x + data.z + rng.normal(0, 0.3, rows)
    data["sold"] = (data.price + rng.normal(0, 1, rows) > 6).astype(int)
    data["visits"] = rng.poisson(data.price)
    data["share"] = 1 / (1 + np.exp(3 - 0.5 * data.price + rng.normal(0, 0.3, rows)))
    return data


DATA = frame()
X = DATA[["x", "z"]]


def compiled(model: Converted) -> Checked:
    module = compile_protos([("m", "1", model.proto)])
    outputs = model.proto.graph.output
    types = [BY_ONNX[value.type.tensor_type.elem_type] for value in outputs]
    found = NativeModels(module.source, module.weights).run("m", "1", model.feeds, types)
    names = [value.name for value in outputs]
    return compare_all(model, dict(zip(names, found, strict=True)), "compiled", EXACT)


def answers_alike(results: Any, sample: Any = None) -> Converted:
    converted = convert(results, sample_of(sample), "FP64")
    checked = check_onnxruntime(converted, EXACT)
    assert checked.passed, checked.worst
    return converted


# Models -----------------------------------------------------------------------

MODELS: dict[str, Callable[[], Any]] = {
    "OLS": lambda: sm.OLS(DATA.price, sm.add_constant(X)),
    "OLS without a constant": lambda: sm.OLS(DATA.price, X),
    "OLS of arrays": lambda: sm.OLS(DATA.price.values, sm.add_constant(X.values)),
    "OLS, constant last": lambda: sm.OLS(DATA.price, sm.add_constant(X, prepend=False)),
    "WLS": lambda: sm.WLS(DATA.price, sm.add_constant(X), weights=DATA.days),
    "GLS": lambda: sm.GLS(DATA.price, sm.add_constant(X), sigma=DATA.days),
    "RLM": lambda: sm.RLM(DATA.price, sm.add_constant(X)),
    "QuantReg": lambda: sm.QuantReg(DATA.price, sm.add_constant(X)),
    "MixedLM": lambda: sm.MixedLM(DATA.price, sm.add_constant(X), groups=DATA.floor),
    "GEE": lambda: sm.GEE(DATA.visits, X, groups=DATA.floor, family=families.Poisson()),
    "Logit": lambda: sm.Logit(DATA.sold, sm.add_constant(X)),
    "Probit": lambda: sm.Probit(DATA.sold, sm.add_constant(X)),
    "MNLogit": lambda: sm.MNLogit(DATA.city, sm.add_constant(X)),
    "Poisson": lambda: sm.Poisson(DATA.visits, sm.add_constant(X)),
    "NegativeBinomial": lambda: sm.NegativeBinomial(DATA.visits, sm.add_constant(X)),
    "NegativeBinomialP": lambda: sm.NegativeBinomialP(DATA.visits, sm.add_constant(X)),
    "GeneralizedPoisson": lambda: sm.GeneralizedPoisson(DATA.visits, sm.add_constant(X)),
}
QUIET = {"Logit", "Probit", "MNLogit", "Poisson", "NegativeBinomial"}


def fitted(model: Any) -> Any:
    name = type(model).__name__
    quiet = name in QUIET or name.startswith(("NegativeBinomial", "Generalized"))
    return model.fit(disp=0) if quiet else model.fit()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_statsmodels(name: str) -> None:
    converted = answers_alike(fitted(MODELS[name]()), X)
    assert [(c.input, c.position) for c in converted.columns] == [("features", 0), ("features", 1)]
    assert len(converted.proto.SerializeToString()) < 5000


@pytest.mark.parametrize("name", ["OLS", "Probit", "MNLogit", "Poisson"])
def test_a_model_answers_as_statsmodels_when_compiled(name: str) -> None:
    checked = compiled(convert(fitted(MODELS[name]()), sample_of(None), "FP64"))
    assert checked.passed, checked.worst
    assert checked.rows == len(DATA)


BUNDLED: dict[str, Callable[[], Any]] = {
    "longley": lambda: sm.OLS(*_pair(sm.datasets.longley)),
    "star98": lambda: sm.GLM(*_pair(sm.datasets.star98), family=families.Binomial()),
    "scotland": lambda: sm.GLM(*_pair(sm.datasets.scotland), family=families.Gamma()),
    "spector": lambda: sm.Logit(*_pair(sm.datasets.spector)),
    "anes96": lambda: sm.MNLogit(*_pair(sm.datasets.anes96)),
    "randhie": lambda: sm.Poisson(*_pair(sm.datasets.randhie)),
    "fair": lambda: smf.glm(
        "affairs ~ C(rate_marriage) + age * children + np.log(yrs_married)",
        sm.datasets.fair.load_pandas().data,
        family=families.Poisson(),
    ),
}


def _pair(dataset: Any) -> tuple[Any, Any]:
    data = dataset.load_pandas()
    return data.endog, sm.add_constant(data.exog)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_model_of_a_bundled_data_set_answers_as_statsmodels(name: str) -> None:
    converted = answers_alike(fitted(BUNDLED[name]()))
    assert "const" not in [column.name for column in converted.columns]


# Links and families -----------------------------------------------------------

LINKS = [
    *(links.Logit(), links.Identity(), links.Log(), links.LogC(), links.Sqrt()),
    *(links.InversePower(), links.InverseSquared(), links.Power(3.0), links.Probit()),
    *(links.Cauchy(), links.CLogLog(), links.LogLog(), links.NegativeBinomial(0.5)),
    *(links.CDFLink(stats.logistic), links.CDFLink(stats.gumbel_l), links.CDFLink(stats.gumbel_r)),
]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: type(link).__name__)
def test_a_link_has_its_inverse_far_out_too(link: Any) -> None:
    graph = Writer("FP64")
    mean = inverse(graph, link, "z")
    proto = graph.model({"z": (graph.real, 1)}, {"mean": (mean, graph.real, 1)})
    z = np.concatenate([np.linspace(-8, 8, 999), [-30, 30, 1e-9]]).astype(graph.real)
    with np.errstate(all="ignore"):
        expected = link.inverse(z.astype(np.float64))
        found = answers_of(proto, {"z": z.reshape(-1, 1)})["mean"].reshape(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=4e-16)


def test_every_link_of_statsmodels_is_tested() -> None:
    found = {
        cls
        for cls in vars(links).values()
        if isinstance(cls, type) and issubclass(cls, links.Link) and cls.__name__[0].isupper()
    }
    assert found - {links.Link} == {type(link) for link in LINKS}


FAMILIES = {
    "Gaussian": (families.Gaussian, "price"),
    "Gamma": (families.Gamma, "price"),
    "InverseGaussian": (families.InverseGaussian, "price"),
    "Poisson": (families.Poisson, "visits"),
    "NegativeBinomial": (families.NegativeBinomial, "visits"),
    "Binomial": (families.Binomial, "share"),
    "Tweedie": (families.Tweedie, "price"),
}


@pytest.mark.parametrize(
    ("family", "link"),
    [(name, link) for name, (family, _) in FAMILIES.items() for link in family.links],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_glm_of_each_family_and_link_answers_as_statsmodels(family: str, link: Any) -> None:
    make, target = FAMILIES[family]
    # So many steps: the mean is compared, not whether this link suits the data.
    results = sm.GLM(DATA[target], sm.add_constant(X), family=make(link=link())).fit(maxiter=3)
    if not np.isfinite(results.predict()).all():
        results._results.params = np.array([-1.0, 0.1, 0.2])
    converted = answers_alike(results, X)
    assert converted.answer[0].name == ("probability" if family == "Binomial" else "prediction")


def test_a_link_of_ones_own_is_refused() -> None:
    class Mine(links.Log):
        def inverse(self, z: Any) -> Any:
            return np.exp(z) + 1

    with pytest.raises(ConvertError, match="the link Mine is not one of statsmodels"):
        inverse(Writer("FP64"), Mine(), "z")
    with pytest.raises(ConvertError, match="the distribution 't' of a CDFLink is not known"):
        inverse(Writer("FP64"), links.CDFLink(stats.t(3).dist), "z")


# Formulas ---------------------------------------------------------------------

LIMIT = 1.5
FORMULAS = [
    "city",
    "0 + city + x",
    "C(city, Treatment('Utrecht')) * x",
    "C(city, Sum) + C(floor, Helmert) + garden",
    "C(floor, Poly) + C(city, Diff)",
    "C(city, levels=['Utrecht', 'Breda', 'Amsterdam']) + city:x",
    "x * z * city",
    "city:C(floor):garden",
    "C(floor) + floor",
    "np.log(x) + I(x**2) + np.sqrt(z) + x:z",
    "x % 2 + x // 1.2 - 1",
    "I((x > 2) & (z < 2)) + (x > LIMIT) + I(~(z >= 2) | (x == 1))",
    "I(city == 'Breda'):x + I('Utrecht' != city)",
    "Q('x') + C(Q('city'))",
    "np.where(x > 2, z, -x) + np.clip(z, 1.2, 2) + np.maximum(x, np.pi / 2)",
    "center(x) + standardize(z) + center(np.log(z)):city",
    "bs(x, df=5) + cr(z, df=4)",
    "bs(np.log(x), df=4, degree=2, include_intercept=True):garden",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_answers_as_statsmodels(formula: str) -> None:
    converted = answers_alike(smf.ols(f"price ~ {formula}", DATA).fit(), DATA)
    assert "price" not in converted.feeds
    assert {column.name: column.type for column in converted.columns}.items() <= {
        "x": "number",
        "z": "number",
        "city": "category",
        "floor": "integer" if formula == "C(floor) + floor" else "category",
        "garden": "boolean",
    }.items()


def test_a_long_formula_answers_as_statsmodels_when_compiled() -> None:
    terms = "C(city, Sum) * x + bs(z, df=5) + np.log(z) + C(floor):garden + (x > 2)"
    model = smf.glm(f"sold ~ {terms}", DATA, family=families.Binomial(links.CLogLog()))
    checked = compiled(answers_alike(model.fit()))
    assert checked.passed, checked.worst


FORMULAIC = [
    "C(city, contr.treatment('Utrecht')) * x + C(floor, contr.sum)",
    "C(city, contr.helmert) + garden + log(x) + np.exp(z) + {x + 1}",
    "center(x) + scale(z) + poly(x, 3)",
    "bs(x, df=5) + cs(z, df=4) + bs(z, df=4, degree=2):city",
]


@pytest.mark.parametrize("formula", FORMULAIC)
def test_a_formula_that_formulaic_reads_answers_as_statsmodels(
    formula: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = statsmodels.formula.options
    if not hasattr(options, "formula_engine"):
        pytest.skip("this statsmodels reads formulas with patsy only: 0.15 is the first with both")
    monkeypatch.setattr(options, "formula_engine", "formulaic")
    answers_alike(smf.ols(f"price ~ {formula}", DATA).fit(), DATA)


def twice(x: Any) -> Any:
    return 2 * x


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("twice(x)", r"the term 'twice\(x\)' of the formula cannot be served: twice is not one of"),
        ("np.cosh(x) + z", r"'np.cosh\(x\)' of the formula cannot be served: np.cosh is not"),
        ("np.round(x, decimals=1)", "np.round is not one of the functions"),
        ("te(cr(x, df=3), cr(z, df=3))", "nnlet writes center, standardize, scale, bs"),
        ("cc(x, df=4)", r"the term 'cc\(x, df=4\)' of the formula cannot be served"),
        ("I(x if LIMIT else z)", "nnlet does not read this kind of expression"),
        ("np.log(x, where=True)", "knows np.log with 1 arguments by place only"),
        ("C(city.str.lower())", "is not one of the functions that nnlet knows"),
        ("1", "the formula reads no column, so the answer is the same for all"),
    ],
)
def test_a_term_that_cannot_be_written_is_named(formula: str, said: str) -> None:
    results = smf.ols(f"price ~ {formula}", DATA).fit()
    with pytest.raises(ConvertError, match=said):
        convert(results, sample_of(DATA), "FP64")


def test_categories_keep_their_numbers_and_others_answer_nothing() -> None:
    from dataclasses import replace

    results = smf.ols("price ~ city", DATA).fit()
    sample = replace(sample_of(DATA), known={"city": ("Delft", "Utrecht")})
    converted = convert(results, sample, "FP64")
    assert converted.columns[0].categories == ("Delft", "Utrecht", "Amsterdam", "Breda")
    assert check_onnxruntime(converted, EXACT).passed
    feeds = {"city": np.array([[0], [1], [-1]])}
    delft, utrecht, missing = answers_of(converted.proto, feeds)["prediction"].reshape(-1)
    assert np.isnan([delft, missing]).all() and np.isfinite(utrecht)


def test_gaps_answer_nan_as_in_statsmodels() -> None:
    gaps = DATA.copy()
    gaps.loc[::7, "x"] = np.nan
    gaps.loc[::11, "city"] = None
    converted = answers_alike(smf.ols("price ~ np.log(x) * city", gaps).fit(), gaps)
    assert [column.missing for column in converted.columns] == ["nan", "nan"]
    assert np.isnan(converted.expected["prediction"]).sum() == len(
        DATA.index[(DATA.index % 7 == 0) | (DATA.index % 11 == 0)]
    )


def test_a_spline_has_no_value_outside_its_knots() -> None:
    converted = convert(smf.ols("price ~ bs(x, df=4)", DATA).fit(), sample_of(DATA), "FP64")
    found = answers_of(converted.proto, {"x": np.array([[0.5], [2.0], [9.0]])})["prediction"]
    assert np.isnan(found.reshape(-1)).tolist() == [True, False, True]


# Offset and exposure ----------------------------------------------------------


def test_offset_and_exposure_are_columns() -> None:
    model = sm.GLM(
        DATA.visits,
        sm.add_constant(X),
        family=families.Poisson(),
        exposure=DATA.days,
        offset=DATA.share.rename("start"),
    )
    converted = answers_alike(model.fit())
    names = [column.name for column in converted.columns]
    assert names in (["x", "z", "start", "days"], ["x", "z", "offset", "exposure"])  # before 0.15
    by_formula = smf.poisson("visits ~ x + city", DATA, exposure=DATA.days).fit(disp=0)
    answers_alike(by_formula, DATA.assign(exposure=DATA.days))
    with pytest.raises(ConvertError, match="fitted with an exposure: the sample needs a column"):
        convert(by_formula, sample_of(DATA), "FP64")


# Answers, files, refusals -----------------------------------------------------


def test_a_probability_says_of_what() -> None:
    logit = convert(smf.logit("sold ~ x", DATA).fit(disp=0), sample_of(None), "FP64")
    assert (logit.answer[0].name, logit.answer[0].kind) == ("probability", "number")
    assert logit.notes == ("probability is that of sold being 1",)
    model = smf.glm("garden ~ x", DATA, family=families.Binomial())
    assert "that of garden[False]" in convert(model.fit(), sample_of(None), "FP64").notes[0]


@pytest.mark.parametrize(
    ("target", "classes"),
    [("city", ("Amsterdam", "Breda", "Utrecht")), ("floor", (0, 1, 2))],
)
def test_classes_of_a_multinomial_model_have_their_names(target: str, classes: Any) -> None:
    model = sm.MNLogit(DATA[target], sm.add_constant(X))
    label, probabilities = convert(model.fit(disp=0), sample_of(None), "FP64").answer
    assert (label.kind, label.classes) == ("label", classes)
    assert (probabilities.kind, probabilities.classes) == ("probabilities", classes)


def test_results_in_a_pickle_are_added(tmp_path: Path) -> None:
    path = tmp_path / "price.pkl"
    results = smf.ols("price ~ np.log(x) * C(city, Sum) + bs(z, df=4)", DATA).fit()
    path.write_bytes(pickle.dumps(results))
    added = nnlet.add(path, "price", DATA, into=tmp_path / "models", trust=True)
    assert added.error <= EXACT
    assert added.made_by.startswith("OLS of statsmodels")
    (spec,) = read_repository(tmp_path / "models")
    assert [column.name for column in spec.columns] == ["x", "z", "city"]


def test_results_without_their_data_need_a_sample() -> None:
    results = sm.OLS(DATA.price, sm.add_constant(X)).fit()
    results.remove_data()
    with pytest.raises(ConvertError, match="saved without their data: hand over a sample"):
        convert(results, sample_of(None), "FP64")
    answers_alike(results, X)


@pytest.mark.parametrize(
    ("results", "sample", "said"),
    [
        (lambda: sm.OLS(DATA.price, X), X, "OLS is not fitted: hand over what its fit"),
        (lambda: sm.ZeroInflatedPoisson(DATA.visits, X).fit(disp=0), X, "is not converted: OLS"),
        (lambda: sm.OLS(DATA.price, X).fit(), DATA[["x"]], "missing=['z']"),
        (lambda: sm.OLS(DATA.price, X).fit(), X.values[:, :1], "1 columns, OLS was fitted on 2"),
        (lambda: smf.ols("price ~ x", DATA).fit(), X.values, "takes columns by name"),
        (lambda: smf.ols("price ~ x", DATA).fit(), DATA[["z"]], "x is neither a column"),
        (lambda: sm.OLS(DATA.price, X).fit(), DATA[["x", "city"]], "missing=['z']"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(results: Any, sample: Any, said: str) -> None:
    with pytest.raises(ConvertError) as refused:
        convert(results(), sample_of(sample), "FP64")
    assert said in str(refused.value)
