"""The whole of an inference request, over every form it may take. Errors name their place."""

from __future__ import annotations

import json
import re
import struct
from random import Random
from typing import Any

import pytest

from nnlet.errors import InferenceError
from nnlet.guest import Tensor

from .conftest import Call, Echo

SCORES = "/v2/models/scores/versions/1/infer"
PAIR = "/v2/models/pair/infer"
IMAGE = "/v2/models/image/infer"
LENGTH = "inference_header_content_length"


def tensor(name: str = "x", **changes: Any) -> dict[str, Any]:
    """An input that model `scores` takes, changed; None leaves a key out."""
    item = {"name": name, "shape": [1, 3], "datatype": "FP32", "data": [0.5, 2, 1]}
    return {key: value for key, value in (item | changes).items() if value is not None}


def request(*inputs: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **more}


A = tensor("a", shape=[1, 2], data=[1, 2])
B = tensor("b", shape=[2], datatype="INT64", data=[3, 4])


def binary(document: dict[str, Any], *blobs: bytes) -> tuple[bytes, str]:
    """A body with binary data, and the length of its JSON."""
    text = json.dumps(document).encode()
    return b"".join((text, *blobs)), str(len(text))


# What is answered


def test_json_in_json_out(call: Call, backend: Echo) -> None:
    answer = call("POST", SCORES, request(tensor()))
    assert answer.status == 200
    assert answer.json == {
        "model_name": "scores",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 2, 1]}],
    }
    ((graph, ((name, sent),)),) = backend.calls
    assert (graph, name, sent.datatype, sent.shape) == ("scores@1", "x", "FP32", (1, 3))


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_data_may_be_flat_or_nested_and_comes_back_flat(call: Call, data: Any) -> None:
    answer = call("POST", SCORES, request(tensor(shape=[2, 3], data=data)))
    assert answer.json["outputs"][0]["data"] == [1, 2, 3, 4, 5, 6]


def test_inputs_may_come_in_any_order(call: Call, backend: Echo) -> None:
    assert call("POST", PAIR, request(A, B)).status == 200
    assert {name for name, _ in backend.calls[0][1]} == {"a", "b"}


@pytest.mark.parametrize("id", ["42", "", 'a "quoted" ä', "\ud800"])
def test_an_id_is_echoed(call: Call, id: str) -> None:
    assert call("POST", SCORES, request(tensor(), id=id)).json["id"] == id


def test_null_means_absent(call: Call) -> None:
    body = request(tensor(parameters={}), id=None, parameters=None, outputs=None)
    answer = call("POST", SCORES, body)
    assert answer.status == 200
    assert "id" not in answer.json


def test_outputs_are_selected_in_the_order_asked_for(call: Call) -> None:
    for names in (["b"], ["b", "a"], ["a", "b"]):
        body = request(A, B, outputs=[{"name": name} for name in names])
        outputs = call("POST", PAIR, body).json["outputs"]
        assert [output["name"] for output in outputs] == names


def test_no_outputs_asked_for_means_all(call: Call) -> None:
    assert len(call("POST", PAIR, request(A, B, outputs=[])).json["outputs"]) == 2


def test_unknown_parameters_are_left_alone(call: Call) -> None:
    parameters = {"priority": 1, "sequence_id": "a", "x": 0.5, "y": True}
    assert call("POST", SCORES, request(tensor(), parameters=parameters)).status == 200


CONVERSIONS = [
    ("echo-BOOL", "BOOL", [True, False], "UINT8"),
    ("echo-UINT8", "UINT8", [0, 255], "UINT8"),
    ("echo-UINT16", "UINT16", [0, 65535], "INT32"),
    ("echo-UINT32", "UINT32", [0, 2**32 - 1], "INT64"),
    ("echo-UINT64", "UINT64", [0, 2**64 - 1], "INT64"),
    ("echo-INT8", "INT8", [-128, 127], "INT32"),
    ("echo-INT16", "INT16", [-32768, 32767], "INT32"),
    ("echo-INT32", "INT32", [-(2**31), 2**31 - 1], "INT32"),
    ("echo-INT64", "INT64", [-(2**63), 2**63 - 1], "INT64"),
    ("echo-FP32", "FP32", [-0.5, 1e38], "FP32"),
    ("echo-FP64", "FP64", [0.1, 1e308], "FP64"),
    ("echo-INT32", "INT8", [-128, 127], "INT32"),
    ("echo-INT64", "UINT32", [0, 2**32 - 1], "INT64"),
    ("echo-FP32", "UINT16", [0, 65535], "FP32"),
    ("echo-FP64", "INT32", [-1, 2**31 - 1], "FP64"),
    ("echo-UINT8", "BOOL", [True, False], "UINT8"),
]


