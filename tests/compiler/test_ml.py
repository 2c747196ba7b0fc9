"""ai.onnx.ml without trees: each operator and form against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nnlet.compiler import compile_protos
from nnlet.errors import InferenceError, UnsupportedModel
from nnlet.native import NativeModels
from tests.compiler.oracle import Array, Case, check, compiled

DOMAIN = "ai.onnx.ml"
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RNG = np.random.default_rng(11)


def node_model(
    op: str,
    inputs: Sequence[Array],
    outputs: Sequence[tuple[int, Sequence[str | int]]],
    *,
    ml: int = 3,
    **attrs: Any,
) -> onnx.ModelProto:
    """One node; every dimension of its inputs is a size that only the run knows."""
    names = [f"x{n}" for n in range(len(inputs))]
    results = [f"y{n}" for n in range(len(outputs))]
    node = helper.make_node(op, names, results, domain=DOMAIN, **attrs)
    ports = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(x.dtype), [f"{name}_{k}" for k in range(x.ndim)]
        )
        for name, x in zip(names, inputs, strict=True)
    ]
    ends = [
        helper.make_tensor_value_info(name, dtype, dims)
        for name, (dtype, dims) in zip(results, outputs, strict=True)
    ]
    graph = helper.make_graph([node], op, ports, ends)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, ml)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def case(
    name: str,
    op: str,
    inputs: Sequence[Any],
    outputs: Sequence[tuple[int, Sequence[str | int]]],
    **attrs: Any,
) -> Case:
    arrays = [np.asarray(x) for x in inputs]
    proto = node_model(op, arrays, outputs, **attrs)
    return Case(name, proto, {f"x{n}": x for n, x in enumerate(arrays)}, rtol=1e-4, atol=1e-6)


def rows(count: int, features: int, dtype: str = "f4") -> Array:
    return (RNG.normal(size=(count, features)) * 2).astype(dtype)


def probabilities(count: int, features: int) -> Array:
    """Small enough that scores with weights of its size stay away from probit's edges."""
    return RNG.uniform(0.02, 0.1, size=(count, features)).astype("f4")


def floats(*shape: int, low: float = -1, high: float = 1) -> list[float]:
    return [float(v) for v in RNG.uniform(low, high, size=shape).astype("f4").reshape(-1)]


CLASSES: list[tuple[int, Sequence[str | int]]] = [(INT64, ["n"]), (FLOAT, ["n", "c"])]
SCORES: list[tuple[int, Sequence[str | int]]] = [(FLOAT, ["n", "c"])]


def linear_cases() -> list[Case]:
    found = []
    for transform in TRANSFORMS:
        for targets in (1, 3):
            x = probabilities(5, 6) if transform == "PROBIT" else rows(5, 6)
            low = 0.1 if transform == "PROBIT" else -1
            found.append(
                case(
                    f"linear_regressor_{transform}_{targets}", "LinearRegressor", [x], SCORES,
                    coefficients=floats(targets, 6, low=low), targets=targets,
                    intercepts=floats(targets, low=0.1, high=0.2), post_transform=transform,
                )
            )  # fmt: skip
        for classes, labels in ((1, [5, 7]), (2, [5, 7]), (4, [3, 1, 2, 9])):
            if transform == "PROBIT" and classes == 1:
                continue  # onnxruntime leaves the second score to chance
            x = probabilities(7, 3) if transform == "PROBIT" else rows(7, 3)
            low = 0.1 if transform == "PROBIT" else -1
            found.append(
                case(
                    f"linear_classifier_{transform}_{classes}", "LinearClassifier", [x], CLASSES,
                    coefficients=floats(classes, 3, low=low), classlabels_ints=labels,
                    intercepts=floats(classes, low=0.1, high=0.2), post_transform=transform,
                )
            )  # fmt: skip
    for dtype in ("f8", "i4", "i8"):
        found.append(
            case(
                f"linear_classifier_{dtype}", "LinearClassifier", [rows(3, 4, dtype)], CLASSES,
                coefficients=floats(2, 4), intercepts=floats(2), classlabels_ints=[0, 1],
            )
        )  # fmt: skip
    return found


