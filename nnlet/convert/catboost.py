"""CatBoost: symmetric trees and others, read from the library's own JSON.

Borders are float32 in CatBoost itself. Of a category it keeps a hash; the words are the sample's.
A statistic of one categorical feature (CTR) beyond a border is true of a set of categories, and
becomes the question for that set.
"""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import catboost
import numpy as np

from nnlet.convert import answers, inside
from nnlet.convert.codes import Categories, coded
from nnlet.convert.columns import matched
from nnlet.convert.converted import FLOATS, Converted, Precision
from nnlet.convert.ensemble import INPUT, Ensemble, Forest, model_of
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import Scalar

CLASSES = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
}
EXPONENTS = {"Poisson", "Tweedie"}
REFUSED = {"RMSEWithUncertainty"}
UNSEEN = 2**64 - 1  # no category's


def read(path: Path) -> Any:
    """The model in a .cbm or .json file: a CatBoostClassifier or CatBoostRegressor by its loss.

    Raises ConvertError.
    """
    kind = path.suffix.lower().removeprefix(".")
    try:
        model = catboost.CatBoost().load_model(str(path), format=kind)
        is_classifier = _loss(_json(model)) in CLASSES
        cls = catboost.CatBoostClassifier if is_classifier else catboost.CatBoostRegressor
        return cls().load_model(str(path), format=kind)
    except catboost.CatBoostError as exc:
        told = str(exc).splitlines()[0]
        raise ConvertError(f"{path} is no model that CatBoost reads: {told}") from exc


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A fitted CatBoost model as ONNX, with its answers to the sample. Raises ConvertError."""
    _require_fitted(model)
    names = model.feature_names_
    generic = names == [str(n) for n in range(len(names))]
    who = type(model).__name__
    sample = matched(sample, None if generic else names, len(names), who)
    content = _json(model)
    categories = _categories(model, sample)
    table = coded(sample, not generic, categories, unknown="error")
    ensemble = _ensemble(content, table.places, categories)
    fields = answers.of(model, ensemble.kind, Sample(table.source))
    return Converted(
        proto=model_of(ensemble, len(names), [f.spec.output for f in fields], precision),
        columns=table.columns,
        answer=tuple(field.spec for field in fields),
        feeds={INPUT: table.matrix.astype(FLOATS[precision])},
        expected={field.spec.output: field.expected for field in fields},
        made_by=f"{who} of CatBoost {catboost.__version__}",
        precision=precision,
        notes=("categories are the sample's: CatBoost keeps only hashes",) if categories else (),
    )


def register() -> None:
    """Make CatBoost's estimators known to skl2onnx, for those in a Pipeline."""
    for cls in (catboost.CatBoostClassifier, catboost.CatBoostRegressor):
        inside.register(cls, _inside)


def _inside(model: Any) -> Ensemble:
    if model.get_cat_feature_indices():
        raise ConvertError(
            f"{type(model).__name__} with cat_features stands in a Pipeline: fit it on the "
            "DataFrame itself, without the Pipeline, or encode those columns in it"
        )
    return _ensemble(_json(model), {}, {})


def _require_fitted(model: Any) -> None:
    if isinstance(model, type):
        raise ConvertError(f"{model.__name__} is a class: hand over a fitted object of it")
    if not hasattr(model, "is_fitted"):
        raise ConvertError(f"a catboost.{type(model).__name__} is not a model of CatBoost")
    if not model.is_fitted():
        raise ConvertError(f"this {type(model).__name__} is not fitted: call fit, then add it")
    if type(model) is catboost.CatBoost and _loss(_json(model)) in CLASSES:
        raise ConvertError(
            "a plain CatBoost model of a classifier answers raw scores: fit a CatBoostClassifier, "
            "or save this one as .cbm and add the file"
        )


def _json(model: Any) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        found: Mapping[str, Any] = json.loads(path.read_bytes())
        return found


def _loss(content: Mapping[str, Any]) -> str:
    params = content["model_info"].get("params", {})
    if isinstance(params, str):
        params = json.loads(params)
    return str(params.get("loss_function", {}).get("type", "RMSE"))


# Categories -------------------------------------------------------------------


def _categories(model: Any, sample: Sample) -> Categories:
    """What the sample holds in each categorical feature. Raises ConvertError for gaps."""
    found: dict[int, Sequence[Scalar]] = {}
    for feature in model.get_cat_feature_indices():
        column = sample.columns[feature]
        if column.missing.any():
            raise ConvertError(
                f"column {column.name!r} of the sample has gaps, which CatBoost does not take in "
                "a categorical feature: fill them with a word, in training too"
            )
        values = column.values.tolist()
        found[feature] = column.categories or tuple(sorted(set(values), key=str))
    return found


