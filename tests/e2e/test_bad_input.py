"""Whatever a client sends: the right refusal, in words, and the next request is answered."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from e2e.models import DIGITS, IRIS, as_binary, as_json, as_raw, assert_close, read
from e2e.wire import HEADER_LENGTH, Answer, Wire, connect
from nnlet.host import Limits

LIMIT = 10 << 20  # bytes in a body

ROWS = IRIS.rows(2)


def assert_it_goes_on(wire: Wire) -> None:
    """The next good request, on the same connection."""
    assert_close(read(wire.ask("POST", IRIS.infer, *as_binary(IRIS, ROWS))), IRIS.expected(ROWS))


def assert_refused(answer: Answer, status: int, *words: str) -> None:
    """`{"error": ...}` with that status, and all of `words` in the message."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert list(document) == ["error"]
    assert not [word for word in words if word not in document["error"]], document["error"]
    assert len(document["error"]) <= 500  # it quotes what was found, and not all of that


# Requests for iris, each with one thing wrong


def tensor(**changes: Any) -> dict[str, Any]:
    """A good input, but for `changes`. A key that becomes None is left out."""
    good = as_json(IRIS, ROWS)["inputs"][0] | changes
    return {key: value for key, value in good.items() if value is not None}


def inputs(*items: Any) -> bytes:
    return json.dumps({"inputs": items}).encode()


def input_with(**changes: Any) -> bytes:
    return inputs(tensor(**changes))


def request_with(**changes: Any) -> bytes:
    return json.dumps(as_json(IRIS, ROWS) | changes).encode()


def output_with(**parameters: Any) -> bytes:
    return request_with(outputs=[{"name": "probabilities", "parameters": parameters}])


LONG = "a" * 10_000

