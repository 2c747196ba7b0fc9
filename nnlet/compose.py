"""Function + provider -> one component: what the function imports, the provider exports.

What is written, in this order (all of it is the function's, but for what is marked *):

    * component 0           the provider, which imports nothing
    * instance 0            of it
      types, imports        as the function's component begins, so that every type keeps its
      and aliases           number; but what the provider exports is no import any more,
                            * it is an alias of instance 0's export
    * component 1           the function, unchanged
    * an instance           of it, given all of the above
    * its exports           exported again

See docs/decisions/0004-compose-in-python.md. Specification:
component-model/design/mvp/Binary.md and Linking.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nnlet.errors import BuildError
from nnlet.interfaces import (
    ALIAS,
    EXPORT,
    IMPORT,
    INNER,
    INSTANCE,
    INSTANCE_SORT,
    TYPE,
    TYPE_SORT,
    UNREAD,
    Interfaces,
    read_external_name,
)
from nnlet.wasm import COMPONENT, CUSTOM, Reader, Section, join, sections, text, uleb, vector

PROVIDER, FUNCTION = 0, 1  # components in the result
FROM_INSTANCE = b"\x00"  # an alias of an instance's export
PLUGGED = "wasi:nn/"  # what must not be imported in the end


def compose(function: bytes, provider: bytes) -> bytes:
    """The component of `function` with `provider` inside.

    Raises BuildError where the two do not fit.
    """
    wanted = _read(function, "the function")
    offered = _read(provider, "the provider")
    plugged = _check(wanted, offered)
    imports = list(wanted.imports)
    instance = len(imports) + 1  # of the function; before it come the provider's and all imports
    return join(
        COMPONENT,
        [
            Section(INNER, provider),
            Section(INSTANCE, vector([_instantiate(PROVIDER, [])])),
            *_beginning(function, plugged),
            Section(INNER, function),
            Section(INSTANCE, vector([_instantiate(FUNCTION, enumerate(imports, 1))])),
            *_exports(wanted, instance),
        ],
    )


# Whether they fit


def _read(component: bytes, what: str) -> Interfaces:
    try:
        return Interfaces(component)
    except (ValueError, LookupError, RecursionError) as exc:
        raise BuildError(f"{what} is not a component that can be composed: {exc}") from exc


def _check(function: Interfaces, provider: Interfaces) -> set[str]:
    """The names that the provider takes over."""
    if provider.imports:
        raise BuildError(
            f"the provider imports {', '.join(provider.imports)}; one that is composed in must "
            "import nothing"
        )
    for name, found in (*function.imports.items(), *function.exports.items()):
        if not isinstance(found, dict):
            raise BuildError(f"{name!r}, at the function's border, is no interface")
    wanted = [name for name in function.imports if name.startswith(PLUGGED)]
    if not wanted:
        raise BuildError("the function imports no wasi:nn: was it composed before?")
    for name in wanted:
        _check_interface(name, function, provider)
    return set(wanted)


def _check_interface(name: str, function: Interfaces, provider: Interfaces) -> None:
    wanted, offered = function.imports[name], provider.exports.get(name)
    if not isinstance(offered, dict):
        raise BuildError(
            f"the function imports {name}, the provider exports "
            f"{', '.join(provider.exports) or 'nothing'}: build both with the same version of nnlet"
        )
    assert isinstance(wanted, dict)
    for item, type_ in wanted.items():
        if offered.get(item) not in (type_, UNREAD):
            raise BuildError(
                f"{item!r} of {name} does not fit: the function imports {type_}, the provider "
                f"exports {offered.get(item, 'nothing of that name')}"
            )


# What is written


def _beginning(function: bytes, plugged: set[str]) -> Iterator[Section]:
    """The types, imports and aliases with which a component begins, instances moved by one."""
    for section in sections(function, COMPONENT):
        if section.number == TYPE:
            yield section
        elif section.number == IMPORT:
            yield from _imports(Reader(section.body), plugged)
        elif section.number == ALIAS:
            yield Section(ALIAS, _moved(Reader(section.body)))
        elif section.number != CUSTOM:
            return  # from here on the function is about itself


def _imports(reader: Reader, plugged: set[str]) -> Iterator[Section]:
    for _ in range(reader.uleb()):
        start = reader.at
        name = read_external_name(reader)
        reader.byte(), reader.uleb()  # an instance, and its type
        if name in plugged:
            yield Section(ALIAS, vector([_alias(INSTANCE_SORT, PROVIDER, name)]))
        else:
            yield Section(IMPORT, vector([reader.data[start : reader.at]]))


def _moved(reader: Reader) -> bytes:
    """Aliases of types that imports export, one instance further on."""
    aliases = []
    for _ in range(reader.uleb()):
        sort, target = reader.byte(), reader.take(1)
        if sort != TYPE_SORT or target != FROM_INSTANCE:
            raise BuildError("the function begins in an order that is not known here")
        aliases.append(_alias(sort, reader.uleb() + 1, reader.name()))
    return vector(aliases)


def _exports(function: Interfaces, instance: int) -> Iterator[Section]:
    """What the function exports, out of its instance."""
    names = list(function.exports)
    yield Section(ALIAS, vector(_alias(INSTANCE_SORT, instance, name) for name in names))
    yield Section(
        EXPORT,
        vector(
            b"\x00" + text(name) + bytes([INSTANCE_SORT]) + uleb(index) + b"\x00"
            for index, name in enumerate(names, instance + 1)
        ),
    )


def _alias(sort: int, instance: int, name: str) -> bytes:
    return bytes([sort]) + FROM_INSTANCE + uleb(instance) + text(name)


def _instantiate(component: int, given: Iterable[tuple[int, str]]) -> bytes:
    """An instance of a component, given instances by number and name."""
    arguments = (text(name) + bytes([INSTANCE_SORT]) + uleb(index) for index, name in given)
    return b"\x00" + uleb(component) + vector(arguments)
