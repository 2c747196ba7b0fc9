"""The client that people have, NVIDIA's tritonclient, doing all it offers for what we serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http.aio
from tritonclient.http import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
)
from tritonclient.utils import InferenceServerException

import nnlet
from e2e.models import DIGITS, IRIS, MODELS, Array, Model, assert_close
from e2e.wire import HEADER_LENGTH, Wire


@pytest.fixture
def client(url: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(url.removeprefix("http://"), concurrency=4) as client:
        yield client


def given(model: Model, rows: Array, binary: bool = True, datatype: str = "FP32") -> InferInput:
    tensor = InferInput(model.input, list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def wanted(model: Model, binary: bool = True, classes: int = 0) -> InferRequestedOutput:
    return InferRequestedOutput(model.output, binary_data=binary, class_count=classes)


# Health, metadata, repository


def test_server_and_models_are_ready(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for model in MODELS:
        assert client.is_model_ready(model.name)
        assert client.is_model_ready(model.name, "1")
    assert not client.is_model_ready("iri")
    assert not client.is_model_ready("iris", "2")


def test_server_metadata(client: InferenceServerClient) -> None:
    found = client.get_server_metadata()
    assert (found["name"], found["version"]) == ("nnlet", nnlet.__version__)
    assert "binary_tensor_data" in found["extensions"]


@pytest.mark.parametrize("version", ["", "1"])
def test_model_metadata_and_config(client: InferenceServerClient, version: str) -> None:
    metadata = client.get_model_metadata("digits", version)
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    config = client.get_model_config("digits", version)
    assert config["max_batch_size"] == 0
    assert config["output"] == [
        {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [-1, 10]}
    ]


def test_repository_index(client: InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert [(row["name"], row["state"]) for row in index] == [
        ("diabetes", "READY"),
        ("digits", "READY"),
        ("iris", "READY"),
    ]


def test_headers_and_query_parameters_do_no_harm(client: InferenceServerClient) -> None:
    more = {"headers": {"X-Trace": "1"}, "query_params": {"a": "b c", "d": [1, 2]}}
    assert client.is_server_live(**more)
    result = client.infer("iris", [given(IRIS, IRIS.rows(1))], **more)
    assert result.get_response()["model_name"] == "iris"


# Inference


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("binary_input", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("binary_output", [True, False], ids=["to-binary", "to-json"])
def test_infer(
    client: InferenceServerClient, model: Model, binary_input: bool, binary_output: bool
) -> None:
    rows = model.rows(5)
    result = client.infer(
        model.name, [given(model, rows, binary_input)], outputs=[wanted(model, binary_output)]
    )
    assert_close(result.as_numpy(model.output), model.expected(rows))
    assert result.as_numpy("no such output") is None
    assert ("data" in result.get_output(model.output)) != binary_output


def test_infer_without_outputs_gives_all_as_binary(client: InferenceServerClient) -> None:
    result = client.infer("iris", [given(IRIS, IRIS.rows(2))], "1", request_id="7")
    assert_close(result.as_numpy("probabilities"), IRIS.expected(IRIS.rows(2)))
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("7", "1")
    assert response["outputs"][0]["parameters"] == {"binary_data_size": 24}


@pytest.mark.parametrize("request_encoding", ["gzip", "deflate", None])
@pytest.mark.parametrize("response_encoding", ["gzip", "deflate", None])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_infer_compressed(
    client: InferenceServerClient,
    request_encoding: str | None,
    response_encoding: str | None,
    binary: bool,
) -> None:
    rows = DIGITS.rows(100)
    result = client.infer(
        "digits",
        [given(DIGITS, rows, binary)],
        outputs=[wanted(DIGITS, binary)],
        request_compression_algorithm=request_encoding,
        response_compression_algorithm=response_encoding,
    )
    assert_close(result.as_numpy("probabilities"), DIGITS.expected(rows))


def test_infer_with_what_only_triton_makes_use_of(client: InferenceServerClient) -> None:
    result = client.infer(
        "iris",
        [given(IRIS, IRIS.rows(1))],
        sequence_id=3,
        sequence_start=True,
        sequence_end=True,
        priority=1,
        timeout=10**6,
        parameters={"note": "a", "weight": 0.5, "flag": True},
    )
    assert_close(result.as_numpy("probabilities"), IRIS.expected(IRIS.rows(1)))


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("FP16", np.float16), ("UINT8", np.uint8), ("INT16", np.int16)]
)
def test_infer_from_other_datatypes(
    client: InferenceServerClient, datatype: str, dtype: Any
) -> None:
    rows = np.array([[5, 3, 1, 0], [6, 3, 5, 2]], dtype)
    result = client.infer("iris", [given(IRIS, rows, datatype=datatype)])
    assert_close(result.as_numpy("probabilities"), IRIS.expected(rows.astype(np.float32)))


def test_a_part_of_a_larger_array_is_sent_whole(client: InferenceServerClient) -> None:
    rows = DIGITS.rows(64)[::8]
    result = client.infer("digits", [given(DIGITS, rows)])
    assert_close(result.as_numpy("probabilities"), DIGITS.expected(rows))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_classification(client: InferenceServerClient, binary: bool) -> None:
    rows = IRIS.rows(3)
    result = client.infer("iris", [given(IRIS, rows)], outputs=[wanted(IRIS, binary, classes=2)])
    found = result.as_numpy("probabilities")
    assert (found.dtype, found.shape) == (np.object_, (3, 2))
    texts = [text.decode() if binary else text for text in found[:, 0]]
    labels = ("setosa", "versicolor", "virginica")
    best = IRIS.expected(rows).argmax(1)
    assert [text.split(":")[1:] for text in texts] == [[str(i), labels[i]] for i in best]


def test_async_infer(client: InferenceServerClient) -> None:
    rows = DIGITS.rows(16)
    pending = [
        client.async_infer("digits", [given(DIGITS, row[None])], request_id=str(index))
        for index, row in enumerate(rows)
    ]
    for index, (request, expected) in enumerate(zip(pending, DIGITS.expected(rows), strict=True)):
        result = request.get_result()
        assert result.get_response()["id"] == str(index)
        assert_close(result.as_numpy("probabilities")[0], expected)


def test_its_own_request_and_response_bodies(wire: Wire) -> None:
    body, size = InferenceServerClient.generate_request_body([given(IRIS, IRIS.rows(2))])
    answer = wire.ask("POST", IRIS.infer, body, {HEADER_LENGTH: str(size)})
    result = InferenceServerClient.parse_response_body(
        answer.body, header_length=int(answer.headers[HEADER_LENGTH])
    )
    assert_close(result.as_numpy("probabilities"), IRIS.expected(IRIS.rows(2)))


def test_the_asyncio_client(url: str) -> None:
    async def talk() -> InferResult:
        address = url.removeprefix("http://")
        async with tritonclient.http.aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("iris"))["name"] == "iris"
            assert (await client.get_model_config("iris"))["name"] == "iris"
            assert len(await client.get_model_repository_index()) == len(MODELS)
            with pytest.raises(InferenceServerException, match="no model 'iri'"):
                await client.get_model_metadata("iri")
            return await client.infer(
                "iris",
                [given(IRIS, IRIS.rows(2))],
                request_compression_algorithm="gzip",
                response_compression_algorithm="gzip",
            )

    result = asyncio.run(talk())
    assert_close(result.as_numpy("probabilities"), IRIS.expected(IRIS.rows(2)))


# What goes wrong is raised, in our words

Call = Callable[[InferenceServerClient], Any]

ROWS = IRIS.rows(1)
FAILURES: dict[str, tuple[Call, str, str]] = {
    "model": (lambda c: c.get_model_metadata("iri"), "404", "no model 'iri'"),
    "escaped model": (lambda c: c.get_model_metadata("a b"), "404", "no model 'a b'"),
    "version": (lambda c: c.get_model_config("iris", "9"), "404", "has no version '9'"),
    "infer model": (lambda c: c.infer("iri", [given(IRIS, ROWS)]), "404", "no model 'iri'"),
    "no input": (lambda c: c.infer("iris", []), "400", "missing input 'features'"),
    "input": (
        lambda c: c.infer("iris", [given(DIGITS, DIGITS.rows(1))]),
        "400",
        "unknown input 'image': the model has 'features'",
    ),
    "datatype": (
        lambda c: c.infer("iris", [given(IRIS, ROWS.astype(np.float64), datatype="FP64")]),
        "400",
        "datatype is 'FP64': the model takes FP32",
    ),
    "shape": (
        lambda c: c.infer("iris", [given(IRIS, ROWS[:, :3])]),
        "400",
        "shape is [1, 3]: expected 4 at axis 1",
    ),
    "output": (
        lambda c: c.infer("iris", [given(IRIS, ROWS)], outputs=[wanted(DIGITS), wanted(IRIS)]),
        "400",
        "output 'probabilities' is given more than once",
    ),
    "async": (
        lambda c: c.async_infer("iri", [given(IRIS, ROWS)]).get_result(),
        "404",
        "no model 'iri'",
    ),
    "load": (lambda c: c.load_model("iris"), "501", "fixed when the function is built"),
    "unload": (lambda c: c.unload_model("iris"), "501", "fixed when the function is built"),
    "statistics": (lambda c: c.get_inference_statistics(), "404", "no "),
    "log": (lambda c: c.get_log_settings(), "404", "no such path"),
    "trace": (lambda c: c.get_trace_settings(), "404", "no such path"),
    "shared memory": (lambda c: c.get_system_shared_memory_status(), "404", "no such path"),
}


@pytest.mark.parametrize(("call", "status", "words"), FAILURES.values(), ids=FAILURES)
def test_failures_are_raised_with_their_reason(
    client: InferenceServerClient, call: Call, status: str, words: str
) -> None:
    with pytest.raises(InferenceServerException) as raised:
        call(client)
    assert raised.value.status() == status
    assert words in raised.value.message()
    assert client.is_server_live()


def test_a_request_for_shared_memory_is_refused(client: InferenceServerClient) -> None:
    tensor = InferInput("features", [1, 4], "FP32")
    tensor.set_shared_memory("region", 16)
    with pytest.raises(InferenceServerException, match="shared_memory_region"):
        client.infer("iris", [tensor])
    with pytest.raises(InferenceServerException, match="shared_memory_region"):
        output = InferRequestedOutput("probabilities")
        output.set_shared_memory("region", 12)
        client.infer("iris", [given(IRIS, ROWS)], outputs=[output])