def _hashes(words: Sequence[Scalar]) -> dict[str, int]:
    """CatBoost's hash of each category, as unsigned 32 bits, by its text.

    CatBoost tells hashes in one place only: in the Python code that it writes of a model. Any
    model will do, so a tree of one split is fitted on the words.
    """
    texts = [str(word) for word in words]
    rows = texts * 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        pool = catboost.Pool([[text] for text in rows], list(range(len(rows))), cat_features=[0])
        model = catboost.CatBoostRegressor(
            iterations=1, depth=1, verbose=0, allow_writing_files=False, thread_count=1
        )
        model.fit(pool).save_model(str(path), format="python", pool=pool)
        code = path.read_text(encoding="utf-8")
    table = code.partition("cat_features_hashes = ")[2].partition("}")[0] + "}"
    # Its strings are escaped byte by byte.
    found = {
        text.encode("latin-1").decode(): number & 0xFFFFFFFF
        for text, number in ast.literal_eval(table).items()
    }
    return {text: found[text] for text in texts}


# Its trees --------------------------------------------------------------------


@dataclass(frozen=True)
class _Question:
    """A split. x[feature] > border, or with `members` whether x is one of these; `nan` is the
    answer for NaN, `swapped` that for members is no."""

    feature: int
    border: float = 0.0
    members: tuple[int, ...] | None = None
    nan: bool = False
    swapped: bool = False


def _ensemble(
    content: Mapping[str, Any], places: Mapping[int, Sequence[int]], categories: Categories
) -> Ensemble:
    loss = _loss(content)
    if loss in REFUSED:
        raise ConvertError(f"CatBoost's loss {loss} is not converted: fit with RMSE")
    ask = _questions(content["features_info"], content.get("ctr_data", {}), places, categories)
    scale, bias = content["scale_and_bias"]
    bias = bias if isinstance(bias, list) else [bias]
    targets = len(bias)
    forest = Forest(targets, [float(b) for b in bias])
    for tree in content.get("oblivious_trees", ()):
        _add_symmetric(forest, tree, scale, ask)
    for tree in content.get("trees", ()):
        _add_tree(forest, tree, scale, ask)
    return Ensemble(
        kind="classifier" if loss in CLASSES else "regressor",
        scores=forest,
        link="exp" if loss in EXPONENTS else CLASSES.get(loss, "identity"),
    )


Ask = Callable[[Mapping[str, Any]], _Question]


def _questions(
    features: Mapping[str, Any],
    data: Mapping[str, Any],
    places: Mapping[int, Sequence[int]],
    categories: Categories,
) -> Ask:
    """A function from a split in JSON to the question that it asks."""
    floats = {f["feature_index"]: f for f in features.get("float_features", ())}
    listed = features.get("categorical_features", ())
    flat = {f["feature_index"]: f["flat_feature_index"] for f in listed}
    words = [word for feature in sorted(categories) for word in categories[feature]]
    hashes = _hashes(tuple(dict.fromkeys(words))) if words else {}
    # The splits of a CTR do not name it: they are numbered over all features' borders.
    statistics = list(_by_border(features))
    first = sum(len(f.get("borders") or ()) for f in features.get("float_features", ()))
    first += sum(len(f.get("values") or ()) for f in listed)

    def those(feature: int, test: Callable[[int], bool]) -> tuple[int, ...]:
        found = zip(categories[feature], places[feature], strict=True)
        return tuple(place for word, place in found if test(hashes[str(word)]))

    def ask(split: Mapping[str, Any]) -> _Question:
        kind = split["split_type"]
        if kind == "FloatFeature":
            feature = floats[split["float_feature_index"]]
            at, nan = feature["flat_feature_index"], feature["nan_value_treatment"] == "AsTrue"
            return _Question(at, float(np.float32(split["border"])), nan=nan)
        if kind == "OneHotFeature":
            at, wanted = flat[split["cat_feature_index"]], split["value"] & 0xFFFFFFFF
            return _Question(at, members=those(at, lambda found: found == wanted))
        if kind != "OnlineCtr":
            raise ConvertError(
                f"CatBoost's {kind} features (text, embeddings) are not converted: wasi-nn "
                "carries numbers only"
            )
        ctr = statistics[split["split_index"] - first]
        at, value = flat[_one_category(ctr)], _statistic(ctr, data)
        border = float(np.float32(split["border"]))
        above = those(at, lambda found: value(found) > border)
        if value(UNSEEN) > border:  # what is not in the list is above
            below = those(at, lambda found: value(found) <= border)
            return _Question(at, members=below, nan=True, swapped=True)
        return _Question(at, members=above)

    return ask


