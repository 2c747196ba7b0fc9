"""What makes a product stale, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

from nnlet.fingerprint import fingerprint, forget, is_fresh, mark_fresh


def test_names_contents_and_words_count_but_dates_and_the_folder_do_not(tmp_path: Path) -> None:
    for root in (tmp_path / "here", tmp_path / "there"):
        root.mkdir()
        (root / "a").write_text("one")
        (root / "b").write_text("two")
    here, there = ([root / "a", root / "b"] for root in (tmp_path / "here", tmp_path / "there"))
    key = fingerprint(tmp_path / "here", here, "tool 1")
    os.utime(there[0], (0, 0))
    assert fingerprint(tmp_path / "there", reversed(there), "tool 1") == key
    assert fingerprint(tmp_path / "here", here, "tool 2") != key
    assert fingerprint(tmp_path / "here", here[:1], "tool 1") != key
    here[0].write_text("other")
    assert fingerprint(tmp_path / "here", here, "tool 1") != key


def test_a_product_is_fresh_only_as_long_as_it_stands_with_its_key(tmp_path: Path) -> None:
    product = tmp_path / "product"
    assert not is_fresh(product, "key")
    product.write_text("made")
    assert not is_fresh(product, "key")
    mark_fresh(product, "key")
    assert is_fresh(product, "key")
    assert not is_fresh(product, "other")
    forget(product)
    assert not is_fresh(product, "key")
    mark_fresh(product, "key")
    product.unlink()
    assert not is_fresh(product, "key")
