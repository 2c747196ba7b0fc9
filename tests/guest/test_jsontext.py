from random import Random

import pytest

from nnlet.errors import HTTPError
from nnlet.guest.jsontext import MAX_DEPTH, parse, quote

DEEP = MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t[1, 2.5, true, null, "a"] \n', [1, 2.5, True, None, "a"]),
        ('"ä\\u00e4"'.encode(), "ää"),
        (b'"NaN [[[["', "NaN [[[["),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        pytest.param(b"[" + b"[1,2,3]," * 1000 + b"[1]]", None, id="rows"),
        (b'["' + b"[" * 100 + b'", "\\\\", "\\"' + b"{" * 100 + b'"]', None),
    ],
)
def test_json_is_parsed(body: bytes, value: object) -> None:
    parsed = parse(body)
    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b" \n ", "the body is empty"),
        (b"{", "Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'{\n "a": }', "Expecting value at line 2, column 7"),
        (b"[1,2] 3", "Extra data at line 1, column 7"),
        (b"nonsense", "Expecting value at line 1, column 1"),
        (b'["NaN", "\\"NaN", NaN]', "NaN is no JSON number at line 1, column 18"),
        (b"[1,\n-Infinity]", "-Infinity is no JSON number at line 2, column 1"),
        (b"Infinity", "Infinity is no JSON number at line 1, column 1"),
        pytest.param(b"9" * 5000, "thousands of digits", id="digits"),
        (b'"a\xff"', "not UTF-8: byte 2 is 0xff"),
        (b"\xff\xfe[\x00", "not UTF-8: byte 0 is 0xff"),
    ],
)
def test_a_mistake_is_named_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(HTTPError, match=message) as caught:
        parse(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP + b"]" * DEEP,
        b"[" * 1_000_000,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"a":' * 50_000,
        # Closing brackets in strings close nothing.
        b'["]",' * DEEP,
        b'["\\"]",' * DEEP,
        b'["\\\\","]",' * DEEP,
    ],
    ids=["lists", "never closed", "objects", "both", "string", "escaped quote", "backslash"],
)
def test_deep_nesting_is_refused_before_it_is_parsed(body: bytes) -> None:
    with pytest.raises(HTTPError, match=f"more than {MAX_DEPTH} levels"):
        parse(body)


def test_a_quoted_string_is_json_in_ascii() -> None:
    assert quote('a"ä\ud800') == '"a\\"\\u00e4\\ud800"'


def nested(random: Random, depth: int) -> str:
    """JSON of just this depth, with neighbours and strings that try to hide it."""
    text = random.choice(["1", '"]"', '"[{"', '"\\""', '"\\\\"', '"\\\\\\"]"', '""'])
    for _ in range(depth):
        beside = random.choice(["[]", '{"]": []}', '"}]\\\\"', "[[], {}]", "0", '"[\\"["'])
        items = [text, beside] if random.random() < 0.5 else [beside, text]
        text = f"[{', '.join(items)}]" if random.random() < 0.5 else f'{{"[": {text}}}'
    return text


@pytest.mark.parametrize("seed", range(50))
def test_depth_is_told_apart_at_the_limit(seed: int) -> None:
    # What stands beside the innermost value may nest two levels itself.
    random = Random(seed)
    assert parse(nested(random, MAX_DEPTH - 2).encode()) is not None
    with pytest.raises(HTTPError, match="levels"):
        parse(nested(random, DEEP + 1).encode())