# A line each: what is wrong, the body, and words of the answer, whose status is 400.
BAD_BODIES: list[tuple[str, bytes, tuple[str, ...]]] = [
    # JSON
    ("nothing", b"", ("malformed JSON", "empty")),
    ("space", b" \n ", ("malformed JSON", "empty")),
    ("no JSON", b"features=5.5", ("malformed JSON", "line 1, column 1")),
    ("cut short", request_with()[:-20], ("malformed JSON", "line 1, column")),
    ("two documents", request_with() + b"\n{}", ("malformed JSON", "Extra data", "line 2")),
    ("no UTF-8", b'{"id": "\xff"}', ("not UTF-8", "byte 8", "0xff")),
    ("UTF-16", request_with().decode().encode("utf-16"), ("not UTF-8", "byte 0")),
    ("no object", b"[1, 2]", ("a list", "JSON object")),
    ("deep lists", b"[" * 100_000, ("nested more than",)),
    ("deep closed lists", b"[" * 5000 + b"]" * 5000, ("nested more than",)),
    ("deep objects", b'{"a":' * 50_000, ("nested more than",)),
    ("deep data", input_with(data=None)[:-3] + b',"data":' + b"[" * 9999, ("nested more than",)),
    ("NaN", request_with(id=float("nan")), ("NaN is no JSON number", "line 1, column")),
    ("Infinity", input_with(data=[float("inf")] * 8), ("Infinity is no JSON number",)),
    ("-Infinity", input_with(data=[-float("inf")] * 8), ("-Infinity is no JSON number",)),
    ("many digits", b"[" + b"1" * 100_000 + b"]", ("malformed JSON", "digits")),
    # The request
    ("id is a number", request_with(id=7), ("id is 7", "string")),
    ("parameters is a list", request_with(parameters=[1]), ("parameters is a list",)),
    ("parameter is null", request_with(parameters={"a": None}), ("parameter 'a'", "null")),
    ("reserved parameter", request_with(parameters={"triton_a": 1}), ("triton_a", "reserved")),
    (
        "binary output is a number",
        request_with(parameters={"binary_data_output": 1}),
        ("binary_data_output is 1", "true or false"),
    ),
    ("a long key", request_with(parameters={LONG: []}), ("request: parameter 'aa", "number")),
    # Inputs
    ("no inputs", b"{}", ("inputs is null", "list of tensors")),
    ("inputs is an object", request_with(inputs={}), ("inputs is an object",)),
    ("missing input", inputs(), ("missing input 'features'",)),
    ("unknown input", input_with(name="petals"), ("unknown input 'petals'", "'features'")),
    ("long input", input_with(name=LONG), ("unknown input 'aaa", "the model has 'features'")),
    ("input without a name", input_with(name=None), ("input 0", "name is null")),
    ("input is a number", inputs(3), ("input 0 is 3", "JSON object")),
    ("repeated input", inputs(tensor(), tensor()), ("'features'", "more than once")),
    ("one input too many", inputs(tensor(), tensor(name="x")), ("unknown input 'x'",)),
    # Datatype
    ("other datatype", input_with(datatype="FP64"), ("datatype is 'FP64'", "takes FP32")),
    ("wide integers", input_with(datatype="INT64"), ("datatype is 'INT64'", "takes FP32")),
    ("unknown datatype", input_with(datatype="FP33"), ("datatype is 'FP33'", "takes FP32")),
    ("datatype BYTES", input_with(datatype="BYTES"), ("datatype is 'BYTES'", "takes FP32")),
    ("long datatype", input_with(datatype=LONG), ("datatype is 'aaa", "takes FP32")),
    ("no datatype", input_with(datatype=None), ("datatype is null", "takes FP32")),
    ("datatype is a list", input_with(datatype=["FP32"]), ("datatype is a list",)),
    ("FP16 in JSON", input_with(datatype="FP16"), ("FP16 has no JSON form", "binary_data_size")),
    # Shape
    ("no shape", input_with(shape=None), ("shape is null", "[-1, 4]")),
    ("shape is a number", input_with(shape=8), ("shape is 8", "[-1, 4]")),
    ("rank 1", input_with(shape=[8]), ("rank 1", "rank 2", "[-1, 4]")),
    ("rank 10,000", input_with(shape=[1] * 10_000), ("of rank 10000", "rank 2")),
    ("rank 3", input_with(shape=[1, 2, 4]), ("rank 3", "rank 2")),
    ("five features", input_with(shape=[2, 5]), ("[2, 5]", "4 at axis 1")),
    ("empty batch", input_with(shape=[0, 4], data=[]), ("0 at axis 0",)),
    ("negative size", input_with(shape=[-1, 4]), ("-1 at axis 0",)),
    ("size 2.0", input_with(shape=[2.0, 4]), ("2.0 at axis 0", "whole number")),
    ("size true", input_with(shape=[True, 4]), ("true at axis 0", "whole number")),
    ("size '2'", input_with(shape=["2", 4]), ("'2' at axis 0", "whole number")),
    ("size of 31 bits", input_with(shape=[2**31 - 1, 4]), ("2147483647",)),
    ("size of 32 bits", input_with(shape=[2**31, 4]), ("2147483648 at axis 0",)),
    ("size of 64 bits", input_with(shape=[2**62, 4]), (f"{2**62} at axis 0",)),
    ("size of 100 digits", input_with(shape=[10**100, 4]), ("at axis 0", "whole number")),
    # Data
    ("no data", input_with(data=None), ("neither data nor binary_data_size",)),
    ("data is a number", input_with(data=1.5), ("data is 1.5", "list")),
    ("no elements", input_with(data=[]), ("data has 0 elements", "[2, 4] has 8")),
    ("too few elements", input_with(data=[1.5] * 7), ("data has 7 elements", "[2, 4] has 8")),
    ("too many elements", input_with(data=[1.5] * 9), ("data has 9 elements", "[2, 4] has 8")),
    ("a row too many", input_with(data=[[1.5] * 4] * 3), ("a list of 3", "[2, 4]")),
    ("uneven rows", input_with(data=[[1.5] * 4, [1.5] * 3]), ("a list of 3", "item 1")),
    ("half nested", input_with(data=[[1.5] * 4, 1.5]), ("1.5", "a list of 4")),
    ("too deep", input_with(data=[[[1.5]] * 4] * 2), ("element 0 is a list", "a number")),
    ("a string", input_with(data=["1.5"] * 8), ("element 0 is '1.5'", "a number")),
    ("null", input_with(data=[1.5] * 7 + [None]), ("element 7 is null", "a number")),
    ("a boolean", input_with(data=[True] * 8), ("element 0 is true", "a number")),
    ("an object", input_with(data=[{}] * 8), ("element 0 is an object",)),
    ("beyond FP32", input_with(data=[1.5] * 3 + [1e39] * 5), ("element 3", "range for FP32")),
    ("beyond FP64", input_with().replace(b"5.5", b"1e999"), ("element 0", "range for FP32")),
    ("beyond 64 bits", input_with(data=[10**400] * 8), ("element 0", "range for FP32")),
    (
        "negative UINT8",
        input_with(datatype="UINT8", data=[0] * 7 + [-1]),
        ("element 7 is -1", "UINT8"),
    ),
    ("300 as UINT8", input_with(datatype="UINT8", data=[300] * 8), ("is 300", "range for UINT8")),
    ("a fraction as INT8", input_with(datatype="INT8"), ("INT8 expects a whole number",)),
    ("numbers as BOOL", input_with(datatype="BOOL", data=[1] * 8), ("BOOL expects true or false",)),
    (
        "shared memory",
        input_with(data=None, parameters={"shared_memory_region": "a"}),
        ("shared_memory_region",),
    ),
    # Outputs
    ("outputs is a string", request_with(outputs="all"), ("outputs is 'all'", "list")),
    ("unknown output", request_with(outputs=[{"name": "x"}]), ("output 'x'", "'probabilities'")),
    ("long output", request_with(outputs=[{"name": LONG}]), ("'aaa", "has 'probabilities'")),
    ("output without a name", request_with(outputs=[{}]), ("output 0", "name is null")),
    (
        "repeated output",
        request_with(outputs=[{"name": "probabilities"}] * 2),
        ("output 'probabilities'", "more than once"),
    ),
    ("binary is a string", output_with(binary_data="yes"), ("binary_data is 'yes'",)),
    ("no classes", output_with(classification=0), ("classification is 0", "whole number")),
    ("a word of classes", output_with(classification="3"), ("classification is '3'",)),
]


