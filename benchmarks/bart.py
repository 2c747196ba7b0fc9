"""Posterior draws of BART, and boosted trees: served by us and behind FastAPI, and their sizes.

    python -m benchmarks.bart            all; writes results/bart.json and docs/performance.md
    python -m benchmarks.bart --quick    one short round, nothing written

One property in, the mean and 1000 posterior draws of its price out (200 trees a draw); the same
property in, the price of 500 boosted trees out, and 1000 rows at once. All servers run, and take
turns; every answer is compared with that of the model's own library before it is timed. The
models are made by benchmarks.properties, once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import sysconfig
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nnlet
from benchmarks import machine, properties
from benchmarks.function import Failed, first_answer
from benchmarks.markdown import replace_section, table
from benchmarks.peers.nnlet_function import Function
from benchmarks.progress import note
from benchmarks.properties import BUILD
from benchmarks.report import RESULTS, Report
from benchmarks.served import ROOT
from nnlet.errors import NnletError
from nnlet.host import free_port
from nnlet.load import Request, ask, client, load
from nnlet.measure import Measure
from nnlet.memory import memory
from nnlet.process import Child

MODELS = BUILD / "models"
RESULT = RESULTS / "bart.json"
PAGE = ROOT / "docs" / "performance.md"
PATIENCE = 300  # seconds: stochtree reads 190 MB of JSON
ROWS = 1000
TOLERANCE = 1e-4
OURS = "nnlet"
BART, BOOSTED, MANY = (
    "1000 draws of BART",
    "500 boosted trees, 1 row",
    "500 boosted trees, 1000 rows",
)

MEASURES = (
    Measure("first", "spawned to first answer", "ms"),
    Measure("p50", "round trip, p50", "ms"),
    Measure("p99", "round trip, p99", "ms"),
    Measure("pss", "memory of the server after load, PSS", "MiB"),
    Measure("rss", "the same, RSS", "MiB"),
    Measure("alone", "the library's own predict in process, one thread", "ms"),
    Measure("model", "model", "MB"),
    Measure("model_gzip", "model, gzip", "MB"),
    Measure("python", "the function's own Python", "MB"),
    Measure("runtime", "runtime", "MB"),
    Measure("total", "all that is deployed", "MB"),
    Measure("rest", "model and runtime, without the function's own Python", "MB"),
)


@dataclass(frozen=True)
class Subject:
    """A server of one model: what it deploys as model, and what it needs to run it.

    `library` is what prices_app.py computes with, "" for ours; `packages` are those that its
    process needs, with what those need.
    """

    name: str
    model: str
    file: Path
    library: str = ""
    packages: tuple[str, ...] = ()

    @property
    def server(self) -> tuple[str, str]:
        return self.library, str(self.file) if self.library else ""  # ours serves both

    def request(self, body: bytes, raw: bool) -> Request:
        """One record as JSON, or rows as bytes."""
        if not raw:
            path = "/predict" + ("" if self.library else f"/{self.file.parent.parent.name}")
            return Request(path, body, (("Content-Type", "application/json"),))
        if self.library:
            return Request("/raw", body)
        tensor = {"name": "features", "datatype": "FP32", "shape": [ROWS, len(body) // ROWS // 4]}
        tensor["parameters"] = {"binary_data_size": len(body)}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        length = ("Inference-Header-Content-Length", str(len(head)))
        return Request("/v2/models/boosted/infer", head + body, (length,))


WEB = ("fastapi", "uvicorn", "uvloop", "httptools", "orjson", "numpy")


def subjects() -> list[Subject]:
    """Every server and model, the model's own library first: it has the right answer."""
    price, boosted = (MODELS / name / "1" / "model.onnx" for name in ("price", "boosted"))
    own = properties.booster_file()
    ort = ("onnxruntime", ("onnxruntime", *WEB))
    trees = ("xgboost", (_xgboost_package(), *WEB))
    found = [
        Subject(
            "stochtree, FastAPI", BART, properties.bart_file(), "stochtree", ("stochtree", *WEB)
        ),
        Subject("onnxruntime, FastAPI", BART, price, *ort),
        Subject(OURS, BART, price),
    ]
    for model in (BOOSTED, MANY):
        found += [
            Subject("XGBoost, FastAPI", model, own, *trees),
            Subject("onnxruntime, FastAPI", model, boosted, *ort),
            Subject(OURS, model, boosted),
        ]
    return found


def _xgboost_package() -> str:
    """xgboost-cpu is the same library without its gigabyte for GPUs."""
    try:
        return distribution("xgboost-cpu").name
    except PackageNotFoundError:
        return "xgboost"


# The models -------------------------------------------------------------------


def prepare() -> None:
    """Fit and convert what is not there yet."""
    frame, _ = properties.properties()
    if not (MODELS / "price").exists():
        note("converting the BART model")
        nnlet.add(properties.bart_file(), "price", frame, into=MODELS, draws=True)
    if not (MODELS / "boosted").exists():
        note("converting the boosted model")
        _add_boosted(properties.numbers(frame))