def equals(found: list[Any], values: list[Any]) -> bool:
    """Equal as numbers: a BOOL that a UINT8 model echoes comes back as 1."""
    return all(a == pytest.approx(float(b)) for a, b in zip(found, values, strict=True))


@pytest.mark.parametrize(("model", "datatype", "values", "carrier"), CONVERSIONS)
def test_datatypes_convert_exactly_in_json(
    call: Call, backend: Echo, model: str, datatype: str, values: list[Any], carrier: str
) -> None:
    item = tensor(shape=[2], datatype=datatype, data=values)
    answer = call("POST", f"/v2/models/{model}/infer", request(item))
    (output,) = answer.json["outputs"]
    assert backend.calls[0][1][0][1].datatype == carrier
    assert output["datatype"] == model.removeprefix("echo-")
    assert equals(output["data"], values)


@pytest.mark.parametrize(
    ("model", "datatype", "values", "carrier"),
    [*CONVERSIONS, ("echo-FP16", "FP16", [0.5, -2], "FP16"), ("echo-FP32", "FP16", [1], "FP32")]
    + [("echo-BF16", "BF16", [0.5, -2], "BF16"), ("echo-FP64", "BF16", [1.5], "FP64")],
)
def test_datatypes_convert_exactly_in_binary(
    call: Call, backend: Echo, model: str, datatype: str, values: list[Any], carrier: str
) -> None:
    sent = Tensor.of(datatype, [len(values)], values)
    item = tensor(
        shape=[len(values)],
        datatype=datatype,
        data=None,
        parameters={"binary_data_size": len(sent.data)},
    )
    body, length = binary(
        request(item, parameters={"binary_data_output": True}),
        sent.data,
    )
    answer = call("POST", f"/v2/models/{model}/infer", body, **{LENGTH: length})
    (output,) = answer.json["outputs"]
    data = answer.body[int(answer.headers["inference-header-content-length"]) :]
    assert backend.calls[0][1][0][1].datatype == carrier
    assert answer.headers["content-type"] == "application/octet-stream"
    assert output["parameters"] == {"binary_data_size": len(data)}
    assert "data" not in output
    assert equals(Tensor(output["datatype"], output["shape"], data).values(), values)


def test_binary_inputs_follow_in_the_order_of_inputs(call: Call) -> None:
    a = {**A, "data": None, "parameters": {"binary_data_size": 8}}
    b = {**B, "data": None, "parameters": {"binary_data_size": 16}}
    body, length = binary(request(b, a), struct.pack("<2q", 3, 4), struct.pack("<2f", 1, 2))
    outputs = call("POST", PAIR, body, **{LENGTH: length}).json["outputs"]
    assert [output["data"] for output in outputs] == [[1, 2], [3, 4]]


def test_binary_and_json_inputs_mix(call: Call, backend: Echo) -> None:
    b = {**B, "data": None, "parameters": {"binary_data_size": 16}}
    body, length = binary(request(A, b), struct.pack("<2q", 3, 4))
    assert call("POST", PAIR, body, **{LENGTH: length}).status == 200
    assert [t.values() for _, t in backend.calls[0][1]] == [[1.0, 2.0], [3, 4]]


def test_a_header_length_of_the_whole_body_means_json(call: Call) -> None:
    body, length = binary(request(tensor()))
    assert call("POST", SCORES, body, **{LENGTH: length}).status == 200


@pytest.mark.parametrize(
    ("all_binary", "own", "expected"),
    [(True, {}, True), (True, {"binary_data": False}, False), (False, {"binary_data": True}, True)],
)
def test_an_output_may_choose_its_form(
    call: Call, all_binary: bool, own: dict[str, bool], expected: bool
) -> None:
    body = request(
        tensor(),
        outputs=[{"name": "y", "parameters": own}],
        parameters={"binary_data_output": all_binary},
    )
    answer = call("POST", SCORES, body)
    assert ("inference-header-content-length" in answer.headers) is expected