def svm_cases() -> list[Case]:
    found = []
    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        common = {"kernel_type": kernel, "kernel_params": [0.3, 0.2, 3.0]}
        found.append(
            case(
                f"svr_{kernel}", "SVMRegressor", [rows(5, 3)], SCORES, n_supports=7,
                support_vectors=floats(7, 3), coefficients=floats(7), rho=[0.3], **common,
            )
        )  # fmt: skip
        for classes, counts in ((2, [3, 2]), (4, [2, 1, 3, 2])):
            n, pairs = sum(counts), classes * (classes - 1) // 2
            machine = {
                "vectors_per_class": counts,
                "support_vectors": floats(n, 3),
                "coefficients": floats(classes - 1, n),
                "rho": floats(pairs),
                "classlabels_ints": list(range(10, 10 + classes)),
                **common,
            }
            found.append(
                case(f"svc_{kernel}_{classes}", "SVMClassifier", [rows(6, 3)], CLASSES, **machine)
            )
            found.append(
                case(
                    f"svc_{kernel}_{classes}_proba", "SVMClassifier", [rows(6, 3)], CLASSES,
                    prob_a=floats(pairs, low=-2, high=-1), prob_b=floats(pairs), **machine,
                )
            )  # fmt: skip
    for transform in TRANSFORMS[:4]:
        for classes, counts in ((2, [3, 2]), (3, [2, 1, 3])):
            n, pairs = sum(counts), classes * (classes - 1) // 2
            found.append(
                case(
                    f"svc_{transform}_{classes}", "SVMClassifier", [rows(4, 3)], CLASSES,
                    kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0], vectors_per_class=counts,
                    support_vectors=floats(n, 3), coefficients=floats(classes - 1, n),
                    rho=floats(pairs), classlabels_ints=list(range(classes)),
                    post_transform=transform,
                )
            )  # fmt: skip
    for classes, low in ((2, -1.0), (2, 0.0), (3, -1.0)):
        found.append(
            case(
                f"svm_linear_{classes}_{low}", "SVMClassifier", [rows(9, 3)], CLASSES,
                coefficients=floats(classes, 3, low=low), rho=[0.1], kernel_params=[0.0] * 3,
                classlabels_ints=list(range(5, 5 + classes)),
            )
        )  # fmt: skip
    found.append(
        case(
            "one_class", "SVMRegressor", [rows(9, 2)], SCORES, kernel_type="RBF", n_supports=3,
            kernel_params=[0.5, 0.0, 0.0], support_vectors=floats(3, 2), one_class=1,
            coefficients=floats(3), rho=[-0.1],
        )
    )  # fmt: skip
    found.append(
        case(
            "svr_linear", "SVMRegressor", [rows(4, 3)], SCORES, coefficients=floats(3), rho=[0.5],
            kernel_params=[0.0] * 3,
        )
    )  # fmt: skip
    return found


def feature_cases() -> list[Case]:
    nan = float("nan")
    x = rows(4, 3)
    holes = np.array([[1, nan, 3], [nan, 0, -1]], "f4")
    found = [
        case("scaler_one", "Scaler", [x], SCORES, offset=[0.5], scale=[2.0]),
        case("binarizer", "Binarizer", [x], SCORES, threshold=0.25),
        case("imputer_nan", "Imputer", [holes], SCORES, imputed_value_floats=[7.0, 8.0, 9.0],
             replaced_value_float=nan),
        case("imputer_zero", "Imputer", [holes], SCORES, imputed_value_floats=[7.0],
             replaced_value_float=0.0),
        case("imputer_int", "Imputer", [np.array([[1, 2], [2, 3]])], [(INT64, ["n", "c"])],
             imputed_value_int64s=[5, 6], replaced_value_int64=2),
        case("one_hot", "OneHotEncoder", [np.array([[3, 1], [9, 2]])],
             [(FLOAT, ["n", "c", 4])], cats_int64s=[1, 2, 3, 2]),
        case("one_hot_float", "OneHotEncoder", [np.array([1.7, -1e30, nan], "f4")],
             [(FLOAT, ["n", 3])], cats_int64s=[1, 0, 3]),
        case("columns", "ArrayFeatureExtractor", [x, np.array([2, 0, 2])], SCORES),
        case("columns_of_one_row", "ArrayFeatureExtractor", [x[0], np.array([1])], SCORES),
        case("columns_3d", "ArrayFeatureExtractor", [rows(6, 4).reshape(2, 3, 4), np.array([3])],
             [(FLOAT, ["n", "m", "c"])]),
        case("encode_int_float", "LabelEncoder", [np.array([[3, 1], [7, 2]])], SCORES,
             keys_int64s=[2, 3, 1, 3], values_floats=[0.2, 0.3, 0.1, 9.0]),
        case("encode_float_int", "LabelEncoder", [np.array([0.5, -1.0, nan, 4.0], "f4")],
             [(INT64, ["n"])], keys_floats=[4.0, 0.5], values_int64s=[40, 5], default_int64=-7),
        case("encode_nan", "LabelEncoder", [np.array([0.5, nan, 3], "f4")], [(FLOAT, ["n"])],
             ml=4, keys_floats=[4.0, 0.5, nan], values_floats=[40.0, 5.0, 6.0]),
        case("encode_tensors", "LabelEncoder", [np.array([1.5, 2.5, 3.5], "f8")],
             [(TensorProto.DOUBLE, ["n"])], ml=4,
             keys_tensor=helper.make_tensor("k", TensorProto.DOUBLE, [2], [3.5, 1.5]),
             values_tensor=helper.make_tensor("v", TensorProto.DOUBLE, [2], [0.1, 0.2]),
             default_tensor=helper.make_tensor("d", TensorProto.DOUBLE, [1], [-3.0])),
        case("vectorize", "FeatureVectorizer", [rows(2, 3), rows(2, 2), rows(2, 5)],
             SCORES, inputdimensions=[3, 4, 2]),
    ]  # fmt: skip
    for dtype in ("f4", "f8", "i4", "i8"):
        found.append(
            case(
                f"scaler_{dtype}", "Scaler", [rows(5, 3, dtype)], SCORES,
                offset=floats(3), scale=floats(3),
            )
        )  # fmt: skip
        for norm in ("MAX", "L1", "L2"):
            data = rows(5, 3, dtype)
            data[1] = 0
            found.append(
                case(f"normalizer_{norm}_{dtype}", "Normalizer", [data], SCORES, norm=norm)
            )
    return found