def _add_boosted(rows: NDArray[np.float32]) -> None:
    import onnx
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = xgboost.XGBRegressor()
    model.load_model(properties.booster_file())
    types = [("features", FloatTensorType([None, rows.shape[1]]))]
    path = BUILD / "boosted.onnx"
    onnx.save(convert_xgboost(model, initial_types=types, target_opset=15), path)
    columns = properties.properties()[0].columns
    sample = {name: rows[:, at] for at, name in enumerate(columns)}
    nnlet.add(path, "boosted", sample, into=MODELS)


def columns() -> dict[str, list[str] | None]:
    """The categories of each column, None for numbers."""
    frame, _ = properties.properties(10)
    return {
        name: list(kind.categories) if hasattr(kind, "categories") else None
        for name, kind in frame.dtypes.items()
    }


def bodies() -> dict[tuple[str, bool], bytes]:
    """What is sent, by model and whether to ours: of boosted trees ours takes places of
    categories, since its model came as plain ONNX."""
    frame, _ = properties.properties()
    rows = properties.numbers(frame)
    record = json.loads(frame.iloc[[7]].to_json(orient="records"))[0]
    coded = {name: float(value) for name, value in zip(frame.columns, rows[7], strict=True)}
    words = json.dumps(record).encode()
    return {
        (BART, True): words,
        (BART, False): words,
        (BOOSTED, True): json.dumps(coded).encode(),
        (BOOSTED, False): words,
        (MANY, True): rows[:ROWS].tobytes(),
        (MANY, False): rows[:ROWS].tobytes(),
    }


def numbers_in(model: str, answer: bytes) -> NDArray[np.float64]:
    """What a server answered: the draws, or the predictions."""
    if model == MANY:
        return np.frombuffer(answer[-4 * ROWS :], np.float32).astype(np.float64)
    found = json.loads(answer)
    return np.array(found["draws"] if model == BART else list(found.values())[:1], np.float64)


# The measurement --------------------------------------------------------------


def measure(rounds: int, seconds: int) -> Report:
    """Start every server, then let them take turns."""
    prepare()
    ours = Function("compiled", app=Path(__file__).parent / "peers" / "tables_function.py")
    ours.prepare(MODELS, BUILD)
    found = machine.versions("onnxruntime", "stochtree", _xgboost_package(), "fastapi", "uvicorn")
    report = Report(
        MEASURES,
        found | ours.versions(),
        {"client": client(), "rounds": rounds, "seconds": seconds},
    )
    sent, everyone = bodies(), subjects()
    with ExitStack() as stack:
        servers: dict[tuple[str, str], tuple[Child, int]] = {}
        right: dict[str, NDArray[np.float64]] = {}
        for subject in everyone:
            request = subject.request(
                sent[subject.model, not subject.library], subject.model == MANY
            )
            if subject.server not in servers:
                note(f"starting {subject.name}")
                port = free_port()
                began = time.perf_counter()
                child = stack.enter_context(_start(subject, ours, port))
                first_answer(port, request, child, began + PATIENCE)
                report.add(
                    subject.name, subject.model, "first", (time.perf_counter() - began) * 1000
                )
                servers[subject.server] = child, port
            _check(subject, ask(servers[subject.server][1], request), right)
        for number in range(1, rounds + 1):
            report.busy.append(machine.busy(1))
            for subject in everyone:
                note(f"round {number} of {rounds}: {subject.model}, {subject.name}")
                child, port = servers[subject.server]
                raw = subject.model == MANY
                request = subject.request(sent[subject.model, not subject.library], raw)
                load(port, request, connections=1, seconds=1)  # warm-up, not counted
                took = load(port, request, connections=1, seconds=seconds)
                if took.failed:
                    raise SystemExit(f"{subject.name}: {took.failed} requests failed")
                report.add(subject.name, subject.model, "p50", took.p50_ms)
                report.add(subject.name, subject.model, "p99", took.p99_ms)
                used = memory(child.pid)
                report.add(subject.name, subject.model, "pss", used.pss)
                report.add(subject.name, subject.model, "rss", used.rss)
            _measure_alone(report)
    for subject in everyone:
        _measure_size(report, subject, ours)
    return report


def _check(subject: Subject, answer: bytes, right: dict[str, NDArray[np.float64]]) -> None:
    """Nothing is timed whose answers are not the library's own."""
    found = numbers_in(subject.model, answer)
    expected = right.setdefault(subject.model, found)
    if not np.allclose(found, expected, rtol=TOLERANCE):
        raise SystemExit(f"{subject.name}: answered {found[:4]}, expected {expected[:4]}")