def test_binary_and_json_outputs_mix(call: Call) -> None:
    outputs = [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}]
    answer = call("POST", PAIR, request(A, B, outputs=outputs))
    assert answer.body.endswith(struct.pack("<2f", 1, 2))
    assert answer.json["outputs"][1]["data"] == [3, 4]


@pytest.mark.parametrize(
    ("path", "data", "shape"),
    [
        (SCORES, struct.pack("<3f", 1, 2, 3), [1, 3]),
        (SCORES, struct.pack("<6f", *range(6)), [2, 3]),
        # Of two free dimensions the first is taken as a batch of one.
        (IMAGE, bytes(10), [1, 2, 5]),
    ],
)
def test_a_raw_request_is_answered_raw(
    call: Call, path: str, data: bytes, shape: list[int]
) -> None:
    answer = call("POST", path, data, **{LENGTH: "0"})
    (output,) = answer.json["outputs"]
    assert output["shape"] == shape
    assert output["parameters"] == {"binary_data_size": len(data)}
    assert answer.body.endswith(data)


@pytest.mark.parametrize("form", [False, True])
def test_classes_are_named(call: Call, form: bool) -> None:
    parameters = {"classification": 2, "binary_data": form}
    body = request(tensor(), outputs=[{"name": "y", "parameters": parameters}])
    answer = call("POST", SCORES, body)
    (output,) = answer.json["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    if form:
        assert answer.body.endswith(b"\x0e\0\0\0002.000000:1:bee\x0e\0\0\0001.000000:2:cat")
    else:
        assert output["data"] == ["2.000000:1:bee", "1.000000:2:cat"]


# What is refused

BAD_JSON: list[Any] = [
    (SCORES, b"", "malformed JSON: the body is empty"),
    (SCORES, b"{", "malformed JSON: .* line 1, column 2"),
    (SCORES, b"\xff", "not UTF-8"),
    pytest.param(SCORES, b"[" * 1_000_000, "nested more than", id="deep"),
    (SCORES, [1], "the request is a list: expected a JSON object"),
    (SCORES, {}, "inputs is null: expected a list"),
    (SCORES, {"inputs": {}}, "inputs is an object: expected a list"),
    (SCORES, request(), "missing input 'x': the model takes 'x'"),
    (PAIR, request(A), "missing input 'b': the model takes 'a', 'b'"),
    (SCORES, request(1), "input 0 is 1: expected a JSON object"),
    (SCORES, request(tensor(name=7)), "input 0: name is 7: expected a string"),
    (SCORES, request(tensor(name=["x"])), "input 0: name is a list"),
    (SCORES, request(tensor("z")), "unknown input 'z': the model has 'x'"),
    (SCORES, request(tensor(), tensor()), "input 'x' is given more than once"),
    (SCORES, request(tensor(datatype="FP64")), "input 'x': datatype is 'FP64'"),
    (SCORES, request(tensor(datatype="BYTES", data=["a"] * 3)), "datatype is 'BYTES'"),
    (SCORES, request(tensor(datatype=None)), "input 'x': datatype is null"),
    (SCORES, request(tensor(shape=[3])), "rank 1: expected rank 2"),
    (SCORES, request(tensor(shape=[1, 4])), "expected 3 at axis 1"),
    (SCORES, request(tensor(shape=[-1, 3])), "-1 at axis 0: expected a whole number"),
    (SCORES, request(tensor(shape=[2**63, 3])), "at axis 0: expected a whole number from 1 to"),
    (SCORES, request(tensor(shape=[2**31 - 1, 3])), "data has 3 elements: .* has 6442450941"),
    (SCORES, request(tensor(shape=None)), "input 'x': shape is null"),
    (SCORES, request(tensor(data=[1, 2])), "input 'x': data has 2 elements: shape .1, 3. has 3"),
    (SCORES, request(tensor(data=[1, 2, 3, 4])), "data has 4 elements"),
    (SCORES, request(tensor(data=[[1, 2]])), "at depth 1 is a list of 2: expected a list of 3"),
    (SCORES, request(tensor(data=[[[1, 2, 3]]])), "at depth 1 is a list of 1: expected"),
    (SCORES, request(tensor(data=[[[1], 2, 3]])), "element 0 is a list: FP32 expects a number"),
    (SCORES, request(tensor(data=[1, "2", 3])), "input 'x': element 1 is '2'"),
    (SCORES, request(tensor(data=[1, True, 3])), "input 'x': element 1 is true"),
    (SCORES, request(tensor(data=None)), "input 'x': neither data nor binary_data_size"),
    (SCORES, request(tensor(data=[1, float("nan"), 3])), "NaN is no JSON number at line 1"),
    (SCORES, request(tensor(data=[1, float("inf"), 3])), "Infinity is no JSON number"),
    (
        SCORES,
        json.dumps(request(tensor())).replace("0.5", "1e999").encode(),
        "input 'x': element 0 is a number beyond 1.8e308: out of range for FP32",
    ),
    (PAIR, request(A, {**B, "data": [3, 4.0]}), "input 'b': element 1 is 4.0: INT64 expects"),
    (PAIR, request(A, {**B, "data": [3, 2**63]}), "input 'b': element 1 is .* out of range"),
    ("/v2/models/echo-FP16/infer", request(tensor(shape=[3], datatype="FP16")), "no JSON form"),
    (SCORES, request(tensor(datatype="BF16")), "input 'x': BF16 has no JSON form: send it as bin"),
    (SCORES, request(tensor(parameters=[])), "input 'x': parameters is a list"),
    (SCORES, request(tensor(parameters={"a": None})), "input 'x': parameter 'a' is null"),
    (SCORES, request(tensor(parameters={"shared_memory_region": "r"})), "no memory is shared"),
    (SCORES, request(tensor(parameters={"binary_data_size": 12})), "both data and binary_data_s"),
    (SCORES, request(tensor(), id=7), "id is 7: expected a string"),
    (SCORES, request(tensor(), parameters=3), "request: parameters is 3"),
    (SCORES, request(tensor(), parameters={"triton_x": 1}), "'triton_x': names in triton_ are"),
    (SCORES, request(tensor(), parameters={"a": [1]}), "parameter 'a' is a list: expected a str"),
    (SCORES, request(tensor(), parameters={"binary_data_output": 1}), "binary_data_output is 1"),
    (SCORES, request(tensor(), outputs={}), "outputs is an object: expected a list"),
    (SCORES, request(tensor(), outputs=["y"]), "output 0 is 'y': expected a JSON object"),
    (SCORES, request(tensor(), outputs=[{}]), "output 0: name is null"),
    (SCORES, request(tensor(), outputs=[{"name": "z"}]), "unknown output 'z': the model has 'y'"),
    (SCORES, request(tensor(), outputs=[{"name": "y"}] * 2), "output 'y' is given more than once"),
    *[
        (SCORES, request(tensor(), outputs=[{"name": "y", "parameters": parameters}]), message)
        for parameters, message in [
            (1, "output 'y': parameters is 1"),
            ({"binary_data": "yes"}, "output 'y': binary_data is 'yes': expected true or false"),
            ({"classification": 0}, "classification is 0: expected a whole number from 1"),
            ({"classification": 1.0}, "classification is 1.0"),
            ({"classification": True}, "classification is true"),
        ]
    ],
]


@pytest.mark.parametrize(("path", "body", "message"), BAD_JSON)
def test_a_bad_request_is_400_and_reaches_no_backend(
    call: Call, backend: Echo, path: str, body: Any, message: str
) -> None:
    answer = call("POST", path, body)
    assert answer.status == 400
    assert re.search(message, answer.error), answer.error
    assert backend.calls == []
    assert call("POST", SCORES, request(tensor())).status == 200


X = tensor(data=None, parameters={"binary_data_size": 12})
TWELVE = struct.pack("<3f", 1, 2, 3)


@pytest.mark.parametrize(
    ("document", "blob", "length", "message"),
    [
        (request(X), TWELVE, "-1", "'-1': expected a number from 0 to"),
        (request(X), TWELVE, "99999", "'99999': expected a number from 0 to"),
        (request(X), TWELVE, "many", "'many': expected a number"),
        (request(X), TWELVE, "²", "expected a number"),
        (request(X), TWELVE, "3", "malformed JSON"),
        (request(X), TWELVE[:-1], None, "ends early: expected 12 bytes, found 11"),
        (request(X), TWELVE + b"!", None, "unexpected additional data: 1 bytes"),
        (request(tensor()), b"\0", None, "unexpected additional data: 1 bytes"),
        (
            request({**X, "parameters": {"binary_data_size": 8}}),
            TWELVE,
            None,
            r"found 8 bytes of data: FP32 \[1, 3\] takes 12",
        ),
        (
            request({**X, "parameters": {"binary_data_size": -1}}),
            TWELVE,
            None,
            "binary_data_size is -1: expected a whole number from 0",
        ),
        (
            request({**X, "parameters": {"binary_data_size": True}}),
            TWELVE,
            None,
            "binary_data_size is true",
        ),
    ],
)
def test_a_bad_binary_request_is_400(
    call: Call, backend: Echo, document: Any, blob: bytes, length: str | None, message: str
) -> None:
    body, own_length = binary(document, blob)
    answer = call("POST", SCORES, body, **{LENGTH: length or own_length})
    assert answer.status == 400
    assert re.search(message, answer.error), answer.error
    assert backend.calls == []


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        (SCORES, bytes(13), r"13 bytes: FP32 \[-1, 3\] takes a multiple of 12"),
        (SCORES, b"", "shape is 0 at axis 0: expected a whole number from 1"),
        (PAIR, bytes(24), "needs a model with one input: 'pair' has 2"),
        (IMAGE, bytes(3), "3 bytes: UINT8 .* takes a multiple of 2"),
        ("/v2/models/echo-BOOL/infer", b"\1\2", "element 1 is 2: BOOL expects 0 or 1"),
    ],
)
def test_a_bad_raw_request_is_400(call: Call, path: str, data: bytes, message: str) -> None:
    answer = call("POST", path, data, **{LENGTH: "0"})
    assert answer.status == 400
    assert re.search(message, answer.error), answer.error


