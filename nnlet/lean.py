"""Lean imports: stand-ins for what componentize-py's bindings import and hardly use.

The bindings take annotations from `typing`, which nobody evaluates, and decorate classes of a
few fields with `dataclasses`. The real modules bring inspect, ast, dis and tokenize along, and
docstrings, and all of it would be in the memory of every function: a quarter of it. What is
imported outside of `lean_imports` is the real thing, so app.py may use both.

Should another componentize-py write bindings that need more, they are imported anew, outside.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

# Where componentize-py mounts what is neither ours nor the user's.
_FOREIGN = ("/python/", "/bundled/", "/world/")


class lean_imports:
    """Within the block, `typing` and `dataclasses` are stand-ins and docstrings are left out.

    A block that fails just ends, and what it imported is forgotten.
    """

    def __enter__(self) -> None:
        self._before = set(sys.modules)
        self._stood_for = {name: sys.modules.get(name) for name in _STAND_INS}
        sys.modules.update(_STAND_INS)
        self._loader = sys.modules["_frozen_importlib_external"].SourceFileLoader
        self._compile = self._loader.source_to_code
        self._loader.source_to_code = _without_docstrings(self._compile)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._loader.source_to_code = self._compile
        for name, module in self._stood_for.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        failed = error is not None
        if failed:
            for name in set(sys.modules) - self._before:
                del sys.modules[name]
        return failed


def import_all(package: str) -> None:
    """Import a package and all modules that lie in it."""
    __import__(package)
    for file in sorted(os.listdir(sys.modules[package].__path__[0])):
        name, _, kind = file.partition(".")
        if kind == "py" and name != "__init__":
            __import__(f"{package}.{name}")


def _without_docstrings(otherwise: Any) -> Any:
    """A loader's `source_to_code` that drops docstrings of foreign modules, as -OO does."""

    def source_to_code(loader: Any, data: Any, path: Any, *more: Any) -> Any:
        if str(path).startswith(_FOREIGN):
            return compile(data, path, "exec", dont_inherit=True, optimize=2)
        return otherwise(loader, data, path, *more)

    return source_to_code


class Form:
    """Any name of `typing`: to be subscripted and inherited from."""

    def __class_getitem__(cls, item: Any) -> type:
        return cls


def type_variable(*arguments: Any, **options: Any) -> type:
    """What TypeVar("T") gives."""
    return Form


def dataclass(cls: Any = None, *, frozen: bool = False) -> Any:
    """dataclasses.dataclass for fields without defaults. `frozen` makes it hashable, no more."""
    if cls is None:
        return lambda cls: dataclass(cls, frozen=frozen)
    names = tuple(cls.__annotations__)
    if any(name in cls.__dict__ for name in names):
        raise TypeError(f"{cls.__qualname__} has a default: nnlet/lean.py knows of none")
    if names:
        cls.__init__ = _constructor(names)
    made = {
        "__match_args__": names,
        "__repr__": _represent,
        "__eq__": _equal,
        "__hash__": _hash if frozen else None,
    }
    for name, value in made.items():
        setattr(cls, name, value)
    return cls


def _constructor(names: tuple[str, ...]) -> Any:
    scope: dict[str, Any] = {}
    body = "".join(f"    self.{name} = {name}\n" for name in names)
    exec(f"def __init__(self, {', '.join(names)}):\n{body}", scope)
    return scope["__init__"]


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__match_args__)


def _represent(self: Any) -> str:
    pairs = zip(self.__match_args__, _values(self), strict=True)
    return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


def _equal(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


_STAND_INS = {
    # A module's __getattr__ is asked for the names that it does not have.
    "typing": _module(
        "typing", TYPE_CHECKING=False, TypeVar=type_variable, __getattr__=lambda name: Form
    ),
    "dataclasses": _module("dataclasses", dataclass=dataclass),
}
