"""A component is a snapshot of an interpreter: what is small in it, and what still is as it was."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.servers import PROJECT, ROOT
from nnlet.build import build_function, silent
from nnlet.client import Client
from nnlet.compiled import CompiledProvider
from nnlet.host import (
    Address,
    Limits,
    find_wasmtime,
    free_port,
    precompile,
    serve_command,
    wait_until_ready,
)
from nnlet.process import Child
from nnlet.project import Project
from nnlet.serving import build_composed
from nnlet.wasm import COMPONENT, CUSTOM, sections

CORE_MODULE = 1

# What users do at the top of a module, and what must differ from instance to instance.
APP = '''
import collections, dataclasses, datetime, decimal, enum, functools, hashlib, heapq, json, random
import re, secrets, textwrap, time, typing, urllib.parse, uuid

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, App, Response, Route


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """A point."""

    x: int
    y: int = 2
    names: list[str] = dataclasses.field(default_factory=list)


class Pair(typing.NamedTuple):
    left: int
    right: typing.Optional[str] = None


WORD = re.compile(r"(?P<word>[a-z]+)")
COUNTS = collections.Counter("abca")
LIVING = [Point(1), {"key": [1.5, None]}, "a text that was made at build time".upper()]


@functools.lru_cache
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


fibonacci(20)


def same(request, app):
    LIVING.append(len(LIVING))
    COUNTS.update("xyz")
    point = dataclasses.replace(LIVING[0], y=5)
    return Response.json({
        "asdict": dataclasses.asdict(point),
        "repr": repr(point),
        "less": point < Point(1, 6),
        "hints": sorted(map(str, typing.get_type_hints(Point).values())),
        "pair": Pair(1)._asdict(),
        "colour": Colour("red").name,
        "words": WORD.findall("one two"),
        "late": re.compile("t(w+)o").search("one twwo")[1],
        "counts": COUNTS.most_common(1),
        "living": len(LIVING),
        "fibonacci": fibonacci(25),
        "hash": hashlib.sha256(b"x").hexdigest()[:8],
        "decimal": str(decimal.Decimal("0.1") + 1),
        "date": datetime.date(2024, 2, 29).isoformat(),
        "query": urllib.parse.parse_qs("a=1&a=2"),
        "text": textwrap.fill("some words", 5),
        "doc": Point.__doc__,
        "many": sum(len(str(list(range(i)))) for i in range(1000)),
    })


def different(request, app):
    return Response.json({
        "random": random.random(),
        "shuffled": random.sample(range(1000), 10),
        "secret": secrets.token_hex(),
        "uuid": str(uuid.uuid4()),
        "time": time.time(),
        "now": datetime.datetime.now().isoformat(),
    })


app = App(
    routes=[
        *OPEN_INFERENCE_PROTOCOL,
        Route("GET", "/same", same),
        Route("GET", "/different", different),
    ]
)
'''


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """APP, served with a fresh instance for every request."""
    project = Project(tmp_path_factory.mktemp("project"))
    shutil.copytree(ROOT / "models" / "iris", project.models / "iris")
    project.app.write_text(APP)
    tool = find_wasmtime()
    machine_code = project.build / "function.cwasm"
    precompile(tool, build_composed(project).path, machine_code)
    address = Address(port=free_port())
    command = serve_command(tool, machine_code, address, CompiledProvider(), Limits())
    reused = next(word for word in command if word.startswith("--max-instance-reuse-count="))
    command[command.index(reused)] = "--max-instance-reuse-count=1"
    with Child(command, project.build / "log", CompiledProvider().environment()) as child:
        wait_until_ready(child, address.url)
        yield address.url
        assert "trace=" not in child.output() and "error" not in child.output()


def get(url: str, path: str) -> dict[str, Any]:
    with Client(url) as client:
        status, body = client.status(path)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_what_is_imported_and_made_at_build_time_works_as_ever(url: str) -> None:
    assert get(url, "/same") == {
        "asdict": {"x": 1, "y": 5, "names": []},
        "repr": "Point(x=1, y=5, names=[])",
        "less": True,
        "hints": ["<class 'int'>", "<class 'int'>", "list[str]"],
        "pair": {"left": 1, "right": None},
        "colour": "RED",
        "words": ["one", "two"],
        "late": "ww",
        "counts": [["a", 2]],
        "living": 4,
        "fibonacci": 75025,
        "hash": "2d711642",
        "decimal": "1.1",
        "date": "2024-02-29",
        "query": {"a": ["1", "2"]},
        "text": "some\nwords",
        "doc": "A point.",
        "many": sum(len(str(list(range(i)))) for i in range(1000)),
    }


def test_a_fresh_instance_starts_from_the_same_state(url: str) -> None:
    assert get(url, "/same") == get(url, "/same")


def test_chance_and_time_differ_from_instance_to_instance(url: str) -> None:
    first, second = get(url, "/different"), get(url, "/different")
    assert [name for name in first if first[name] == second[name]] == []
    assert first["time"] < second["time"]


def test_what_componentize_py_makes_is_made_small(caplog: pytest.LogCaptureFixture) -> None:
    component = build_function(PROJECT, silent).path.read_bytes()
    numbers = [section.number for section in sections(component, COMPONENT)]
    assert numbers.count(CORE_MODULE) == 2
    assert CUSTOM not in numbers
    assert len(component) < 13_000_000
    assert len(gzip.compress(component, 9)) < 4_500_000
    assert not caplog.records
