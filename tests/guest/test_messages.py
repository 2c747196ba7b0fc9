import pytest

from nnlet.errors import HTTPError
from nnlet.guest.messages import Request, Response, check_length, error_response


def test_a_request_gives_its_body_as_json() -> None:
    assert Request("POST", "/", body=b'{"a": [1]}').json() == {"a": [1]}


def test_a_response_is_compact_json() -> None:
    response = Response.json({"a": [1, "ä"]})
    assert response.body == '{"a":[1,"ä"]}'.encode()
    assert (response.status, response.content_type) == (200, "application/json")


def test_half_a_surrogate_pair_goes_back_as_it_came() -> None:
    assert Response.json("\ud800").body == b'"\\ud800"'


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError):
        Response.json(float("nan"))


def test_an_error_becomes_json_with_its_status_and_headers() -> None:
    response = error_response(HTTPError(405, "no", (("allow", "GET"),)))
    assert response.status == 405
    assert response.body == b'{"error":"no"}'
    assert response.headers == (("allow", "GET"),)


def test_an_announced_length_is_read() -> None:
    assert check_length({}, 10) is None
    assert check_length({"content-length": "10"}, 10) == 10


@pytest.mark.parametrize(
    ("announced", "status"), [("11", 413), ("-1", 400), ("x", 400), ("", 400), ("²", 400)]
)
def test_a_wrong_or_large_length_is_refused(announced: str, status: int) -> None:
    with pytest.raises(HTTPError) as caught:
        check_length({"content-length": announced}, 10)
    assert caught.value.status == status