@pytest.mark.parametrize(
    ("body", "words"), [line[1:] for line in BAD_BODIES], ids=[line[0] for line in BAD_BODIES]
)
def test_a_bad_body_is_refused_in_words(wire: Wire, body: bytes, words: tuple[str, ...]) -> None:
    assert_refused(wire.post(IRIS.infer, body), 400, *words)
    assert_it_goes_on(wire)


# Binary data


def binary(size: Any, blob: bytes, head: int | str | None = None) -> tuple[bytes, dict[str, str]]:
    """A request that announces `size` bytes and brings `blob`."""
    text = input_with(data=None, parameters={"binary_data_size": size})
    return text + blob, {HEADER_LENGTH: str(len(text) if head is None else head)}


BLOB = ROWS.tobytes()

BAD_BINARY: list[tuple[str, tuple[bytes, dict[str, str]], tuple[str, ...]]] = [
    ("header beyond the body", binary(32, BLOB, 10**6), ("Content-Length is '1000000'", "from 0")),
    ("header of 40 digits", binary(32, BLOB, "9" * 40), ("expected a number from 0",)),
    ("header of 9,999 digits", binary(32, BLOB, "1" * 9999), ("Content-Length is '111",)),
    ("negative header", binary(32, BLOB, -1), ("Content-Length is '-1'",)),
    ("header is a word", binary(32, BLOB, "all"), ("Content-Length is 'all'",)),
    ("header is empty", binary(32, BLOB, ""), ("Content-Length is ''",)),
    ("header in Arabic digits", binary(32, BLOB, "\xb2"), ("expected a number from 0",)),
    ("header too short", binary(32, BLOB, 10), ("malformed JSON", "column")),
    ("header too long", binary(32, BLOB, 120), ("not UTF-8",)),
    ("truncated", binary(32, BLOB[:-1]), ("ends early", "expected 32 bytes, found 31")),
    ("absent", binary(32, b""), ("ends early", "expected 32 bytes, found 0")),
    ("trailing", binary(32, BLOB + b"\0"), ("additional data: 1 bytes",)),
    ("trailing JSON alone", (request_with() + b"\0", {HEADER_LENGTH: "0"}), ("raw input",)),
    ("size too small", binary(31, BLOB[:-1]), ("found 31 bytes", "takes 32")),
    ("size too large", binary(36, BLOB + bytes(4)), ("found 36 bytes", "takes 32")),
    ("size negative", binary(-32, BLOB), ("binary_data_size is -32", "whole number")),
    ("size is a string", binary("32", BLOB), ("binary_data_size is '32'",)),
    ("size is true", binary(True, BLOB), ("binary_data_size is true",)),
    (
        "data and binary data",
        (input_with(parameters={"binary_data_size": 32}), {}),
        ("both data and binary_data_size",),
    ),
    ("announced, no header", (binary(32, BLOB)[0], {}), ("not UTF-8",)),
    ("raw, cut short", as_raw(ROWS.view(np.uint8)[:, :15]), ("30 bytes", "multiple of 16")),
    ("raw, empty", (b"", {HEADER_LENGTH: "0"}), ("0 at axis 0",)),
]


