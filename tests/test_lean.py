"""nnlet.lean: what stands in for typing and dataclasses, beside the real ones."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import typing
from typing import Any

import pytest

from nnlet import lean
from nnlet.lean import import_all, lean_imports


def classes(dataclass: Any) -> tuple[type, type, type]:
    """As componentize-py writes them."""

    @dataclass
    class Method_Get:
        pass

    @dataclass
    class Payload:
        rcode: str
        code: int

    @dataclass(frozen=True)
    class Err(Exception):
        value: int

    return Method_Get, Payload, Err


@pytest.mark.parametrize("dataclass", [lean.dataclass, dataclasses.dataclass])
def test_dataclasses_behave_like_the_real_ones(dataclass: Any) -> None:
    get, payload, err = classes(dataclass)
    assert get() == get() and get() != payload("x", 1)
    made = payload("x", code=1)
    assert (made.rcode, made.code) == ("x", 1)
    assert made == payload("x", 1) and made != payload("x", 2) and made != ("x", 1)
    assert repr(made).endswith(".Payload(rcode='x', code=1)")
    assert payload.__match_args__ == ("rcode", "code")
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
    assert hash(err(5)) == hash(err(5))
    with pytest.raises(err) as caught:
        raise err(5)
    assert caught.value.value == 5
    for wrong in ((), ("x",), ("x", 1, 2)):
        with pytest.raises(TypeError):
            payload(*wrong)


def test_a_default_is_an_error() -> None:
    with pytest.raises(TypeError, match="WithDefault has a default"):

        @lean.dataclass
        class WithDefault:
            value: int = 0


def test_names_of_typing_can_be_used_as_the_bindings_do() -> None:
    scope: dict[str, Any] = {}
    source = """
from typing import TypeVar, Generic, Union, Optional, Protocol, Tuple, List, Any, Self, Callable
T = TypeVar("T", bound=object)
class Ok(Generic[T]):
    def __init__(self, value): self.value = value
class Err(Generic[T], Exception): pass
class World(Protocol): pass
Result = Union[Ok[T], Err[Tuple[T, Optional[List[T]]]]]
Schema = dict[str, Any]
"""
    with lean_imports():
        exec(source, scope)
    assert scope["Ok"](5).value == 5
    assert isinstance(scope["Err"](), Exception)


def test_the_real_ones_are_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dataclasses")
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader  # type: ignore[attr-defined]
    compiles = loader.source_to_code
    with lean_imports():
        assert sys.modules["typing"] is not typing
    assert sys.modules["typing"] is typing
    assert "dataclasses" not in sys.modules
    assert loader.source_to_code is compiles


def test_only_foreign_modules_lose_their_docstrings() -> None:
    source = b'"""What it is for."""\nassert True\n'
    with lean_imports():
        loader = sys.modules["_frozen_importlib_external"].SourceFileLoader(  # type: ignore[attr-defined]
            "m", "m.py"
        )
        ours, foreign = (
            loader.source_to_code(source, path) for path in ("/0/app.py", "/python/json/x.py")
        )
    assert "What it is for." in ours.co_consts
    assert "What it is for." not in foreign.co_consts


def test_all_modules_of_a_package_are_imported(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_to_import"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "two.py", "three.pyi", "notes.txt"):
        (package / name).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import_all("package_to_import")
    found = {name for name in sys.modules if name.startswith("package_to_import.")}
    assert found == {"package_to_import.one", "package_to_import.two"}


def test_a_block_that_fails_just_ends_and_its_modules_are_forgotten(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wants_more.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Item:\n    size: int = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with lean_imports():
        importlib.import_module("wants_more")
    assert set(sys.modules) == before
    assert importlib.import_module("wants_more").Item().size == 1
    del sys.modules["wants_more"]