def _start(subject: Subject, ours: Function, port: int) -> Child:
    log = BUILD / f"{subject.library or OURS}.log"
    if not subject.library:
        return ours.start(port, log)
    command = [sys.executable, "-m", "uvicorn", "prices_app:app"]
    command += ["--app-dir", str(ROOT / "benchmarks" / "peers"), "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning"]
    environment = {
        "LIBRARY": subject.library,
        "MODEL": str(subject.file),
        "COLUMNS": json.dumps(columns()),
        "OMP_NUM_THREADS": "1",
    }
    return Child(command, log, environment)


def _measure_alone(report: Report) -> None:
    """XGBoost's predict without a server."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=str(properties.booster_file()))
    rows = properties.numbers(properties.properties()[0])
    for model, count in ((BOOSTED, 1), (MANY, ROWS)):
        took = []
        for _ in range(200):
            began = time.perf_counter()
            booster.inplace_predict(rows[:count])
            took.append(time.perf_counter() - began)
        report.add("XGBoost, FastAPI", model, "alone", float(np.median(took)) * 1000)


# Sizes ------------------------------------------------------------------------


def _measure_size(report: Report, subject: Subject, ours: Function) -> None:
    """Of what is deployed, in MB; ours has one component for both models, weighed one by one."""
    if subject.library:
        content = subject.file.read_bytes()
        sizes = {"python": 0.0, "runtime": _python_size() + _packages_size(subject.packages)}
    else:
        content = _component_of(subject.file)
        whole, models = (ours.project.build / name for name in ("function.wasm", "models.wasm"))
        sizes = {
            "python": (whole.stat().st_size - models.stat().st_size) / 1e6,
            "runtime": ours.tool.path.stat().st_size / 1e6,
        }
    sizes["model"] = len(content) / 1e6
    sizes["rest"] = sizes["model"] + sizes["runtime"]
    sizes["total"] = sizes["rest"] + sizes["python"]
    sizes["model_gzip"] = len(gzip.compress(content, 6)) / 1e6
    for key, value in sizes.items():
        report.add(subject.name, subject.model, key, value)


def _component_of(file: Path) -> bytes:
    """One model as a component of its own."""
    from nnlet.compiler import compile_models
    from nnlet.component import build_component
    from nnlet.model import read_model

    module = compile_models([read_model(file.parent.parent.name, "1", file, {})])
    return build_component(module.source, module.weights)


def _python_size() -> float:
    """The interpreter and its standard library, without tests and packages."""
    library = Path(sysconfig.get_path("stdlib")).resolve()
    left_out = {"site-packages", "test", "tests", "__pycache__", "idlelib", "tkinter"}
    total = 0
    for folder, inside, files in os.walk(library):
        inside[:] = [name for name in inside if name not in left_out]
        total += sum(Path(folder, name).stat().st_size for name in files if name[-2:] != ".a")
    shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY"))
    program = shared if shared.suffix != ".a" and shared.exists() else Path(sys.executable)
    return (total + program.resolve().stat().st_size) / 1e6


def _packages_size(names: tuple[str, ...]) -> float:
    """All files of packages and of what they need, as installed, without bytecode."""
    todo, seen, total = list(names), set(), 0
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            continue
        for file in found.files or ():
            path = Path(str(file.locate()))
            if path.suffix != ".pyc" and path.is_file():
                total += path.stat().st_size
        todo += [
            match[0]
            for needed in found.requires or ()
            if "extra ==" not in needed and (match := re.match(r"[\w.-]+", needed))
        ]
    return total / 1e6


# The page ---------------------------------------------------------------------


def tables(content: dict[str, Any]) -> str:
    """The results as Markdown: one table a model."""
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    about = content["machine"]
    parts = [
        f"`{content['command']}`, {content['when'][:10]}: {about['cores']} cores, {about['cpu']}, "
        f"{about['memory_gib']} GiB, {about['system']}; "
        f"{max(content['busy_before_each_round']):.0%} of it busy with other work at most. "
        f"{versions}."
    ]
    found = {(r["subject"], r["model"], r["measure"]): r["median"] for r in content["results"]}
    for model in dict.fromkeys(key[1] for key in found):
        names = list(dict.fromkeys(key[0] for key in found if key[1] == model))
        rows = []
        for measure in MEASURES:
            values = [found.get((name, model, measure.key)) for name in names]
            if any(value is not None for value in values):
                shown = ("-" if value is None else f"{value:,g}" for value in values)
                rows.append([f"{measure.title}, {measure.unit}", *shown])
        parts += [f"**{model}**", table(["", *names], rows)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bart", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()

    machine.require_quiet(args.anyway or args.quick)
    rounds, seconds = (1, 1) if args.quick else (args.rounds, args.seconds)
    try:
        report = measure(rounds, seconds)
    except (NnletError, Failed) as exc:
        raise SystemExit(f"Error: {exc}") from exc
    report.print()
    if not args.quick:
        report.save(RESULT)
        content = json.loads(RESULT.read_text(encoding="utf-8"))
        replace_section(PAGE, "benchmarks.bart", tables(content))
        note(f"wrote {RESULT} and {PAGE}")


if __name__ == "__main__":
    main()
