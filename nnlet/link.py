"""Links the core modules of a component into one.

componentize-py makes a component of fourteen core modules: the interpreter, libc, what was
generated for this world, and so on, which share a memory and a table that they import from each
other. An instance of it is fourteen instances, and thousands of functions are looked up and put
into the shared table one by one, which takes longer than a request does. In one module, with
memory and table of its own, all that is done when machine code is made; calls from library to
library are plain calls, and addresses are constants.

Beside it remains a module without code, made here: once there is a memory, it puts the host's
functions that need one (to take a string, say) into a second table.

What is written, in this order:

    imports, types,      as the component has them
    aliases
    core modules         0: all code; 1: the one that fills the second table
    types, aliases       as the component has them
    core functions       of the host that need no memory
    core instance        of 0, which is given these
    core functions       of the host that need a memory: that of 0
    core instance        of 1, which is given these and the second table
    the rest             as the component has it: what it exports, and as which types

Specification: component-model/design/mvp/Binary.md; tool-conventions/DynamicLinking.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from wasmtime import Engine, Module, WasmtimeError

from nnlet.coremodule import ELEMENT, I32_CONST, TYPE, CoreModule, read_module
from nnlet.errors import BuildError
from nnlet.merge import END, Host, Own, Part, Thing, merge, own
from nnlet.wasm import (
    COMPONENT,
    CUSTOM,
    FUNCTION_KIND,
    IMPORT,
    MEMORY_KIND,
    MODULE,
    TABLE_KIND,
    Reader,
    Section,
    join,
    sections,
    sleb,
    text,
    uleb,
    vector,
)

# Sections of a component, and what they hold.
CORE_MODULE, CORE_INSTANCE, CORE_TYPE, ALIAS, CANON = 1, 2, 3, 6, 8
INSTANTIATE, EXPORTS = 0, 1  # core instances
CORE, INSTANCE_EXPORT, CORE_EXPORT = 0, 0, 1  # an alias of a core thing; where it comes from
PLAIN_OPTIONS, FUNCTION_OPTIONS, MEMORY_OPTION = (0, 1, 2, 6), (4, 5, 7), 3
INSTANCE_SORT = 0x12

# Canonical definitions, and what follows the number of each that makes a core function: a
# number (n), a value type (t), a list of results (r), options (o).
LIFT = 0
CANONS = {
    0x01: "nno",  # lower
    0x02: "n",  # resource.new
    0x03: "n",  # resource.drop
    0x04: "n",  # resource.rep
    0x05: "",  # task.cancel
    0x06: "n",  # subtask.cancel
    0x09: "ro",  # task.return
    0x0A: "tn",  # context.get
    0x0B: "tn",  # context.set
    0x0C: "n",  # thread.yield
    0x0D: "",  # subtask.drop
    0x0E: "n",  # stream.new
    0x0F: "no",  # stream.read
    0x10: "no",  # stream.write
    0x11: "nn",  # stream.cancel-read
    0x12: "nn",  # stream.cancel-write
    0x13: "n",  # stream.drop-readable
    0x14: "n",  # stream.drop-writable
    0x15: "n",  # future.new
    0x16: "no",  # future.read
    0x17: "no",  # future.write
    0x18: "nn",  # future.cancel-read
    0x19: "nn",  # future.cancel-write
    0x1A: "n",  # future.drop-readable
    0x1B: "n",  # future.drop-writable
    0x1C: "o",  # error-context.new
    0x1D: "o",  # error-context.debug-message
    0x1E: "",  # error-context.drop
    0x1F: "",  # waitable-set.new
    0x22: "",  # waitable-set.drop
    0x23: "",  # waitable.join
    0x24: "",  # backpressure.inc
    0x25: "",  # backpressure.dec
}

# The table through which functions are called that need the memory: wit-component's name.
SHIMS = "$imports"
ANY_TABLE = b"\x70\x00\x00"  # of functions, of any size


class Export(NamedTuple):
    """An export of a core instance."""

    instance: int
    name: str


class Option(NamedTuple):
    """A canonical option; `thing` is the index of a core function or memory."""

    code: int
    thing: int | None


@dataclass(frozen=True)
class Canon:
    """A canonical definition. `core` is the core function of a lift; all others make one."""

    head: bytes
    options: tuple[Option, ...] | None
    tail: bytes = b""
    core: int | None = None


@dataclass
class Instance:
    """A core instance: of a module, given other instances by name; or a list of exports."""

    module: int | None
    given: dict[str, int] = field(default_factory=dict)
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Halves:
    """A component's core half; the rest of it in order, with one MODULES_PLACE in it."""

    modules: list[CoreModule] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    things: list[list[Export | Canon]] = field(default_factory=lambda: [[], [], [], []])  # by kind
    rest: list[Section | Canon] = field(default_factory=list)