@pytest.mark.parametrize(
    ("request_", "words"), [line[1:] for line in BAD_BINARY], ids=[line[0] for line in BAD_BINARY]
)
def test_bad_binary_data_is_refused_in_words(
    wire: Wire, request_: tuple[bytes, dict[str, str]], words: tuple[str, ...]
) -> None:
    assert_refused(wire.ask("POST", IRIS.infer, *request_), 400, *words)
    assert_it_goes_on(wire)


def test_a_boolean_byte_is_0_or_1(wire: Wire) -> None:
    text = input_with(datatype="BOOL", data=None, parameters={"binary_data_size": 8})
    headers = {HEADER_LENGTH: str(len(text))}
    answer = wire.ask("POST", IRIS.infer, text + b"\0\1\0\1\0\2\0\1", headers)
    assert_refused(answer, 400, "element 5 is 2", "BOOL expects 0 or 1")
    assert_it_goes_on(wire)


# Paths and methods


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nowhere", ("no such path: /nowhere", "/openapi.json")),
        ("/v1/models/iris", ("no such path",)),
        ("/v2/health", ("no such path",)),
        ("/v2/models/", ("no such path",)),
        ("/v2/models/iris/", ("no such path",)),
        ("//v2", ("no such path",)),
        ("/v2/models/iri", ("no model 'iri'", "diabetes, digits, iris")),
        ("/v2/models/iris@1", ("no model 'iris@1'",)),
        ("/v2/models/..%2Firis", ("no model '../iris'",)),
        ("/v2/models/%zz", ("no model '%zz'",)),
        ("/v2/models/%00", ("no model",)),
        ("/v2/models/%F0%9F%94%91%ff", ("no model '🔑\N{REPLACEMENT CHARACTER}'",)),
        ("/v2/models/iris/versions/2", ("'iris' has no version '2'", "it has 1")),
        ("/v2/models/iris/versions/01/ready", ("no version '01'",)),
        ("/v2/models/iris/versions/latest/config", ("no version 'latest'",)),
        ("/v2/models/iris/versions//ready", ("no such path",)),
        (f"/{LONG}", ("no such path", "/openapi.json")),
        (f"/v2/models/{LONG}", ("no model 'aaa", "diabetes, digits, iris")),
        (f"/v2/models/iris/versions/{LONG}", ("'iris' has no version", "it has 1")),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_an_unknown_path_is_404(wire: Wire, path: str, words: tuple[str, ...]) -> None:
    assert_refused(wire.get(path), 404, *words)
    assert_it_goes_on(wire)


@pytest.mark.parametrize("path", ["/v2/models/iri/infer", "/v2/models/iris/versions/2/infer"])
def test_an_unknown_model_or_version_cannot_be_asked(wire: Wire, path: str) -> None:
    assert_refused(wire.post(path, request_with()), 404, "no ")
    assert_it_goes_on(wire)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/iris", "/openapi.json"])
def test_what_is_read_takes_no_other_method(wire: Wire, method: str, path: str) -> None:
    answer = wire.ask(method, path)
    assert_refused(answer, 405, f"method {method}", path, "GET, HEAD")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert_it_goes_on(wire)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "BREW"])
@pytest.mark.parametrize("path", [IRIS.infer, "/v2/repository/index", "/digits"])
def test_what_takes_a_body_takes_only_post(wire: Wire, method: str, path: str) -> None:
    answer = wire.ask(method, path)
    assert_refused(answer, 405, f"method {method}", "POST")
    assert answer.headers["Allow"] == "POST"
    assert_it_goes_on(wire)