CASES = [*linear_cases(), *svm_cases(), *feature_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("each", CASES, ids=lambda c: c.name)
def test_answers_as_onnxruntime(models: NativeModels, each: Case) -> None:
    check(models, each)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "words"),
    [
        ("OneHotEncoder", [np.array([4])], {"cats_int64s": [1, 2], "zeros": 0}, "category"),
        ("ArrayFeatureExtractor", [np.zeros((2, 3), "f4"), np.array([3])], {}, "outside"),
        ("ArrayFeatureExtractor", [np.zeros((2, 3), "f4"), np.array([-1])], {}, "outside"),
        ("LinearRegressor", [np.zeros((2, 3), "f4")], {"coefficients": [1.0, 2.0]}, "should be"),
    ],
)
def test_wrong_data_is_refused_in_words(
    op: str, inputs: list[Array], attrs: dict[str, Any], words: str
) -> None:
    proto = node_model(op, inputs, [(FLOAT, ["n", "c"])], **attrs)
    module = compile_protos([("m", "1", proto)])
    models = NativeModels(module.source, module.weights, level=0)
    with pytest.raises(InferenceError, match=words):
        models.run("m", "1", {f"x{n}": x for n, x in enumerate(inputs)})


LABELS = {"coefficients": [1.0, -1.0], "intercepts": [0.0], "classlabels_strings": ["no", "yes"]}


def test_string_labels_that_nobody_reads_do_no_harm() -> None:
    x = np.array([[3, 1]], "f4")
    proto = node_model("LinearClassifier", [x], CLASSES, **LABELS)
    del proto.graph.output[0]
    module = compile_protos([("m", "1", proto)])
    (found,) = NativeModels(module.source, module.weights, level=0).run("m", "1", {"x0": x})
    np.testing.assert_allclose(found, [[-1, 2]])


def test_string_labels_beside_scores_are_left_out() -> None:
    x = np.array([[3, 1]], "f4")
    strings: list[tuple[int, Sequence[str | int]]] = [(TensorProto.STRING, ["n"]), CLASSES[1]]
    module = compile_protos([("m", "1", node_model("LinearClassifier", [x], strings, **LABELS))])
    (found,) = NativeModels(module.source, module.weights, level=0).run("m", "1", {"x0": x})
    np.testing.assert_allclose(found, [[-1, 2]])


def test_string_labels_as_the_only_output_are_refused() -> None:
    x = np.array([[3, 1]], "f4")
    strings: list[tuple[int, Sequence[str | int]]] = [(TensorProto.STRING, ["n"]), CLASSES[1]]
    proto = node_model("LinearClassifier", [x], strings, **LABELS)
    del proto.graph.output[1]
    with pytest.raises(UnsupportedModel, match="its labels are strings"):
        compile_protos([("m", "1", proto)])


def test_zip_map_gives_the_scores() -> None:
    x = np.array([[3, 1]], "f4")
    ints = {name: value for name, value in LABELS.items() if name != "classlabels_strings"}
    proto = node_model("LinearClassifier", [x], CLASSES, classlabels_ints=[0, 1], **ints)
    zipped = helper.make_node("ZipMap", ["y1"], ["z"], domain=DOMAIN, classlabels_int64s=[0, 1])
    proto.graph.node.append(zipped)
    proto.graph.output[1].name = "z"
    module = compile_protos([("m", "1", proto)])
    _, found = NativeModels(module.source, module.weights, level=0).run("m", "1", {"x0": x})
    np.testing.assert_allclose(found, [[-1, 2]])
