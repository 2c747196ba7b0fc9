"""The nearest match to a misspelt name."""

from __future__ import annotations

import pytest

from nnlet.guest.nearest import distance, nearest

NAMES = ["age", "sepal length", "sepal width", "Straße"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Age", "age"),
        ("agee", "age"),
        ("aeg", "age"),
        ("sepal_length", "sepal length"),
        ("sepal lenght", "sepal length"),
        ("sepalwidth", "sepal width"),
        ("STRASSE", "Straße"),
        ("x", ""),
        ("", ""),
        ("income", ""),
        ("sepal " * 20, ""),
    ],
)
def test_the_nearest_name_is_a_few_edits_away(word: str, name: str) -> None:
    assert nearest(word, NAMES) == name


def test_of_equally_near_names_the_first_counts() -> None:
    assert nearest("s1x", ["s1", "s2"]) == "s1"
    assert nearest("s3", ["s1", "s2"]) == "s1"


def test_a_name_without_others_has_no_match() -> None:
    assert nearest("age", []) == ""


@pytest.mark.parametrize(
    ("one", "two", "edits"),
    [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 1)],
)
def test_the_distance_counts_edits(one: str, two: str, edits: int) -> None:
    assert distance(one, two, 10) == distance(two, one, 10) == edits


def test_a_distance_above_the_limit_is_not_counted_out() -> None:
    assert distance("kitten", "sitting", 1) == 2
    assert distance("kitten" * 9, "sitting" * 9, 2) == 3
