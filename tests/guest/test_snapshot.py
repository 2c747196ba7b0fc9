"""What is written down for shrink.py. That it serves its purpose is measured in benchmarks/."""

from __future__ import annotations

import struct
import sys

import pytest

from nnlet.guest import snapshot


def test_living_objects_are_found_with_what_they_refer_to() -> None:
    inner = ["a string of its own".upper()]
    outer = {"key": (inner,)}
    found = snapshot.living()
    for item in (inner, inner[0], outer, outer["key"]):
        assert found[id(item)] is type(item)


def test_constants_and_names_of_code_are_found() -> None:
    def function() -> tuple[str, int]:
        return "a constant of its own", sys.maxsize

    code = function.__code__
    found = snapshot.living()
    for item in (code, code.co_consts, code.co_consts[1], code.co_names, code.co_linetable):
        assert found[id(item)] is type(item)


def test_the_list_itself_is_not_in_the_list() -> None:
    found = snapshot.living()
    assert id(found) not in found


def test_the_table_holds_count_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "id", {str: 7, int: 8}.get, raising=False)
    assert snapshot.table({256: str, 512: int}) == snapshot.MARK + struct.pack(
        "<5I", 2, 256, 7, 512, 8
    )


def test_random_is_seeded_in_vain_unless_it_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    snapshot._stand_in_for_random()
    assert sys.modules["random"] is random
    monkeypatch.delitem(sys.modules, "random")
    snapshot._stand_in_for_random()
    stand_in = sys.modules["random"]
    assert stand_in.seed() is None
    with pytest.raises(AttributeError, match="no random.choice: import random at the top"):
        stand_in.choice([1, 2])
