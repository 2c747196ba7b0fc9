"""Plain ONNX: what replaces ai.onnx.ml answers the same, in onnxruntime and in OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from nnlet.compiler.ops import OPS
from nnlet.errors import ModelError, UnsupportedModel
from nnlet.plain import PLAIN, lower
from nnlet.plain.trees import comparable
from tests.compiler import test_ml, test_trees
from tests.compiler.oracle import Array, Case, reference
from tests.compiler.test_ml import CLASSES, DOMAIN, FLOAT, INT64, LABELS, node_model

CASES = [*test_ml.CASES, *test_trees.CASES]
BY_NAME = {case.name: [c for c in CASES if c.name == case.name] for case in CASES}
CORE = openvino.Core()
CORE.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})


def in_openvino(proto: onnx.ModelProto, feeds: Sequence[Any]) -> Iterator[list[Array]]:
    """OpenVINO's answers to each of the inputs."""
    model = CORE.compile_model(CORE.read_model(proto.SerializeToString()), "CPU")
    for feed in feeds:
        found = model(dict(feed))
        yield [np.array(found[port.name]) for port in proto.graph.output]


def check(cases: Sequence[Case], wanted: Sequence[Sequence[Array]] = ()) -> None:
    """Cases of one model: lowered, it answers as wanted, or else as onnxruntime does."""
    proto = lower(cases[0].proto, cases[0].name)
    onnx.checker.check_model(proto)
    assert {o.domain for o in proto.opset_import} == {""}
    wanted = wanted or [case.expected or reference(case) for case in cases]
    by_openvino = in_openvino(proto, [case.inputs for case in cases])
    for case, expected, second in zip(cases, wanted, by_openvino, strict=True):
        for found in (reference(replace(case, proto=proto)), second):
            for a, b in zip(found, expected, strict=True):
                assert (a.dtype, a.shape) == (b.dtype, b.shape)
                np.testing.assert_allclose(a, b, case.rtol, case.atol)


@pytest.mark.parametrize("name", BY_NAME)
def test_answers_as_with_ml(name: str) -> None:
    check(BY_NAME[name])


def test_every_operator_that_is_compiled_has_a_plain_form() -> None:
    compiled = {op.removeprefix(f"{DOMAIN}.") for op in OPS if op.startswith(DOMAIN)}
    assert set(PLAIN) == compiled


# Shapes

CHOSEN = ["linear_classifier_SOFTMAX_4", "svc_RBF_4_proba", "svr_RBF", "normalizer_L2_f4"]
CHOSEN += ["scaler_f4", "imputer_nan", "all_True_f4", "3_[0, 2]_NONE_0_False"]


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_any_number_of_rows(name: str, count: int) -> None:
    (feed, *_) = (case.inputs for case in BY_NAME[name])
    ((key, x),) = feed.items()
    rows = np.resize(x, (count, x.shape[1])) if count else x[:0]
    case = replace(BY_NAME[name][0], inputs={key: rows})
    if count:
        check([case])
        return
    whole = reference(BY_NAME[name][0])
    check([case], [[answer[:0] for answer in whole]])


@pytest.mark.parametrize("name", ["linear_classifier_NONE_4", "svr_LINEAR", "normalizer_L1_f4"])
def test_one_dimension_is_one_row(name: str) -> None:
    (case, *_) = BY_NAME[name]
    row = case.inputs["x0"][0]
    wanted = [answer[:1] for answer in reference(case)]
    node = case.proto.graph.node[0]
    if node.op_type == "Normalizer":
        wanted = [wanted[0][0]]
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    del proto.graph.input[0].type.tensor_type.shape.dim[1]
    for port in proto.graph.output:
        port.type.tensor_type.ClearField("shape")
    lowered = lower(proto, name)
    for found in in_openvino(lowered, [{"x0": row}]):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, case.rtol, case.atol)


# Thresholds


