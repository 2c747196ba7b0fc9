"""The exports for JavaScript: what a browser downloads, what a start and a call cost in Node.

    python -m benchmarks.exports            writes results/exports.json and docs/hosts/browser.md
    python -m benchmarks.exports --quick    one round, nothing written

For digits alone. Answers are compared with wasmtime's before anything is reported.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.progress import note
from benchmarks.report import RESULTS, Measure, Report
from benchmarks.served import ROOT
from nnlet.component import wrap
from nnlet.export import npm
from nnlet.export.jco import FOLDER
from nnlet.export.js import Export, Size, export_js
from nnlet.model import read_repository
from nnlet.provider import Provider

MODEL = "digits"
ROUNDS = 7
RESULT = RESULTS / "exports.json"
PAGE = ROOT / "docs" / "hosts" / "browser.md"
SCRIPT = Path(__file__).with_suffix(".mjs")
BEGIN, END = "<!-- benchmarks.exports: -->", "<!-- :benchmarks.exports -->"

MEASURES = (
    Measure("raw", "bytes", "kB"),
    Measure("gzip", "bytes, gzip", "kB"),
    Measure("start", "modules imported, model loaded, first answer", "ms"),
    Measure("call", "one call", "µs"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round, nothing written")
    parser.add_argument("--anyway", action="store_true", help="measure beside others' work")
    options = parser.parse_args()
    machine.require_quiet(options.anyway or options.quick)
    with tempfile.TemporaryDirectory() as name:
        report = measure(Path(name, "js"), 1 if options.quick else ROUNDS)
    report.print()
    if not options.quick:
        report.save(RESULT)
        write_table(report)


def measure(folder: Path, rounds: int) -> Report:
    """The sizes of an export, and the timings of `rounds` fresh processes."""
    note(f"exporting {MODEL}")
    made = export_js(ROOT / "models", folder, [MODEL])
    settings = {"rounds": rounds, "model": MODEL}
    versions = machine.versions("onnx", "wasmtime", "ziglang")
    versions |= {"node": npm.run([npm.find_node(), "--version"]).stdout.strip().lstrip("v")}
    report = Report(MEASURES, versions | npm.wanted(FOLDER), settings)
    _sizes(report, made)
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        report.busy.append(machine.busy())
        for key, value in _timed(folder).items():
            report.add("Node", "", key, value)
    return report


def _sizes(report: Report, made: Export) -> None:
    weights = made.weights
    parts = {"JavaScript": made.javascript}
    parts |= {f"WebAssembly, {flavour}": size for flavour, size in made.wasm.items()}
    parts["of that, weights"] = Size(weights, weights)
    for name, size in parts.items():
        report.add(name, "", "raw", size.raw / 1000)
        if name != "of that, weights":
            report.add(name, "", "gzip", size.gzip / 1000)


def _timed(folder: Path) -> dict[str, float]:
    """One fresh Node, whose answer is checked."""
    done = npm.run([npm.find_node(), str(SCRIPT), str(folder), MODEL])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    for flavour in ("relaxed", "simd128"):
        if _expected(folder, flavour) == found["outputs"]["probabilities"]:
            return {"start": found["start"], "call": found["call"]}
    raise SystemExit("Error: Node's answer is not wasmtime's in any flavour")


def _expected(folder: Path, flavour: str) -> list[float]:
    """What wasmtime answers with the same module."""
    (spec,) = [spec for spec in read_repository(ROOT / "models") if spec.name == MODEL]
    provider = Provider(wrap((folder / f"models.{flavour}.wasm").read_bytes()))
    inputs = {name: np.array(value, np.float32) for name, value in spec.example.items()}
    (answer,) = provider.run(spec.name, spec.version, inputs)
    values: list[float] = answer.reshape(-1).tolist()
    return values


def write_table(report: Report) -> None:
    """The table between the marks of the page."""
    lines = [
        f"`python -m benchmarks.exports`, {MODEL} alone: what a browser downloads. One of the two "
        "flavours is.",
        "",
        "| | kB | kB, gzip |",
        "|---|---:|---:|",
    ]
    for name in dict.fromkeys(subject for subject, _, _ in report.samples if subject != "Node"):
        raw, packed = report.median(name, "", "raw"), report.median(name, "", "gzip")
        lines.append(f"| {name} | {raw:.1f} | {'' if packed is None else f'{packed:.1f}'} |")
    start, call = report.median("Node", "", "start"), report.median("Node", "", "call")
    lines += [
        "",
        f"In Node {report.versions['node']}, modules imported, model loaded and first answer take "
        f"{start:.0f} ms, each further call {call:.0f} µs.",
    ]
    text = PAGE.read_text(encoding="utf-8")
    block = "\n".join([BEGIN, "", *lines, "", END])
    PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main()