def test_head_is_refused_without_a_body_where_get_is(wire: Wire) -> None:
    answer = wire.ask("HEAD", IRIS.infer)
    assert (answer.status, answer.body) == (405, b"")
    assert wire.ask("HEAD", "/v2/models/iri").status == 404
    assert_it_goes_on(wire)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", ("malformed JSON",)),
        (b"[]", ("no JSON object",)),
        (b'{"ready": 1}', ("ready is neither true nor false",)),
    ],
)
def test_the_repository_index_checks_its_request(
    wire: Wire, body: bytes, words: tuple[str, ...]
) -> None:
    assert_refused(wire.post("/v2/repository/index", body), 400, *words)
    assert_it_goes_on(wire)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ("malformed JSON",)),
        (b"7", ('expected {"pixels"', "64 numbers")),
        (b'{"pixels": [1, 2]}', ("64 numbers",)),
        (b'{"pixels": [' + b'"a",' * 63 + b'"a"]}', ("element 0 is 'a'", "a number")),
        (b'{"pixels": [' + b"17," * 63 + b"17]}", ("outside of 0 to 16",)),
    ],
)
def test_a_route_of_ones_own_refuses_too(wire: Wire, body: bytes, words: tuple[str, ...]) -> None:
    assert_refused(wire.post("/digits", body), 400, *words)
    assert_it_goes_on(wire)


# Compression


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense", LONG])
def test_an_unknown_encoding_is_415_and_says_which_are_known(wire: Wire, encoding: str) -> None:
    answer = wire.post(IRIS.infer, request_with(), content_encoding=encoding)
    assert_refused(answer, 415, f"Content-Encoding '{encoding[:50]}", "gzip, deflate")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"
    assert_it_goes_on(wire)


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("gzip", request_with(), ("not valid gzip",)),
        ("gzip", zlib.compress(request_with()), ("not valid gzip",)),
        ("gzip", b"", ("not valid gzip", "ends after 0 bytes")),
        ("gzip", gzip.compress(request_with())[:-9], ("not valid gzip", "inside the data")),
        ("gzip", gzip.compress(request_with())[:-8] + bytes(8), ("not valid gzip",)),
        ("gzip", gzip.compress(request_with()) + b"x", ("1 bytes follow its end",)),
        ("deflate", gzip.compress(request_with()), ("not valid deflate",)),
        ("deflate", zlib.compress(request_with())[2:-4], ("not valid deflate",)),
        ("deflate", zlib.compress(request_with())[:-1], ("not valid deflate", "inside the data")),
        ("deflate", zlib.compress(b"{"), ("malformed JSON",)),
    ],
)
def test_a_corrupt_encoding_is_refused_in_words(
    wire: Wire, encoding: str, body: bytes, words: tuple[str, ...]
) -> None:
    assert_refused(wire.post(IRIS.infer, body, content_encoding=encoding), 400, *words)
    assert_it_goes_on(wire)


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15)])
def test_a_decompression_bomb_is_defused(wire: Wire, encoding: str, window_bits: int) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    assert len(bomb) < 1 << 17
    answer = wire.post(IRIS.infer, bomb, content_encoding=encoding)
    assert_refused(answer, 413, f"limit here is {LIMIT}")
    assert_it_goes_on(wire)


# Size


def test_a_body_above_the_limit_is_413(wire: Wire) -> None:
    answer = wire.post(IRIS.infer, bytes(LIMIT + 1))
    assert_refused(answer, 413, f"{LIMIT + 1} bytes", f"limit here is {LIMIT}")
    assert_it_goes_on(wire)


def test_a_body_that_grows_above_the_limit_is_413(wire: Wire) -> None:
    answer = wire.post(IRIS.infer, (bytes(1 << 16) for _ in range(200)))
    assert_refused(answer, 413, f"limit here is {LIMIT}")
    assert_it_goes_on(wire)


def test_a_terabyte_is_refused_before_it_comes(url: str) -> None:
    with connect(url) as client, client.makefile("rb") as answer:
        client.sendall(head(IRIS.infer, 10**12))
        assert b" 413 " in answer.readline()
    with Wire(url) as wire:
        assert_it_goes_on(wire)


