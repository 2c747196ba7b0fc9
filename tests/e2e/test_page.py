"""GET /, clicked through in a real Chromium."""

import json
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from browser import Browser, Page, chromium

ASK = "#form button[type=submit]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.open(url)
    yield page
    assert page.problems() == []
    assert all(asked.startswith((url, "data:")) for asked in page.downloads())


def choose(page: Page, model: str) -> None:
    names = page.run("[...document.querySelectorAll('nav button')].map(b => b.textContent)")
    page.click(f"nav button:nth-child({names.index(model) + 1})")


def first_bar(page: Page) -> str:
    page.wait("!!document.querySelector('#answer .bars')")
    return page.text("#answer .bars li.first span")


def test_a_table_is_a_form_filled_with_the_example(page: Page) -> None:
    choose(page, "iris")
    assert page.run("document.querySelector('[name=\"sepal length\"]').value") == "5.5"
    page.click(ASK)
    assert first_bar(page) == "setosa"
    assert "99.8 %" in page.text("#answer")
    assert '/predict/iris -d \'{"sepal length":5.5,' in page.text("#curl")


def test_a_refusal_is_shown_in_words_and_the_next_answer_comes(page: Page) -> None:
    choose(page, "iris")
    page.run("document.querySelector('[name=\"sepal length\"]').value = 'long'")
    page.click(ASK)
    page.wait("!document.querySelector('#error').hidden")
    assert "sepal length" in page.text("#error")
    page.click("#example")
    page.click(ASK)
    assert first_bar(page) == "setosa"
    assert page.text("#error") == ""


def test_a_digit_is_drawn_and_recognized(page: Page) -> None:
    choose(page, "digits")
    x, y, width, height = page.box("canvas.draw")
    corners = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.85)]  # a seven
    steps = [
        (x + width * (a + (c - a) * step / 12), y + height * (b + (d - b) * step / 12))
        for (a, b), (c, d) in zip(corners, corners[1:], strict=False)
        for step in range(13)
    ]
    page.drag(steps)
    assert first_bar(page) == "7"
    assert "/v2/models/digits/infer" in page.text("#curl")


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, url: str) -> None:
    page = browser.open(url, width=360, height=740, touch=True)
    choose(page, "digits")
    page.click(ASK)
    assert first_bar(page) == "7"
    assert page.run("document.documentElement.scrollWidth") <= 360


def test_the_curl_line_gives_the_same_answer(page: Page) -> None:
    choose(page, "iris")
    page.click(ASK)
    first_bar(page)
    words = shlex.split(page.run("document.querySelector('#curl').textContent"))
    answer = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert answer["species"] == "setosa"