def _by_border(features: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for ctr in features.get("ctrs", ()):
        for _ in ctr["borders"]:
            yield ctr


def _one_category(ctr: Mapping[str, Any]) -> int:
    elements = ctr["elements"]
    if len(elements) != 1 or elements[0]["combination_element"] != "cat_feature_value":
        raise ConvertError(
            "CatBoost has combined categorical features in this model, which is not converted: "
            "fit with max_ctr_complexity=1, or with a one_hot_max_size above the number of "
            "categories"
        )
    return int(elements[0]["cat_feature_index"])


MULTIPLIER = 0x4906BA494954CB65


def _statistic(ctr: Mapping[str, Any], data: Mapping[str, Any]) -> Callable[[int], float]:
    """From the hash of a category to its statistic: counts of the training data, smoothed."""
    stored = data[ctr["identifier"]]
    stride, entries = stored["hash_stride"], stored["hash_map"]
    rows = {int(entries[n]): entries[n + 1 : n + stride] for n in range(0, len(entries), stride)}
    kind, border = ctr["ctr_type"], ctr.get("target_border_idx", 0)
    prior, weight = ctr["prior_numerator"], ctr["prior_denomerator"]
    shift, scale = np.float32(ctr["shift"]), np.float32(ctr["scale"])

    def value(found: int) -> float:
        counts = None
        if found != UNSEEN:
            signed = found - 2**32 if found >> 31 else found
            key = MULTIPLIER * (MULTIPLIER * signed) % 2**64
            counts = rows.get(key)
        good, total = (0, 0) if counts is None else _counts(kind, border, counts, stored)
        share = np.float32((good + prior) / (total + weight))
        return float((share + shift) * scale)

    return value


def _counts(
    kind: str, border: int, counts: Sequence[float], stored: Mapping[str, Any]
) -> tuple[float, float]:
    """Those of what is counted, and of all."""
    if kind in ("BinarizedTargetMeanValue", "FloatTargetMeanValue"):
        return counts[0], counts[1]
    if kind in ("Counter", "FeatureFreq"):
        return counts[0], stored["counter_denominator"]
    if kind == "Buckets":
        return counts[border], sum(counts)
    return sum(counts[border + 1 :]), sum(counts)  # Borders


def _put(forest: Forest, at: int, question: _Question, no: int, yes: int) -> None:
    if question.members is None:
        # x > border is not x <= border.
        forest.split(at, "BRANCH_LEQ", question.feature, question.border, no, yes, not question.nan)
        return
    if question.swapped:
        no, yes = yes, no
    forest.member(at, question.feature, question.members, yes, no, False)


def _add_symmetric(forest: Forest, tree: Mapping[str, Any], scale: float, ask: Ask) -> None:
    """One question a level; the answers are the bits of the leaf's number, the first the least."""
    splits = [ask(split) for split in tree.get("splits") or ()]
    inner = 2 ** len(splits) - 1
    root = forest.tree(2 * inner + 1)
    for n in range(inner):  # a heap: the children of n are 2n + 1 and 2n + 2
        level = (n + 1).bit_length() - 1
        _put(forest, root + n, splits[-1 - level], root + 2 * n + 1, root + 2 * n + 2)
    # From the root down, the path spells the leaf's number from its highest bit.
    values = np.array(tree["leaf_values"], np.float64).reshape(inner + 1, -1)
    for leaf, weights in enumerate(values):
        for target, weight in enumerate(weights):
            forest.leaf(root + inner + leaf, target, float(weight) * scale)


def _add_tree(forest: Forest, tree: Mapping[str, Any], scale: float, ask: Ask) -> None:
    """Any other tree, nested in JSON."""
    nodes = [tree]
    children: dict[int, tuple[int, int]] = {}
    for n, node in enumerate(nodes):  # which grows
        if "split" in node:
            children[n] = len(nodes), len(nodes) + 1
            nodes += [node["left"], node["right"]]
    root = forest.tree(len(nodes))
    for n, node in enumerate(nodes):
        if n in children:
            no, yes = children[n]
            _put(forest, root + n, ask(node["split"]), root + no, root + yes)
            continue
        for target, weight in enumerate(np.atleast_1d(node["value"])):
            forest.leaf(root + n, target, float(weight) * scale)
