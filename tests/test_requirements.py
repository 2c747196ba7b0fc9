"""The locks hold what pyproject.toml asks for, with hashes, and name no index."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PEERS = sorted((ROOT / "requirements" / "peers").glob("*.txt"))  # a venv for each


@pytest.mark.parametrize("path", [*LOCKS, *PEERS], ids=lambda path: path.stem)
def test_a_lock_has_hashes_and_no_index(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    # A requirement is one line that ends in a backslash, then hashes.
    for block in re.split(r"\n(?=\S)", text):
        if not block.startswith("#"):
            assert "==" in block.splitlines()[0]
            assert "--hash=sha256:" in block


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("core", ["setup"]),
        ("host", ["host"]),
        ("chart", ["chart"]),
        ("test", ["host", "test", "sklearn", "xgboost", "lightgbm"]),
        ("sklearn", ["sklearn"]),
        ("xgboost", ["xgboost"]),
        ("lightgbm", ["lightgbm"]),
        ("catboost", ["catboost"]),
        ("bart", ["bart"]),
        ("bench", ["host", "bench"]),
        ("train", ["train"]),
    ],
)
def test_a_lock_has_what_is_asked_for(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in wanted}
    assert names <= locked, "run requirements/lock.sh"


def test_one_package_has_one_version_in_all_locks() -> None:
    versions: dict[str, set[str]] = {}
    for path in LOCKS:
        for line in re.findall(r"^(\S+==\S+(?: ; .*?)?) \\$", path.read_text(), re.MULTILINE):
            name, _, rest = line.partition("==")
            versions.setdefault(f"{name}{rest.partition(' ;')[2]}", set()).add(rest.split()[0])
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
