"""The guest's C, compiled for this machine: the same answers as its twins in Python."""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from nnlet import extension, zig
from nnlet.errors import HTTPError, ToolMissing
from nnlet.guest import jsontext, protocol, tensors
from nnlet.guest.models import Model
from nnlet.tensor import DATATYPES

MODEL = Model(
    {
        "name": "all",
        "version": "1",
        "inputs": [("x", "FP32", (-1, 2)), ("n", "INT32", (2,)), ("b", "BOOL", (1,))],
        "outputs": [],
    }
)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """nnlet_json as an extension of the Python that runs the tests."""
    if sys.platform != "linux":
        pytest.skip("other systems link extensions in other ways; CI runs this on Linux")
    files = {path.name: path.read_bytes() for path in extension.SOURCES.glob("*.h")}
    files["nnlet_json.c"] = (extension.SOURCES / "nnlet_json.c").read_bytes()
    flags = ["-shared", "-fPIC", "-nostdlib", "-Wl,-z,lazy", "-Wl,--allow-shlib-undefined"]
    flags += [*zig.FLAGS, *zig.optimize(2), "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
    path = tmp_path_factory.mktemp("native") / "nnlet_json.so"
    path.write_bytes(zig.compile_c(files, flags, path.name))
    spec = importlib.util.spec_from_file_location("nnlet_json", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def floats(count: int) -> list[float]:
    """Of every kind: all bits, short decimals, whole numbers, and the ends of the range."""
    some = random.Random(0)
    bits = [some.getrandbits(32) for _ in range(count)]
    values = list(struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *bits)))
    values += [round(some.uniform(-1, 1), some.randrange(9)) for _ in range(count)]
    values += [float(some.getrandbits(some.randrange(1, 64))) for _ in range(count)]
    values += [0.0, -0.0, 1e-45, 3.4028234e38, 1e9, 999999999.0, 1e-4, 9.9999e-5, 0.1, 5e-324]
    return [value for value in values if abs(value) < 3.4e38 or value == 3.4028234e38]


def test_floats_are_printed_as_python_prints_them(native: Any) -> None:
    data = struct.pack(f"<{len(values := floats(20_000))}f", *values)
    assert native.print_floats(data) == tensors.to_json(DATATYPES["FP32"], data, "output")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_form_for_is_left_to_python(native: Any, value: float) -> None:
    assert native.print_floats(struct.pack("<2f", 1, value)) is None


def test_numbers_are_read_as_python_reads_them(native: Any) -> None:
    some = random.Random(1)
    texts = [repr(value) for value in floats(5_000)]
    texts += [f"{some.gauss(0, 1):.{some.randrange(25)}e}" for _ in range(5_000)]
    texts += [f"{some.getrandbits(53)}.5" for _ in range(2_000)]
    texts += ["0e5", "1E+2", "-1e-3", "9007199254740993.0", "1.7976931348623157e308", "5e-324"]
    whole, shape, doubles = native.read(f'{{"data":[{",".join(texts)}]}}'.encode())["data"]
    assert (whole, shape) == (False, (len(texts),))
    found = struct.unpack(f"<{len(texts)}d", doubles)
    wrong = [(t, f) for t, f in zip(texts, found, strict=True) if repr(f) != repr(float(t))]
    assert wrong == []


def test_the_table_of_powers_holds_their_first_128_bits() -> None:
    lines = (extension.SOURCES / "powers.h").read_text().splitlines()
    rows = [line for line in lines if line.strip().startswith("{0x")]
    first = int(rows[0].split("// ")[1])
    for power, line in enumerate(rows, first):
        high, low = (int(word, 16) for word in line.split("}")[0].strip(" {").split(","))
        found = high << 64 | low
        five = 5 ** abs(power)
        if power >= 0:
            expected = (five << 256) >> (256 + five.bit_length() - 128)
        else:
            expected = (1 << 127 + five.bit_length()) // five + (power >= -27)
        assert found == expected, power


X = '{"name":"x","datatype":"FP32","shape":[1,2],"data":%s}'
N = '{"name":"n","datatype":"INT32","shape":[2],"data":%s}'
B = '{"name":"b","datatype":"BOOL","shape":[1],"data":[true]}'


@pytest.mark.parametrize(
    "body",
    [
        *(
            f'{{"inputs":[{X % x},{N % "[1,-2]"},{B}]}}'
            for x in (
                *("[1,2]", "[[1,2.5]]", "[1.5e-3,-0]", "[[-0.0],[1]]", "[1,2,3]", "[[1],[2,3]]"),
                *("[1e39,0]", "[1e999,0]", "[NaN,1]", "[01,2]", "[1.,2]", "[.5,2]", "[+1,2]"),
                *("[1,]", "[]", "[[]]", "[1,null]", '["1",2]', "[true,1]", "1", "{}", "null"),
                *("[9007199254740993,1]", "[123456789012345678901234567890,1]", "[1,2", "[1 2]"),
                *("[ 1\n,\t2 ]", "[[[1,2]]]", "[1,[2]]", "[[1,2],3]", "[3.4028235677973366e38,0]"),
            )
        ),
        *(
            f'{{"inputs":[{X % "[1,2]"},{N % n},{B}]}}'
            for n in ("[1,2]", "[1.0,2]", "[2147483648,0]", "[-2147483648,0]", "[1e1,2]", "[-0,1]")
        ),
        *("", "null", "[]", "{}", '{"inputs":[]}', '{"inputs":[1]}', '{"data":[1,2]}', " {} x"),
        f'{{"inputs":[{X % "[1,2]"}],"inputs":[{X % "[3,4]"},{N % "[1,2]"},{B}]}}',
        f'{{"id":"\\u00e9","inputs":[{X % "[1,2]"},{N % "[1,2]"},{B}]}}',
        f'{{"id":"\xe9","inputs":[{X % "[1,2]"},{N % "[1,2]"},{B}]}}',
        f'{{"id":"i","parameters":{{"data":[1]}},"inputs":[{X % "[1,2]"},{N % "[1,2]"},{B}]}}',
        f'{{"id":{"[" * 40}}}',
    ],
)
def test_a_request_is_read_the_same_with_and_without(
    native: Any, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    without = read(body)
    for module in (jsontext, protocol, tensors):
        monkeypatch.setattr(module, "native", native)
    assert read(body) == without


def read(body: str) -> Any:
    try:
        request = protocol.read_request(MODEL, {}, body.encode())
    except HTTPError as exc:
        return exc.status, exc.message
    tensors = [(name, t.datatype, t.shape, t.data) for name, t in request.inputs]
    return request.id, tensors


def test_a_plain_request_is_read_natively(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "native", native)
    monkeypatch.setattr(tensors, "native", native)
    monkeypatch.setattr(protocol, "parse", None)
    body = f'{{"inputs":[{X % "[[1,2.5]]"},{N % "[1,2]"},{B}]}}'
    assert read(body)[1][0] == ("x", "FP32", (1, 2), struct.pack("<2f", 1, 2.5))


def test_every_extension_is_a_library_with_its_types() -> None:
    for name in extension.names():
        module = extension.build_extension(name)
        asks = (extension.SOURCES / f"{name}.types").exists()
        assert module.count(extension.COMPONENT_TYPE.encode()) == asks
        assert b"PyInit_" + name.encode() in module


def test_without_zig_there_are_no_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> str:
        raise ToolMissing("no zig")

    monkeypatch.setattr(zig, "version", missing)
    extension.write_extensions(tmp_path / "extensions")
    assert list((tmp_path / "extensions").iterdir()) == []
    assert "no zig" in caplog.text
    assert extension.compiler() == "no zig"
