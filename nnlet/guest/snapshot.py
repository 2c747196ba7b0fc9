"""The last step of the build inside the guest: making the interpreter's memory worth keeping.

Every new instance starts on a copy of that memory, page by page as it writes. So what costs is
how many pages one request touches, and what is stored is what is not zero:

- The request path runs once, see rehearsal.py.
- What is dead is collected; what lives is hidden from the collector, which would visit it all.
- Holes between living objects are closed, so that a request's objects lie side by side at the
  end of memory and not one in each of hundreds of pages.
- The addresses of living objects are written down. nnlet/shrink.py marks these as immortal:
  taking a reference to one then writes nothing, and copies no page.
"""

from __future__ import annotations

import gc
import struct
import sys
from typing import Any

from nnlet.guest.app import App
from nnlet.guest.rehearsal import rehearse

# nnlet/shrink.py finds the addresses by this: mark, count, and count pairs of object and type,
# all numbers little endian, in 4 bytes.
MARK = b"nnlet: living objects\0\0\0"

# Memory kept free at the end, so that small requests need not grow it.
RESERVE = 1 << 20
# Holes this large or larger are left as they are, and are used first.
LARGE_HOLE = 1 << 16
MAX_HOLES = 1 << 16

Code = type((lambda: None).__code__)

addresses = b""
fillings: list[object] = []


def prepare(app: App) -> None:
    """Called once, after everything was imported."""
    global addresses, fillings
    rehearse(app)
    _stand_in_for_random()
    gc.unfreeze()
    gc.collect()
    addresses = table(living())
    gc.collect()
    fillings = fill_holes()
    gc.freeze()


def _stand_in_for_random() -> None:
    """componentize-py seeds `random` in every instance, and imports it for that alone."""
    if "random" not in sys.modules:
        module = type(sys)("random")
        module.__dict__.update(seed=lambda: None, __getattr__=_not_random)
        sys.modules["random"] = module


def _not_random(name: str) -> Any:
    raise AttributeError(f"no random.{name}: import random at the top of app.py, not later")


def living() -> dict[int, type]:
    """The type of every object that can be found, by address."""
    found: dict[int, type] = {}
    left = gc.get_objects()
    while left:
        item = left.pop()
        if item is not found and item is not left and id(item) not in found:
            found[id(item)] = type(item)
            left += _parts(item)
    return found


def _parts(item: object) -> list[Any]:
    """What an object refers to. The collector does not look into code, since it has no cycles."""
    if isinstance(item, Code):
        return [
            *(item.co_consts, item.co_names, item.co_filename, item.co_name, item.co_qualname),
            *(item.co_linetable, item.co_exceptiontable),
        ]
    return gc.get_referents(item)


def table(objects: dict[int, type]) -> bytes:
    """What shrink.py reads."""
    numbers = [len(objects)]
    for address, kind in objects.items():
        numbers += (address, id(kind))
    return MARK + struct.pack(f"<{len(numbers)}I", *numbers)


def fill_holes() -> list[object]:
    """Objects that fill the free memory between others, and that must stay alive.

    Memory is given out from the smallest hole that fits, and from the end when there is none.
    The end begins where `end` lies: larger than most holes, it is taken from there itself.
    """
    fillings: list[object] = [None] * MAX_HOLES  # as long as it gets: growing would make holes
    end = bytes(RESERVE)
    count, size = 0, LARGE_HOLE
    while size and count < MAX_HOLES:
        filling: object = bytes(size) if size > 1 else object()
        if id(filling) < id(end):
            fillings[count] = filling
            count += 1
        else:
            size -= max(1, size // 16)
    return fillings