MODULES_PLACE = Section(CORE_MODULE, b"")


class Slot(NamedTuple):
    """A place in the table of shims: who calls through it, and what is put there."""

    name: str
    number: int
    form: bytes
    shim: Own
    host: Host


def link(component: bytes) -> bytes:
    """The component with its core modules in one. BuildError if it is not made as we know it."""
    try:
        return _Linked(_read(component)).component()
    except (ValueError, LookupError, WasmtimeError) as exc:
        raise BuildError(
            f"the modules of the component cannot be linked ({type(exc).__name__}: {exc}): is "
            "this another version of componentize-py than the one that is pinned? (see "
            "nnlet/link.py)"
        ) from exc


# Reading


def _read(component: bytes) -> Halves:
    halves = Halves()
    for section in sections(component, COMPONENT):
        if section.number == CORE_MODULE:
            halves.rest += [] if halves.modules else [MODULES_PLACE]
            halves.modules.append(read_module(section.body))
        elif section.number in _READ:
            reader = Reader(section.body)
            for _ in range(reader.uleb()):
                _READ[section.number](reader, halves)
        elif section.number == CORE_TYPE:
            raise ValueError("core types are not known here")
        elif section.number != CUSTOM:
            halves.rest.append(section)
    return halves


def _read_instance(reader: Reader, halves: Halves) -> None:
    if reader.byte() == INSTANTIATE:
        instance = Instance(reader.uleb())
        for _ in range(reader.uleb()):
            name = reader.name()
            reader.byte()  # what is given: always an instance
            instance.given[name] = reader.uleb()
    else:
        instance = Instance(None)
        for _ in range(reader.uleb()):
            name = reader.name()
            instance.exports[name] = reader.byte(), reader.uleb()
    halves.instances.append(instance)


def _read_alias(reader: Reader, halves: Halves) -> None:
    start = reader.at
    kind = reader.byte() if reader.byte() == CORE else -1
    origin, index = reader.byte(), reader.uleb()
    if origin == CORE_EXPORT:
        halves.things[kind].append(Export(index, reader.name()))
        return
    if origin == INSTANCE_EXPORT:
        reader.name()
    else:
        reader.uleb()
    halves.rest.append(Section(ALIAS, vector([reader.data[start : reader.at]])))


def _read_canon(reader: Reader, halves: Halves) -> None:
    start = reader.at
    code = reader.byte()
    if code == LIFT:
        head = bytes([LIFT, reader.byte()])
        function, options = reader.uleb(), _read_options(reader)
        halves.rest.append(Canon(head, options, uleb(reader.uleb()), function))
        return
    if code not in CANONS:
        raise ValueError(f"a canonical definition of the unknown kind {code}")
    form = CANONS[code]
    for item in form.removesuffix("o"):
        _SKIP[item](reader)
    head = reader.data[start : reader.at]
    made = Canon(head, _read_options(reader) if form.endswith("o") else None)
    halves.things[FUNCTION_KIND].append(made)


def _skip_results(reader: Reader) -> None:
    """One type, or none."""
    if reader.byte() == 0:
        reader.sleb()
    else:
        reader.byte()


_SKIP: dict[str, Callable[[Reader], object]] = {
    "n": Reader.uleb,
    "t": Reader.sleb,
    "r": _skip_results,
}


def _read_options(reader: Reader) -> tuple[Option, ...]:
    options = []
    for _ in range(reader.uleb()):
        code = reader.byte()
        if code in PLAIN_OPTIONS:
            options.append(Option(code, None))
        elif code in (MEMORY_OPTION, *FUNCTION_OPTIONS):
            options.append(Option(code, reader.uleb()))
        else:
            raise ValueError(f"the unknown canonical option {code}")
    return tuple(options)


