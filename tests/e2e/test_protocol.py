"""The Open Inference Protocol, every endpoint and every form, over HTTP.

Specification: https://github.com/kserve/open-inference-protocol, inference_rest.md, and the
extensions of https://github.com/triton-inference-server/server, docs/protocol.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import nnlet
from e2e.models import (
    DIABETES,
    DIGITS,
    IRIS,
    MODELS,
    Model,
    as_binary,
    as_json,
    as_raw,
    assert_close,
    read,
)
from e2e.servers import ROOT
from e2e.wire import HEADER_LENGTH, Answer, Wire, connect

BATCHES = (1, 2, 3, 17)  # around the widths of vector units

model = pytest.mark.parametrize("model", MODELS, ids=str)


def metadata(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": model.input, "datatype": "FP32", "shape": [-1, *model.row]}],
        "outputs": [{"name": model.output, "datatype": "FP32", "shape": [-1, model.answer]}],
    }


def config(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "platform": "onnx_onnxv1",
        "backend": "wasi-nn",
        "max_batch_size": 0,
        "input": [{"name": model.input, "data_type": "TYPE_FP32", "dims": [-1, *model.row]}],
        "output": [{"name": model.output, "data_type": "TYPE_FP32", "dims": [-1, model.answer]}],
    }


SERVER = {
    "name": "nnlet",
    "version": nnlet.__version__,
    "extensions": [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
    ],
}

# Each path that answers GET, with its answer.
ANSWERS: dict[str, Any] = {
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True, "live": True},
    "/v2": SERVER,
    "/v2/": SERVER,
    "/v2/models": {"models": ["diabetes", "digits", "iris"]},
}
for _model in MODELS:
    for _path in (f"/v2/models/{_model}", f"/v2/models/{_model}/versions/1"):
        ANSWERS[_path] = metadata(_model)
        ANSWERS[f"{_path}/ready"] = {"name": _model.name, "ready": True}
        ANSWERS[f"{_path}/config"] = config(_model)


# What is served


@pytest.mark.parametrize("path", ANSWERS)
def test_a_get_is_answered_as_documented(wire: Wire, path: str) -> None:
    answer = wire.get(path)
    found = answer.json()
    if isinstance(found, dict):
        found.pop("properties", None)
    assert (answer.status, found) == (200, ANSWERS[path])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("path", [*ANSWERS, "/openapi.json"])
def test_head_is_a_get_without_its_body(wire: Wire, path: str) -> None:
    answer = wire.ask("HEAD", path)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "application/json"


@model
def test_metadata_says_which_file_is_served(wire: Wire, model: Model) -> None:
    properties = wire.get(f"/v2/models/{model}").json()["properties"]
    file = ROOT / "models" / model.name / "1" / "model.onnx"
    assert properties["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert properties["description"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}', b'{"ready": false}'])
def test_the_repository_index_lists_every_version(wire: Wire, body: bytes) -> None:
    answer = wire.post("/v2/repository/index", body)
    assert (answer.status, answer.json()) == (
        200,
        [
            {"name": name, "version": "1", "state": "READY", "reason": ""}
            for name in ("diabetes", "digits", "iris")
        ],
    )


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_models_cannot_be_loaded_or_unloaded(wire: Wire, verb: str) -> None:
    answer = wire.post(f"/v2/repository/models/iris/{verb}", {})
    assert answer.status == 501
    assert "fixed when the function is built" in answer.json()["error"]


def test_openapi_describes_every_path(wire: Wire) -> None:
    document = wire.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    described = {path.replace("{version}", "1") for path in document["paths"]}
    paths = {path for path in described if "{model}" not in path} | {
        path.replace("{model}", model.name)
        for path in described
        for model in MODELS
        if "{model}" in path
    }
    inference = {f"/v2/models/{m}{v}/infer" for m in MODELS for v in ("", "/versions/1")}
    tables = {f"/predict/{m}{v}" for m in ("diabetes", "iris") for v in ("", "/versions/1")}
    others = {"/", "/digits", "/openapi.json", "/v2/repository/index"}
    assert paths == {*ANSWERS, *inference, *tables, *others}


@pytest.mark.parametrize("name", ["%69ris", "%69%72%69%73", "iris?", "iris?a=b"])
def test_a_path_may_be_escaped_and_have_a_query(wire: Wire, name: str) -> None:
    assert wire.get(f"/v2/models/{name}").json()["name"] == "iris"


# Inference


@model
@pytest.mark.parametrize("size", BATCHES)
def test_answers_are_those_of_onnxruntime(wire: Wire, model: Model, size: int) -> None:
    rows = model.rows(size)
    expected = model.expected(rows)
    found = read(wire.post(model.infer, as_json(model, rows)))
    assert_close(found, expected)
    assert (found.argmax(1) == expected.argmax(1)).all()


@model
@pytest.mark.parametrize("size", BATCHES)
def test_every_form_of_a_request_gets_the_same_answer(wire: Wire, model: Model, size: int) -> None:
    rows = model.rows(size)
    nested = as_json(model, rows)
    flat = as_json(model, rows)
    flat["inputs"][0]["data"] = rows.ravel().tolist()
    expected = read(wire.post(model.infer, nested))
    for body, headers in (
        (json.dumps(flat).encode(), {}),
        as_binary(model, rows),
        as_binary(model, rows, parameters={"binary_data_output": True}),
        as_raw(rows),
    ):
        found = read(wire.ask("POST", model.infer, body, headers))
        # Nine digits are a float32, so that JSON loses nothing.
        np.testing.assert_array_equal(found, expected)


@model
def test_a_version_may_be_named(wire: Wire, model: Model) -> None:
    question = as_json(model, model.rows(1))
    answer = wire.post(f"/v2/models/{model}/versions/1/infer", question).json()
    assert answer == wire.post(model.infer, question).json()
    assert (answer["model_name"], answer["model_version"]) == (model.name, "1")


def test_all_held_out_digits_get_onnxruntimes_class(wire: Wire) -> None:
    rows = DIGITS.rows(1000)
    found = read(wire.ask("POST", DIGITS.infer, *as_raw(rows)))
    assert len(found) > 300
    assert (found.argmax(1) == DIGITS.expected(rows).argmax(1)).all()


def test_a_body_of_exactly_ten_mebibytes_is_served(wire: Wire) -> None:
    rows = np.tile(IRIS.rows(1), (655_360, 1))
    assert rows.nbytes == 10 << 20
    found = read(wire.ask("POST", IRIS.infer, *as_raw(rows)))
    assert_close(found, np.tile(IRIS.expected(rows[:1]), (655_360, 1)))


@pytest.mark.parametrize("id", ["42", "", 'with "quotes" and \\', "ключ 🔑", "a\nb"])
def test_an_id_is_echoed(wire: Wire, id: str) -> None:
    answer = wire.post(IRIS.infer, as_json(IRIS, IRIS.rows(1), id=id)).json()
    assert answer["id"] == id


def test_without_an_id_there_is_none(wire: Wire) -> None:
    assert "id" not in wire.post(IRIS.infer, as_json(IRIS, IRIS.rows(1))).json()


@pytest.mark.parametrize("outputs", [[], None, [{"name": "probabilities"}]])
def test_outputs_may_be_selected(wire: Wire, outputs: Any) -> None:
    answer = wire.post(IRIS.infer, as_json(IRIS, IRIS.rows(1), outputs=outputs))
    assert answer.json()["outputs"][0]["name"] == "probabilities"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_an_outputs_form_overrides_that_of_the_request(wire: Wire, whole: bool, own: bool) -> None:
    question = as_json(
        IRIS,
        IRIS.rows(1),
        parameters={"binary_data_output": whole},
        outputs=[{"name": "probabilities", "parameters": {"binary_data": own}}],
    )
    answer = wire.post(IRIS.infer, question)
    assert (HEADER_LENGTH in answer.headers) == own
    assert ("data" in answer.json()["outputs"][0]) != own
    assert answer.headers["Content-Type"] == (
        "application/octet-stream" if own else "application/json"
    )


# Datatypes that convert to the model's own without loss

SMALL = np.array([[5, 3, 1, 0]])


@pytest.mark.parametrize("datatype", ["INT8", "UINT8", "INT16", "UINT16"])
def test_small_integers_are_taken_for_fp32(wire: Wire, datatype: str) -> None:
    question = as_json(IRIS, SMALL)
    question["inputs"][0]["datatype"] = datatype
    found = read(wire.post(IRIS.infer, question))
    assert_close(found, IRIS.expected(SMALL.astype(np.float32)))


def test_booleans_are_taken_for_fp32(wire: Wire) -> None:
    question = as_json(IRIS, SMALL > 0)
    question["inputs"][0]["datatype"] = "BOOL"
    found = read(wire.post(IRIS.infer, question))
    assert_close(found, IRIS.expected((SMALL > 0).astype(np.float32)))


@pytest.mark.parametrize(
    ("datatype", "packed"),
    [
        ("FP16", SMALL.astype(np.float16).tobytes()),
        ("BF16", (SMALL.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()),
        ("BOOL", b"\1\1\1\0"),
        ("INT16", SMALL.astype(np.int16).tobytes()),
    ],
)
def test_other_datatypes_are_taken_as_binary_data(wire: Wire, datatype: str, packed: bytes) -> None:
    tensor = {
        "name": "features",
        "shape": [1, 4],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(packed)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    found = read(wire.ask("POST", IRIS.infer, head + packed, {HEADER_LENGTH: str(len(head))}))
    values = (SMALL > 0 if datatype == "BOOL" else SMALL).astype(np.float32)
    assert_close(found, IRIS.expected(values))


# Classification


def classified(wire: Wire, model: Model, size: int, k: int, binary: bool = False) -> Answer:
    parameters = {"classification": k, "binary_data": binary}
    outputs = [{"name": model.output, "parameters": parameters}]
    return wire.post(model.infer, as_json(model, model.rows(size), outputs=outputs))


@pytest.mark.parametrize("size", BATCHES)
def test_classes_come_best_first_with_their_labels(wire: Wire, size: int) -> None:
    (output,) = classified(wire, IRIS, size, 2).json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [size, 2])
    labels = ("setosa", "versicolor", "virginica")
    scores = IRIS.expected(IRIS.rows(size))
    best = np.argsort(-scores)[:, :2]
    for text, row, index in zip(
        output["data"], np.repeat(range(size), 2), best.ravel(), strict=True
    ):
        value, found, label = text.split(":")
        assert (int(found), label) == (index, labels[index])
        assert float(value) == pytest.approx(scores[row, index], abs=2e-6)


def test_more_classes_than_there_are_means_all(wire: Wire) -> None:
    (output,) = classified(wire, DIGITS, 1, 99).json()["outputs"]
    assert output["shape"] == [1, 10]
    assert sorted(text.split(":")[2] for text in output["data"]) == list("0123456789")


def test_classes_of_a_model_without_labels_have_none(wire: Wire) -> None:
    (output,) = classified(wire, DIABETES, 1, 1).json()["outputs"]
    value, index = output["data"][0].split(":")
    assert index == "0"
    assert float(value) == pytest.approx(DIABETES.expected(DIABETES.rows(1)).item(), rel=1e-5)


def test_classes_may_come_as_binary_data(wire: Wire) -> None:
    texts = classified(wire, IRIS, 2, 3).json()["outputs"][0]["data"]
    answer = classified(wire, IRIS, 2, 3, binary=True)
    assert answer.json()["outputs"][0]["shape"] == [2, 3]
    encoded = (text.encode() for text in texts)
    assert answer.binary() == b"".join(struct.pack("<I", len(t)) + t for t in encoded)


# Compression

ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
DECODERS = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.mark.parametrize("encoding", [*ENCODERS, "GZIP", "identity"])
def test_a_request_may_be_compressed(wire: Wire, encoding: str) -> None:
    rows = DIGITS.rows(3)
    encode = ENCODERS.get(encoding.lower(), bytes)
    for body, headers in (
        (json.dumps(as_json(DIGITS, rows)).encode(), {}),
        as_binary(DIGITS, rows),
        as_raw(rows),
    ):
        headers = {**headers, "Content-Encoding": encoding}
        found = read(wire.ask("POST", DIGITS.infer, encode(body), headers))
        assert_close(found, DIGITS.expected(rows))


@pytest.mark.parametrize("encoding", DECODERS)
def test_a_large_answer_is_compressed_on_demand(wire: Wire, encoding: str) -> None:
    body, headers = as_raw(DIGITS.rows(200))
    plain = wire.ask("POST", DIGITS.infer, body, headers)
    packed = wire.ask("POST", DIGITS.infer, body, {**headers, "Accept-Encoding": encoding})
    assert packed.headers["Content-Encoding"] == encoding
    assert packed.headers["Vary"].lower() == "accept-encoding"
    assert len(packed.body) < len(plain.body)
    assert DECODERS[encoding](packed.body) == plain.body
    assert packed.headers[HEADER_LENGTH] == plain.headers[HEADER_LENGTH]


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.1, deflate", "deflate"),
        ("*", "gzip"),
        ("br", None),
        ("gzip;q=0", None),
        ("identity", None),
    ],
)
def test_the_client_chooses_how_answers_are_compressed(
    wire: Wire, accepted: str, chosen: str | None
) -> None:
    answer = wire.get("/openapi.json", accept_encoding=accepted)
    assert answer.headers.get("Content-Encoding") == chosen


def test_a_small_answer_stays_as_it_is(wire: Wire) -> None:
    assert "Content-Encoding" not in wire.get("/v2", accept_encoding="gzip").headers


# HTTP


def test_a_body_may_come_in_chunks(wire: Wire) -> None:
    body = json.dumps(as_json(IRIS, IRIS.rows(2))).encode()
    for size in (1, 7, len(body)):
        chunks = (body[i : i + size] for i in range(0, len(body), size))
        found = read(wire.ask("POST", IRIS.infer, chunks))
        assert_close(found, IRIS.expected(IRIS.rows(2)))


def test_a_client_may_wait_until_its_body_is_wanted(url: str) -> None:
    body = json.dumps(as_json(IRIS, IRIS.rows(1))).encode()
    head = f"POST {IRIS.infer} HTTP/1.1\r\nHost: nnlet\r\nContent-Length: {len(body)}\r\n"
    with connect(url) as client, client.makefile("rb") as answer:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert answer.readline() == b"\r\n"
        client.sendall(body)
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "nonsense"])
def test_the_content_type_is_not_needed(wire: Wire, media_type: str) -> None:
    question = as_json(IRIS, IRIS.rows(1))
    assert read(wire.post(IRIS.infer, question, content_type=media_type)).shape == (1, 3)


def test_clients_at_once_get_each_their_own_answer(url: str) -> None:
    count = 24
    rows = DIGITS.rows(count)
    expected = DIGITS.expected(rows)
    together = threading.Barrier(count)

    def ask(index: int) -> None:
        with Wire(url) as wire:
            together.wait()
            for _ in range(5):
                found = read(wire.ask("POST", DIGITS.infer, *as_raw(rows[index : index + 1])))
                assert_close(found, expected[index : index + 1])

    with ThreadPoolExecutor(count) as pool:
        assert len(list(pool.map(ask, range(count)))) == count


# The route of app.py


def test_a_route_of_ones_own_is_served(wire: Wire) -> None:
    rows = DIGITS.rows(5)
    for row, scores in zip(rows, DIGITS.expected(rows), strict=True):
        answer = wire.post("/digits", {"pixels": (row * 16).ravel().tolist()})
        assert answer.status == 200
        assert answer.json() == {
            "digit": scores.argmax(),
            "probability": pytest.approx(scores.max(), abs=1e-4),
        }
