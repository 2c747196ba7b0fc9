"""The demo page in Chromium: drawing, numbers, errors, phone and keyboard, and no server asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from browser import Browser, Page

ROOT = Path(__file__).parents[2]
Point = tuple[float, float]

# Strokes of digits, in parts of the drawing's width and height.
SEVEN: Sequence[Point] = [(0.3, 0.2), (0.72, 0.2), (0.45, 0.85)]
ONE: Sequence[Point] = [(0.42, 0.3), (0.52, 0.15), (0.52, 0.88)]
FOUR: Sequence[Point] = [(0.55, 0.12), (0.25, 0.6), (0.75, 0.6), (0.6, 0.6), (0.6, 0.4), (0.6, 0.9)]

SUMMARY = "document.querySelector('#summary').textContent"


@pytest.fixture
def page(browser: Browser, site: str) -> Page:
    return shown(browser, site)


def shown(
    browser: Browser, site: str, model: str = "", width: int = 960, touch: bool = False
) -> Page:
    """The page, when the example was answered."""
    query = f"?model={model}" if model else ""
    url = f"{site}/examples/page/{query}"
    page = browser.open(url, width=width, height=720, touch=touch)
    page.wait(SUMMARY)
    return page


def stroke(page: Page, corners: Sequence[Point]) -> list[Point]:
    """Points of the window along a stroke in the drawing."""
    x, y, width, height = page.box("#canvas")
    steps = [i / 8 for i in range(9)]
    return [
        (x + width * (a + (c - a) * t), y + height * (b + (d - b) * t))
        for (a, b), (c, d) in zip(corners, corners[1:], strict=False)
        for t in steps
    ]


def best(page: Page) -> str:
    return page.text(".best .label")


def test_a_digit_that_is_drawn_is_recognized(page: Page) -> None:
    for digit, corners in (("1", ONE), ("7", SEVEN), ("4", FOUR)):
        page.click("#clear")
        assert page.text("#outputs") == ""
        page.drag(stroke(page, corners))
        page.wait(f"document.querySelector('.best .label')?.textContent === '{digit}'")
        assert page.run(SUMMARY).startswith(f"{digit} (")
    assert page.problems() == []


def test_bars_are_as_long_as_the_probabilities(page: Page) -> None:
    page.click("#clear")
    page.drag(stroke(page, SEVEN))
    page.wait("document.querySelector('.best .label')?.textContent === '7'")
    lines = page.run(
        """[...document.querySelectorAll('.bars li')].map((line) => {
          const width = (part) => line.querySelector(part).getBoundingClientRect().width;
          return [line.querySelector('.label').textContent,
            parseFloat(line.querySelector('.value').textContent) / 100,
            width('.bar') / width('.track')];
        })"""
    )
    assert [label for label, _, _ in lines] == [str(digit) for digit in range(10)]
    for _, value, part in lines:
        assert abs(value - part) < 0.005
    assert abs(sum(value for _, value, _ in lines) - 1) < 0.01


def test_nothing_is_asked_of_anybody_once_the_page_has_loaded(page: Page, site: str) -> None:
    before = page.downloads()
    page.click("#clear")
    page.drag(stroke(page, SEVEN))
    page.wait("document.querySelector('.best .label')?.textContent === '7'")
    assert page.downloads() == before
    assert all(url.startswith((site, "data:")) for url in before)
    flavours = [url for url in before if "/models." in url and url.endswith(".wasm")]
    assert len(flavours) == 1


def test_a_finger_draws_and_a_phone_shows_all_of_it(browser: Browser, site: str) -> None:
    page = shown(browser, site, width=360, touch=True)
    page.click("#clear")
    page.swipe(stroke(page, ONE))
    page.wait("document.querySelector('.best .label')?.textContent === '1'")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_reaches_every_control(page: Page) -> None:
    page.click("#clear")
    page.run("document.querySelector('#example').focus()")
    page.press("Enter")
    page.wait("document.querySelector('.best .label')?.textContent === '7'")
    reached = page.run("[...document.querySelectorAll('a, button, summary, textarea')].length")
    assert reached >= 7
    assert page.run("document.activeElement.id") == "example"


def test_whoever_cannot_see_is_told_what_there_is(page: Page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    }
    assert ("image", "Draw here with a mouse, a pen or a finger") in named
    assert ("button", "Clear") in named and ("button", "Example") in named
    assert ("list", "probabilities, FP32 [1, 10]") in named
    assert {role for role, name in named if role in ("button", "link", "textbox") and not name} == (
        set()
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Browser, site: str, dark: bool) -> None:
    page = browser.open(f"{site}/examples/page/", dark=dark)
    page.wait(SUMMARY)
    ratios = page.run(
        """(() => {
          const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const light = (color) => {
            const [r, g, b] = color.match(/\\d+/g).map(Number).map(part);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = (e) => {
            for (; e; e = e.parentElement) {
              const { backgroundColor } = getComputedStyle(e);
              if (!backgroundColor.endsWith(", 0)")) return backgroundColor;
            }
          };
          return ["#description", "a", "button", ".value", ".best .value", "footer"].map((s) => {
            const e = document.querySelector(s);
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          });
        })()"""
    )
    assert min(ratios) > 4.5  # WCAG 2.2, 1.4.3


def test_a_model_without_a_picture_takes_numbers(browser: Browser, site: str) -> None:
    page = shown(browser, site, model="iris")
    assert best(page) == "setosa"
    fill(page, '{"features": [[6.9, 3.1, 5.4, 2.1]]}')
    page.wait("document.querySelector('.best .label').textContent === 'virginica'")


def fill(page: Page, values: str) -> None:
    page.run(f"document.querySelector('#values').value = {values!r}")
    page.click("form button")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            '{"features": [1, 2, 3]}',
            "input 'features': found 3 values: expected 4, or a multiple of it "
            "(it takes FP32 [?, 4])",
        ),
        ('{"pixels": [1]}', "unknown input 'pixels': iris takes 'features'"),
        ("{", "Expected property name or '}' in JSON at position 1"),
    ],
)
def test_wrong_numbers_are_an_error_in_words(
    browser: Browser, site: str, values: str, words: str
) -> None:
    page = shown(browser, site, model="iris")
    fill(page, values)
    page.wait("!document.querySelector('#error').hidden")
    assert page.text("#error").startswith(words)
    assert page.text("#outputs") == ""
    fill(page, '{"features": [1, 2, 3, 4]}')
    page.wait("document.querySelector('#error').hidden")


def test_a_model_that_is_not_there_is_an_error_in_words(browser: Browser, site: str) -> None:
    page = browser.open(f"{site}/examples/page/?model=nope")
    page.wait("!document.querySelector('#error').hidden")
    assert page.text("#error") == "no model 'nope': there is diabetes, digits, iris"
    assert "iris" in page.text("nav")


def test_a_picture_for_the_documents(browser: Browser, site: str, tmp_path: Path) -> None:
    """NNLET_PICTURES=1 keeps it in docs/img."""
    page = browser.open(f"{site}/examples/page/", width=880, height=570)
    page.wait(SUMMARY)
    page.drag(stroke(page, SEVEN))
    page.wait("document.querySelector('.best .label').textContent === '7'")
    keep = os.environ.get("NNLET_PICTURES")
    path = (ROOT / "docs" / "img" if keep else tmp_path) / "browser.png"
    page.screenshot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