def test_a_threshold_of_doubles_decides_every_float_as_before() -> None:
    rng = np.random.default_rng(3)
    limits = np.finfo(np.float32)
    ends = [0.0, -0.0, np.inf, -np.inf, limits.max, limits.min, limits.tiny, 1e300, -1e300]
    some = rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)
    thresholds = np.array([*ends, *some, *some.astype(np.float32), 5e-324, -5e-324, np.nan])
    near = np.clip(thresholds, limits.min, limits.max).astype(np.float32)[None]
    with np.errstate(over="ignore"):
        steps = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    x = np.concatenate([near, *steps, np.tile(np.float32([[0], [np.nan]]), near.shape)])
    x = np.where((np.abs(x) < limits.tiny) & (x != 0), np.float32(1), x.astype(np.float32))
    wanted = x.astype(np.float64) <= thresholds
    np.testing.assert_array_equal(x <= comparable(thresholds, double=False), wanted)
    # A double input arrives cut off at the largest numbers that float32 has.
    cut = np.clip(x, limits.min, limits.max)
    finite = (np.abs(x) < limits.max) | np.isinf(x) | np.isnan(x)
    found = cut <= comparable(thresholds, double=True)
    np.testing.assert_array_equal(found[finite], wanted[finite])


def test_trees_of_doubles_split_neighbouring_floats() -> None:
    """A threshold between two floats, nearer to the upper one: rounded to it, both went left."""
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    between = float(low) + 0.75 * (float(high) - float(low))
    proto = test_trees.model(
        "TreeEnsembleRegressor",
        "f8",
        [(FLOAT, ["n", 1])],
        3,
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_ids=[0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        nodes_values_as_tensor=helper.make_tensor("v", TensorProto.DOUBLE, [3], [between, 0, 0]),
        target_weights_as_tensor=helper.make_tensor("w", TensorProto.DOUBLE, [2], [1, 2]),
    )
    x = np.zeros((2, test_trees.FEATURES))
    x[:, 0] = low, high
    check([Case("between", proto, {"x": x})], [[np.array([[1], [2]], np.float32)]])


def test_a_row_with_too_few_features_is_read_no_further() -> None:
    """Which other rows are beside it, or what else, makes no difference."""
    trees = test_trees.Trees("target", trees=9, depth=5)
    (case, _) = test_trees.regressor("few", trees, 1)
    case.proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "f"
    x = np.array([[1], [-1], [0]], np.float32)
    proto = lower(case.proto, "few")
    (together,) = in_openvino(proto, [{"x": x}])
    alone = [answer[0] for (answer,) in in_openvino(proto, [{"x": row[None]} for row in x])]
    padded = np.pad(x, ((0, 0), (0, test_trees.FEATURES - 1)))
    ((zeros,),) = in_openvino(proto, [{"x": padded}])
    np.testing.assert_array_equal(together[0], np.array(alone))
    np.testing.assert_array_equal(together[0], zeros)


# What surrounds the nodes


def chain(opset: int, ops: Sequence[tuple[str, str, dict[str, Any]]]) -> onnx.ModelProto:
    """Nodes (domain, operator, attributes) one after the other, over x [n, 3]."""
    nodes = [
        helper.make_node(op, [f"v{n}"], [f"v{n + 1}"], domain=domain, **attrs)
        for n, (domain, op, attrs) in enumerate(ops)
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("v0", FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(f"v{len(ops)}", FLOAT, ["n", None])],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=6 if opset < 13 else 8)


MIXED: list[tuple[str, str, dict[str, Any]]] = [
    (DOMAIN, "Imputer", {"imputed_value_floats": [0.5], "replaced_value_float": 0.0}),
    (DOMAIN, "Scaler", {"offset": [0.5, 1.0, 0.0], "scale": [2.0, 1.0, -1.0]}),
    ("", "Abs", {}),
    (DOMAIN, "Normalizer", {"norm": "L2"}),
    ("", "Transpose", {"perm": [0, 1]}),
    (DOMAIN, "LinearRegressor", {"coefficients": [1.0, 2.0, 3.0, -1.0, 0.0, 4.0], "targets": 2}),
]


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_chains_in_every_opset(opset: int) -> None:
    """Types of what stands between are known to nobody before the nodes are replaced."""
    x = np.array([[1, 2, 3], [0, -1, 4]], np.float32)
    check([Case("chain", chain(opset, MIXED), {"v0": x})])


def test_an_old_opset_that_only_ml_uses_is_raised() -> None:
    x = np.array([[1, 2, 3]], np.float32)
    alone = [node for node in MIXED if node[0] == DOMAIN]
    check([Case("alone", chain(1, alone), {"v0": x})])


def test_nodes_in_branches_are_replaced() -> None:
    def branch(name: str, scale: float) -> onnx.GraphProto:
        node = helper.make_node("Scaler", ["x"], [name], domain=DOMAIN, offset=[1.0], scale=[scale])
        return helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(name, FLOAT, ["n", 2])]
        )

    nodes = [
        helper.make_node(
            "If", ["c"], ["s"], then_branch=branch("a", 2.0), else_branch=branch("b", 3.0)
        ),
        helper.make_node("Binarizer", ["s"], ["y"], domain=DOMAIN, threshold=0.5),
    ]
    graph = helper.make_graph(
        nodes,
        "branches",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", FLOAT, ["n", 2]),
        ],
        [
            helper.make_tensor_value_info("s", FLOAT, ["n", 2]),
            helper.make_tensor_value_info("y", FLOAT, ["n", 2]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    x = np.array([[1, 1.2]], np.float32)
    check([Case("branches", proto, {"c": np.array(c), "x": x}) for c in (True, False)])


def test_nodes_in_functions_are_replaced() -> None:
    node = helper.make_node("Binarizer", ["a"], ["b"], domain=DOMAIN, threshold=0.5)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 3)]
    function = helper.make_function("own", "Above", ["a"], ["b"], [node], opsets)
    graph = helper.make_graph(
        [helper.make_node("Above", ["x"], ["y"], domain="own")],
        "called",
        [helper.make_tensor_value_info("x", FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", FLOAT, ["n"])],
    )
    imports = [*opsets, helper.make_opsetid("own", 1)]
    proto = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)
    plain = lower(proto, "called")
    (found,) = in_openvino(plain, [{"x": np.array([0.25, 0.75], np.float32)}])
    assert found[0].tolist() == [0, 1]


def test_words_for_classes_leave_the_scores() -> None:
    x = np.array([[3, 1]], "f4")
    strings: list[tuple[int, Sequence[str | int]]] = [(TensorProto.STRING, ["n"]), CLASSES[1]]
    proto = node_model("LinearClassifier", [x], strings, **LABELS)
    check([Case("words", proto, {"x0": x})], [[np.array([[-1, 2]], np.float32)]])


def test_a_zip_map_gives_the_scores() -> None:
    x = np.array([[3, 1]], "f4")
    strings: list[tuple[int, Sequence[str | int]]] = [(TensorProto.STRING, ["n"]), CLASSES[1]]
    proto = node_model("LinearClassifier", [x], strings, **LABELS)
    words = LABELS["classlabels_strings"]
    zipped = helper.make_node("ZipMap", ["y1"], ["z"], domain=DOMAIN, classlabels_strings=words)
    proto.graph.node.append(zipped)
    kind = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, None)
    )
    maps = onnx.ValueInfoProto(name="z", type=helper.make_sequence_type_proto(kind))
    proto.graph.output[1].CopyFrom(maps)
    check([Case("zipped", proto, {"x0": x})], [[np.array([[-1, 2]], np.float32)]])


