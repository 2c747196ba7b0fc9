import json
import re
from typing import Any

from nnlet.guest import PAGE, App, Request
from nnlet.guest.models import Models
from nnlet.guest.page import MAX_EXAMPLES, make_page

from .conftest import CATALOGUE, Echo, model

MOST = 60 * 1024
X = [("x", "FP32", (-1,))]


def data(page: bytes) -> Any:
    """What the page's script is told of the models."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.decode())
    assert found
    return json.loads(found[1])


def test_it_is_served_at_the_root() -> None:
    app = App(routes=PAGE, log=lambda line: None)
    app.bind(CATALOGUE, Echo())
    answer = app.respond(Request("GET", "/"))
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in dict(answer.headers)["content-security-policy"]
    assert answer.body == make_page(app.name, app.models)


def test_it_is_small_and_takes_nothing_from_elsewhere() -> None:
    page = make_page("nnlet", Models(CATALOGUE))
    assert len(page) < MOST
    assert not re.search(rb"<(?:script|img|link)[^>]*(?:src|href)=\"(?!data:)", page)
    assert b"@import" not in page and b"{{" not in page


def test_it_names_every_model_and_says_which_is_newest() -> None:
    rows = data(make_page("nnlet", Models(CATALOGUE)))
    assert [row["name"] for row in rows] == [entry["name"] for entry in CATALOGUE]
    assert [row["version"] for row in rows if row["name"] == "scores" and row["newest"]] == ["10"]


def test_names_stay_text() -> None:
    hostile = "</script><script>alert(1)</script>"
    page = make_page('<b>"&', Models([model("m", X, description=hostile)]))
    assert b"<title>&lt;b&gt;&quot;&amp;</title>" in page
    assert hostile.encode() not in page
    assert data(page)[0]["description"] == hostile


def test_examples_stop_where_the_page_would_grow_too_large() -> None:
    large = {"x": [0.5] * (MAX_EXAMPLES // 10)}
    entries = [model(name, X, example=large) for name in "abcdefgh"]
    page = make_page("nnlet", Models(entries))
    kept = [bool(row["example"]) for row in data(page)]
    assert kept[0] and not kept[-1]
    assert len(page) < MOST