def test_a_batch_is_computed_or_refused_for_its_size(wire: Wire) -> None:
    rows = np.tile(DIGITS.rows(1), (40_960, 1, 1, 1))
    answer = wire.ask("POST", DIGITS.infer, *as_raw(rows))
    if answer.status == 200:
        assert len(read(answer)) == len(rows)
    else:  # layers in between need many times the memory of the input
        assert_refused(answer, 413, "memory")
    assert_it_goes_on(wire)


# What no HTTP client does


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: nnlet\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a client that speaks TLS
        b"GET /v2\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\nHost: nnlet\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: nnlet\r\nno header\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: nnlet\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v2 HTTP/1.1\r\nHost: nnlet\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST %s HTTP/1.1\r\nHost: nnlet\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"
        % IRIS.infer.encode(),
        b"GET /v2 HTTP/1.1\r\nHost: nnlet\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    ],
    ids=[
        *("TLS", "HTTP 0.9", "HTTP 9.9", "no header", "negative length", "two lengths"),
        *("bad chunk", "1,000 headers"),
    ],
)
def test_what_is_no_http_is_refused_and_forgotten(url: str, request_: bytes) -> None:
    with connect(url) as client:
        client.sendall(request_)
        assert client.makefile("rb").readline()[:11] in (b"HTTP/1.1 40", b"HTTP/1.1 43")
    with Wire(url) as wire:
        assert_it_goes_on(wire)


def times_more_than_instances() -> Iterator[int]:
    """So often that, were one instance lost each time, none would be left to answer."""
    return iter(range(2 * Limits().concurrency))


def leave(client: socket.socket) -> None:
    """Go away at once, by a reset: not even the end of the stream is announced."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("sent", [0, 1, len(request_with()) - 1])
@pytest.mark.parametrize("go", [leave, socket.socket.close], ids=["reset", "close"])
def test_a_client_may_go_away_while_it_asks(
    url: str, sent: int, go: Callable[[socket.socket], None]
) -> None:
    body = request_with()
    for _ in times_more_than_instances():
        client = connect(url)
        client.sendall(head(IRIS.infer, len(body)) + body[:sent])
        go(client)
    with Wire(url) as wire:
        assert_it_goes_on(wire)


@pytest.mark.parametrize("taken", [0, 1000])
def test_a_client_may_go_away_while_it_is_answered(url: str, taken: int) -> None:
    body = np.tile(ROWS, (200_000, 1)).tobytes()  # 6 MB, whose answer no buffer holds
    start = head(IRIS.infer, len(body))[:-2] + f"{HEADER_LENGTH}: 0\r\n\r\n".encode()
    for _ in times_more_than_instances():
        client = connect(url)
        client.sendall(start + body)
        client.recv(taken or 1, 0 if taken else socket.MSG_PEEK)
        leave(client)
    with Wire(url) as wire:
        assert_it_goes_on(wire)


def test_a_client_may_ask_and_never_listen(url: str) -> None:
    question = head(IRIS.infer, len(request_with())) + request_with()
    for _ in times_more_than_instances():
        client = connect(url)
        client.sendall(question * 3)
        leave(client)
    with Wire(url) as wire:
        assert_it_goes_on(wire)


def test_a_slow_body_keeps_nobody_waiting(url: str) -> None:
    body, headers = as_binary(IRIS, ROWS)
    pieces = [body[:1], body[1:100], body[100:-1], body[-1:]]
    start = head(IRIS.infer, len(body))[:-2]
    with connect(url) as slow, Wire(url) as wire:
        slow.sendall(start + f"{HEADER_LENGTH}: {headers[HEADER_LENGTH]}\r\n\r\n".encode())
        for piece in pieces:
            assert_it_goes_on(wire)
            slow.sendall(piece)
        assert slow.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_requests_may_be_sent_ahead_of_their_answers(url: str) -> None:
    bad, good = b"[", request_with()
    with connect(url) as client, client.makefile("rb") as answers:
        for body in (good, bad, good, bad):
            client.sendall(head(IRIS.infer, len(body)) + body)
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        statuses = re.findall(rb"HTTP/1.1 (\d+)", answers.read())
    assert statuses == [b"200", b"400", b"200", b"400", b"200"]
