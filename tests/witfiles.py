"""What Spin's worlds offer, read from the WIT files that its Python SDK ships.

Only as much of WIT is understood as those files use: packages, worlds with `include` and
`import`, and interfaces with the names of their functions.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import spin_sdk

Interfaces = dict[str, frozenset[str]]  # from an interface's full name to its functions' names

_PACKAGE = re.compile(r"^package ([^;\s]+);", re.MULTILINE)
_TAKEN = re.compile(r"^\s*(include|import) ([^;\s]+);", re.MULTILINE)
_BLOCK = re.compile(r"^(?:world|interface) ([\w-]+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(
    r"^\s*%?([\w-]+):\s*(?:static\s+)?(?:async\s+)?func\b|^\s*(constructor)\(", re.MULTILINE
)
_USED = re.compile(r"^\s*use ([^{]+)\.\{", re.MULTILINE)
_COMMENT = re.compile(r"//.*$", re.MULTILINE)


@functools.cache
def _blocks() -> dict[str, str]:
    """The text of every world and every interface, by its full name."""
    folder = Path(spin_sdk.__file__).parent / "wit"
    texts = {p: _COMMENT.sub("", p.read_text(encoding="utf-8")) for p in folder.rglob("*.wit")}
    # One file of a package may say its name for all of them.
    packages = {p.parent: m.group(1) for p, text in texts.items() if (m := _PACKAGE.search(text))}
    return {
        _full(
            named.group(1) if (named := _PACKAGE.search(text)) else packages[path.parent], name
        ): body
        for path, text in texts.items()
        for name, body in _BLOCK.findall(text)
    }


def _full(package: str, name: str) -> str:
    """`interface` of `space:name@1.0.0` is `space:name/interface@1.0.0`."""
    if ":" in name:
        return name
    base, at, version = package.partition("@")
    return f"{base}/{name}{at}{version}"


def _package(full: str) -> str:
    return re.sub(r"/[\w-]+", "", full, count=1)


def offered(world: str) -> Interfaces:
    """Every interface that a component of `world` may import."""
    found: Interfaces = {}
    for word, name in _TAKEN.findall(_blocks()[world]):
        full = _full(_package(world), name)
        found |= offered(full) if word == "include" else _with_used(full)
    return found


def _with_used(interface: str) -> Interfaces:
    """An interface, and those whose types it uses: they are imported with it."""
    body = _blocks()[interface]
    found = {interface: frozenset("".join(names) for names in _FUNCTION.findall(body))}
    for name in _USED.findall(body):
        found |= _with_used(_full(_package(interface), name))
    return found