# What has no plain form


def test_all_nodes_that_cannot_be_replaced_are_named() -> None:
    proto = chain(17, [(DOMAIN, "CategoryMapper", {}), MIXED[1], (DOMAIN, "DictVectorizer", {})])
    with pytest.raises(UnsupportedModel) as caught:
        lower(proto, "m.onnx")
    message = str(caught.value)
    assert message.startswith("m.onnx: 2 node(s) that the host provider cannot compute:")
    assert "ai.onnx.ml.CategoryMapper 'v1'" in message
    assert "ai.onnx.ml.DictVectorizer 'v3'" in message
    assert message.endswith("serve it with --provider compiled, or export it without them")


def test_words_as_the_only_output_are_refused() -> None:
    strings: list[tuple[int, Sequence[str | int]]] = [(TensorProto.STRING, ["n"]), CLASSES[1]]
    proto = node_model("LinearClassifier", [np.zeros((1, 2), "f4")], strings, **LABELS)
    del proto.graph.output[1]
    with pytest.raises(UnsupportedModel, match="its labels are strings"):
        lower(proto, "m")


@pytest.mark.parametrize(
    ("op", "x", "attrs", "words"),
    [
        ("OneHotEncoder", [1], {"cats_int64s": [1, 2**40]}, "category 1099511627776"),
        ("LabelEncoder", [1], {"keys_int64s": [-(2**31) - 1], "values_int64s": [1]}, "key -2147"),
        ("LabelEncoder", [1], {"keys_int64s": [1], "values_int64s": [2**31]}, "value 2147483648"),
    ],
)
def test_integers_that_openvino_would_change_are_refused(
    op: str, x: list[int], attrs: dict[str, Any], words: str
) -> None:
    proto = node_model(op, [np.array(x)], [(INT64, ["n"])], **attrs)
    with pytest.raises(UnsupportedModel, match=f"{words}.*computes INT64 as INT32"):
        lower(proto, "m")