_READ = {CORE_INSTANCE: _read_instance, ALIAS: _read_alias, CANON: _read_canon}


# Linking


class _Linked:
    """What becomes of a component whose modules are linked."""

    def __init__(self, halves: Halves) -> None:
        self.halves = halves
        self.hosts: list[Canon] = []  # Host(n) is number n
        instances = [i for i, made in enumerate(halves.instances) if made.module is not None]
        (self.filler,) = (i for i in instances if SHIMS in self._names(i))
        instances.remove(self.filler)
        self.part = {instance: number for number, instance in enumerate(instances)}
        self.parts = [Part(self._module(i), self._given(i)) for i in instances]
        self.slots: list[Slot] = []
        self.known: dict[tuple[Thing, int], Thing] = {}
        self.shims = self._read_filler()
        self.functions = {thing: number for number, thing in enumerate(self._needed())}

    def _module(self, instance: int) -> CoreModule:
        number = self.halves.instances[instance].module
        assert number is not None
        return self.halves.modules[number]

    def _names(self, instance: int) -> list[str]:
        return [item.name for item in self._module(instance).imports]

    def _given(self, instance: int) -> list[Thing]:
        """What an instance gets for each import of its module."""
        given = self.halves.instances[instance].given
        imports = self._module(instance).imports
        return [self._exported(given[item.module], item.name) for item in imports]

    def _exported(self, instance: int, name: str) -> Thing:
        made = self.halves.instances[instance]
        if made.module is None:
            return self._thing(*made.exports[name])
        module = self._module(instance)
        kind, index = module.exports[name]
        imported = module.imported(kind)
        if index < len(imported):
            item = imported[index]
            return self._exported(made.given[item.module], item.name)
        return Own(self.part[instance], kind, index - len(imported))

    def _thing(self, kind: int, index: int) -> Thing:
        """What one of the component's core indices means."""
        thing = self.halves.things[kind][index]
        if isinstance(thing, Export):
            return self._exported(thing.instance, thing.name)
        if thing not in self.hosts:
            self.hosts.append(thing)
        return Host(self.hosts.index(thing))

    def _read_filler(self) -> Own:
        """What is put into the table of shims: the host's functions into slots, ours are known.

        Returns the table.
        """
        module = self._module(self.filler)
        (origin,) = self.halves.instances[self.filler].given.values()
        place = self.halves.things[TABLE_KIND][self.halves.instances[origin].exports[SHIMS][1]]
        if not isinstance(place, Export):
            raise ValueError(f"{SHIMS} is not the table of a module")
        table = self._exported(*place)
        (elements,) = module.elements
        imported = module.imported(FUNCTION_KIND)
        for number, index in enumerate(elements.functions, elements.start.number):
            name = imported[index].name
            form = module.types[Reader(imported[index].form).uleb()]
            shim, thing = self._exported(place.instance, name), self._exported(origin, name)
            if isinstance(thing, Own):
                self.known[table, number] = thing
            elif isinstance(shim, Own):
                self.slots.append(Slot(name, number, form, shim, thing))
        return own(table)

    def _needed(self) -> list[Own]:
        """The modules' functions that the component itself uses."""
        made = [thing for thing in self.halves.things[FUNCTION_KIND] if isinstance(thing, Canon)]
        lifts = [item for item in self.halves.rest if isinstance(item, Canon)]
        indices = [lift.core for lift in lifts if lift.core is not None]
        for canon in (*lifts, *made):
            indices += [
                option.thing
                for option in canon.options or ()
                if option.code in FUNCTION_OPTIONS and option.thing is not None
            ]
        things = dict.fromkeys(self._thing(FUNCTION_KIND, index) for index in indices)
        return [thing for thing in things if isinstance(thing, Own)]

    # Writing

    def component(self) -> bytes:
        """The component; its core half comes where the other half first needs it."""
        merged = merge(self.parts, self._exports(), self.known)
        Module.validate(Engine(), merged.binary)
        used = [slot for slot in self.slots if slot.shim in merged.functions]
        filler = self._filler(used, merged.starts[self.shims])
        modules = [Section(CORE_MODULE, m) for m in (merged.binary, filler)]
        instances = list(self._instances([self.hosts[host.number] for host in merged.hosts], used))
        out: list[Section] = []
        for item in self.halves.rest:
            if isinstance(item, Canon):
                out += instances
                instances = []
                out.append(Section(CANON, vector([self._canon(item)])))
            else:
                out += modules if item is MODULES_PLACE else [item]
        return join(COMPONENT, out)

    def _instances(self, direct: list[Canon], used: list[Slot]) -> Iterator[Section]:
        """Of the two modules, and what they are given."""
        if any(option.thing is not None for canon in direct for option in canon.options or ()):
            raise ValueError("a function of the host needs a memory before there is one")
        self.first = len(direct)  # of the functions that are aliases; then come those of slots
        filling = enumerate(used, self.first + len(self.functions))
        yield Section(CANON, vector(map(self._canon, direct)))
        yield _exports({str(i): (FUNCTION_KIND, i) for i in range(len(direct))})
        yield _instantiate(0, 0)
        aliases = (_alias(thing.kind, 1, name) for name, thing in self._exports().items())
        yield Section(ALIAS, vector(aliases))
        yield Section(CANON, vector(self._canon(self.hosts[slot.host.number]) for slot in used))
        table = {SHIMS: (TABLE_KIND, 0)}
        yield _exports(table | {slot.name: (FUNCTION_KIND, i) for i, slot in filling})
        yield _instantiate(1, 2)

    def _exports(self) -> dict[str, Own]:
        """What the one module exports."""
        (memory,) = (Own(n, MEMORY_KIND, 0) for n, p in enumerate(self.parts) if p.module.memories)
        functions = {str(number): thing for thing, number in self.functions.items()}
        return {"memory": memory, SHIMS: self.shims, **functions}

    def _filler(self, slots: list[Slot], start: int) -> bytes:
        """A module that puts what it imports into the table, where that of shims begins."""
        types = list(dict.fromkeys(slot.form for slot in slots))
        imports = [(SHIMS, bytes([TABLE_KIND]) + ANY_TABLE)]
        imports += [(s.name, bytes([FUNCTION_KIND]) + uleb(types.index(s.form))) for s in slots]
        elements = [
            bytes([0, I32_CONST]) + sleb(start + slot.number) + bytes([END]) + vector([uleb(index)])
            for index, slot in enumerate(slots)
        ]
        content = {
            TYPE: vector(types),
            IMPORT: vector(text("") + text(name) + form for name, form in imports),
            ELEMENT: vector(elements),
        }
        return join(MODULE, (Section(*item) for item in content.items()))

    def _canon(self, canon: Canon) -> bytes:
        function = b"" if canon.core is None else uleb(self._function(canon.core))
        options = b"" if canon.options is None else vector(map(self._option, canon.options))
        return canon.head + function + options + canon.tail

    def _option(self, option: Option) -> bytes:
        if option.thing is None:
            return bytes([option.code])
        index = 0 if option.code == MEMORY_OPTION else self._function(option.thing)
        return bytes([option.code]) + uleb(index)

    def _function(self, index: int) -> int:
        """The new index of a core function that is one of the modules'."""
        return self.first + self.functions[own(self._thing(FUNCTION_KIND, index))]


def _alias(kind: int, instance: int, name: str) -> bytes:
    return bytes([CORE, kind, CORE_EXPORT]) + uleb(instance) + text(name)


def _exports(things: dict[str, tuple[int, int]]) -> Section:
    """A core instance that exports these."""
    listed = (text(name) + bytes([kind]) + uleb(index) for name, (kind, index) in things.items())
    return Section(CORE_INSTANCE, vector([bytes([EXPORTS]) + vector(listed)]))


def _instantiate(module: int, given: int) -> Section:
    """A core instance of a module, given another one as ""."""
    arguments = vector([text("") + bytes([INSTANCE_SORT]) + uleb(given)])
    return Section(CORE_INSTANCE, vector([bytes([INSTANTIATE]) + uleb(module) + arguments]))