def test_nan_in_an_answer_is_400_in_json_and_passes_in_binary(call: Call) -> None:
    x = {**X, "shape": [1, 3]}
    for wanted, status in ((False, 400), (True, 200)):
        parameters = {"binary_data_output": wanted}
        body, length = binary(
            request(x, parameters=parameters), struct.pack("<3f", 1, float("nan"), 2)
        )
        answer = call("POST", SCORES, body, **{LENGTH: length})
        assert answer.status == status
    assert answer.body.endswith(struct.pack("<3f", 1, float("nan"), 2))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid-argument", 400),
        ("too-large", 413),
        ("unsupported-operation", 501),
        ("not-found", 503),
        ("timeout", 504),
        ("runtime-error", 500),
        ("unknown", 500),
    ],
)
def test_what_the_provider_refuses_has_a_status(
    call: Call, backend: Echo, code: str, status: int
) -> None:
    backend.fail = InferenceError(code, "out of luck")
    answer = call("POST", SCORES, request(tensor()))
    assert answer.status == status
    assert answer.error == f"inference failed: out of luck ({code})"


ODD = [None, True, -1, 0, 1, 1.5, 2**70, 1e300, "", "x", "FP32", [], [[]], {}, {"": None}, [None]]


def spoil(random: Random, value: Any) -> Any:
    """`value` with one thing in it replaced."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        return {**value, key: spoil(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        index = random.randrange(len(value))
        return [*value[:index], spoil(random, value[index]), *value[index + 1 :]]
    return random.choice(ODD)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_answered_or_refused(call: Call, seed: int) -> None:
    random = Random(seed)
    parameters = {"binary_data_output": False, "a": 1}
    outputs = [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}]
    body = request(A, B, id="1", parameters=parameters, outputs=outputs)
    for _ in range(100):
        spoiled = spoil(random, body)
        for headers in ({}, {LENGTH: str(len(json.dumps(spoiled)))}, {LENGTH: "0"}):
            answer = call("POST", PAIR, spoiled, **headers)
            assert answer.status in (200, 400), (spoiled, answer.body)
            assert answer.status == 200 or answer.error