def test_a_node_that_contradicts_itself_names_file_and_node() -> None:
    proto = node_model("Scaler", [np.zeros((1, 2), "f4")], [(FLOAT, ["n", "c"])])
    proto.graph.node[0].op_type = "Normalizer"
    proto.graph.node[0].attribute.append(helper.make_attribute("norm", "L3"))
    with pytest.raises(ModelError, match=r"m\.onnx: ai\.onnx\.ml\.Normalizer 'y0': .*'L3'"):
        lower(proto, "m.onnx")


def test_a_tree_that_leads_back_to_itself_is_refused() -> None:
    (case, *_) = BY_NAME["ensemble"]
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    attributes = {a.name: a for a in proto.graph.node[0].attribute}
    attributes["nodes_falsenodeids"].ints[1] = 0
    with pytest.raises(UnsupportedModel, match="a node below itself"):
        lower(proto, "m")


# As scikit-learn's exporter writes them


WHY = "pip install skl2onnx scikit-learn"


def exported(name: str) -> tuple[onnx.ModelProto, Array]:
    """The fitted estimator of that name in ONNX, and rows of what it was fitted to."""
    skl2onnx = pytest.importorskip("skl2onnx", reason=WHY)
    datasets = pytest.importorskip("sklearn.datasets", reason=WHY)
    x, y = (
        datasets.load_diabetes(return_X_y=True)
        if name in REGRESSORS
        else datasets.load_iris(return_X_y=True)
    )
    x = x.astype(np.float32)
    fitted = estimator(name).fit(x, y)
    options = {"zipmap": False} if name not in REGRESSORS else None
    proto = skl2onnx.to_onnx(fitted, x[:1], options=options, target_opset=21)
    return proto, x[::7]


REGRESSORS = ("RandomForestRegressor", "GradientBoostingRegressor", "SVR")
CLASSIFIERS = (
    "RandomForestClassifier",
    "GradientBoostingClassifier",
    "SVC",
    "scaled",
    "DecisionTree",
)


def estimator(name: str) -> Any:
    from sklearn import ensemble, linear_model, pipeline, preprocessing, svm, tree

    few = {"random_state": 0, "max_depth": 5}
    made = {
        "RandomForestClassifier": lambda: ensemble.RandomForestClassifier(20, **few),
        "RandomForestRegressor": lambda: ensemble.RandomForestRegressor(20, **few),
        "GradientBoostingClassifier": lambda: ensemble.GradientBoostingClassifier(n_estimators=9),
        "GradientBoostingRegressor": lambda: ensemble.GradientBoostingRegressor(n_estimators=20),
        "DecisionTree": lambda: tree.DecisionTreeClassifier(random_state=0),
        "SVC": lambda: svm.SVC(),
        "SVR": lambda: svm.SVR(),
        "scaled": lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=500)
        ),
    }
    return made[name]()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", [*REGRESSORS, *CLASSIFIERS])
def test_scikit_learn(name: str) -> None:
    proto, x = exported(name)
    (port,) = proto.graph.input
    check([Case(name, proto, {port.name: x}, rtol=1e-4, atol=1e-5)])


@pytest.mark.parametrize("name", ["RandomForestClassifier", "scaled", "SVC"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scikit_learn_with_words_for_classes(name: str) -> None:
    """As exported when nothing is said: labels of strings, scores in a ZipMap."""
    skl2onnx = pytest.importorskip("skl2onnx", reason=WHY)
    datasets = pytest.importorskip("sklearn.datasets", reason=WHY)
    x, y = datasets.load_iris(return_X_y=True)
    x = x.astype(np.float32)
    words = np.array(["ash", "beech", "cedar"])[y]
    fitted = estimator(name).fit(x, words)
    proto = skl2onnx.to_onnx(fitted, x[:1], target_opset=21)
    label, scores = reference(Case(name, proto, {"X": x[::7]}))
    plain = lower(proto, name)
    (port,) = plain.graph.output
    assert port.name == proto.graph.output[1].name
    ((found,),) = in_openvino(plain, [{"X": x[::7]}])
    if isinstance(scores[0], dict):
        scores = [[row[word] for word in ("ash", "beech", "cedar")] for row in scores]
    np.testing.assert_allclose(found, scores, 1e-4, 1e-5)
