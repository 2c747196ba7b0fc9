import gzip
import zlib

import pytest

from nnlet.errors import HTTPError
from nnlet.guest.compression import MIN_SIZE, choose, compress, decompress
from nnlet.guest.messages import Request, Response

TEXT = b"tensor " * 500


def request(body: bytes, encoding: str) -> Request:
    return Request("POST", "/", {"content-encoding": encoding}, body)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        (" GZip ", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("identity", TEXT),
        ("", TEXT),
    ],
)
def test_a_body_is_decoded(encoding: str, body: bytes) -> None:
    sent = request(body, encoding)
    decompress(sent, len(TEXT))
    assert sent.body == TEXT


@pytest.mark.parametrize(
    ("encoding", "body", "status", "message"),
    [
        ("br", TEXT, 415, "'br' is not supported: expected gzip, deflate"),
        ("gzip, deflate", TEXT, 415, "'gzip, deflate' is not supported"),
        ("gzip", TEXT, 400, "not valid gzip"),
        ("gzip", b"", 400, "not valid gzip: it ends after 0 bytes"),
        ("deflate", gzip.compress(TEXT), 400, "not valid deflate"),
        ("gzip", gzip.compress(TEXT)[:-1], 400, "inside the data"),
        ("gzip", gzip.compress(TEXT) + b"more", 400, "4 bytes follow its end"),
        ("gzip", gzip.compress(TEXT + b"x"), 413, "the limit here is 3500"),
        ("deflate", zlib.compress(b"\0" * 10_000_000), 413, "the limit here is 3500"),
    ],
)
def test_a_bad_body_is_refused(encoding: str, body: bytes, status: int, message: str) -> None:
    with pytest.raises(HTTPError, match=message) as caught:
        decompress(request(body, encoding), len(TEXT))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate;q=1.0, GZIP;q=0.5", "deflate"),
        ("gzip ; q = 0 , deflate; q=0.1", "deflate"),
        ("gzip;q=0", ""),
        ("br, zstd", ""),
        ("identity", ""),
        ("*", "gzip"),
        ("*;q=0.5, gzip;q=0", "deflate"),
        ("", ""),
        ("gzip;q=lots", ""),
    ],
)
def test_the_preferred_encoding_is_chosen(accepted: str, encoding: str) -> None:
    assert choose(accepted) == encoding


@pytest.mark.parametrize(("accepted", "bits"), [("gzip", 31), ("deflate", 15)])
def test_a_long_answer_is_encoded(accepted: str, bits: int) -> None:
    response = Response(TEXT)
    compress(Request("GET", "/", {"accept-encoding": accepted}), response)
    assert zlib.decompress(response.body, bits) == TEXT
    assert response.headers == (("content-encoding", accepted), ("vary", "accept-encoding"))


@pytest.mark.parametrize(
    ("accepted", "body"), [("gzip", b"x" * (MIN_SIZE - 1)), ("br", TEXT), ("gzip;q=0", TEXT)]
)
def test_a_short_or_unwanted_encoding_is_left_out(accepted: str, body: bytes) -> None:
    response = Response(body)
    compress(Request("GET", "/", {"accept-encoding": accepted}), response)
    assert (response.body, response.headers) == (body, ())
