"""What was measured, as tables: on the terminal, and in docs/performance.md."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import rich.table
from rich.console import Console

from benchmarks.kernel_peers.table import OURS, PEER, RUNNERS

BEGIN, END = "<!-- benchmarks.kernels: -->", "<!-- :benchmarks.kernels -->"
NATIVE = "onnxruntime"
WIDTH = 150  # columns of the terminal
SINGLE = ("mlp", "forest_1")  # one row, where a call's own cost counts
COSTS = ("least", "processor", "load", "memory", "code", "weights", "compile", "translate")


@dataclass(frozen=True)
class Table:
    """A title, and cells: the first of a row is its name, the others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Results:
    """A results file of benchmarks.kernels."""

    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Results:
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def workloads(self) -> dict[str, dict[str, Any]]:
        """Title, `counted` and `flops` by name, in order."""
        found: dict[str, dict[str, Any]] = self.content["settings"]["workloads"]
        return found

    @property
    def runners(self) -> list[str]:
        return [name for name in RUNNERS if name in self.content["settings"]["runners"]]

    def find(self, runner: str, workload: str, measure: str) -> dict[str, Any] | None:
        """Median, low, high and samples; None if it was not measured."""
        key = (runner, workload, measure)
        for result in self.content["results"]:
            if (result["subject"], result["model"], result["measure"]) == key:
                found: dict[str, Any] = result
                return found
        return None

    def median(self, runner: str, workload: str, measure: str) -> float:
        """NaN if it was not measured."""
        found = self.find(runner, workload, measure)
        return found["median"] if found else math.nan

    def rate(self, runner: str, workload: str) -> float:
        """GFLOP/s of a workload that has flops."""
        milliseconds = self.median(runner, workload, "call")
        return float(self.workloads[workload]["flops"] / milliseconds / 1e6)

    def ratio(self, workload: str, other: str = PEER) -> float:
        """How many times faster ours is."""
        theirs = self.median(other, workload, "call")
        return theirs / self.median(OURS, workload, "call")

    def mean_ratio(self) -> float:
        """The geometric mean of `ratio` over the workloads that count."""
        found = [self.ratio(name) for name, about in self.workloads.items() if about["counted"]]
        return geometric_mean([value for value in found if value == value] or [math.nan])

    def print(self) -> None:
        """On the terminal."""
        for table in tables(self):
            shown = rich.table.Table(title=table.title, title_justify="left")
            for number, name in enumerate(table.header):
                shown.add_column(name, justify="right" if number else "left", min_width=9)
            for row in table.rows:
                shown.add_row(*row)
            Console(width=WIDTH).print(shown)
        print("\n".join(goals(self)))


def tables(results: Results) -> list[Table]:
    """Calls, rates, then what each model costs to hold."""
    return [_calls(results), _rates(results), *(_cost(results, key) for key in COSTS)]


def _calls(results: Results) -> Table:
    header = ["one call, ms (least to most)", *results.runners, f"times faster than {PEER}"]
    rows = []
    for name, about in results.workloads.items():
        if not about["flops"]:
            cells = [_spread(results.find(r, name, "call")) for r in results.runners]
            rows.append([about["title"], *cells, _number(results.ratio(name))])
    blank = [""] * len(results.runners)
    rows.append(["geometric mean, without the empty model", *blank, _number(results.mean_ratio())])
    return Table("One call", header, rows)


def _rates(results: Results) -> Table:
    header = ["float32, GFLOP/s", *results.runners]
    rows = [
        [about["title"], *(_number(results.rate(r, name)) for r in results.runners)]
        for name, about in results.workloads.items()
        if about["flops"]
    ]
    peaks = (_number(results.median(r, "", "peak")) for r in results.runners)
    return Table("Matrix products", header, [*rows, ["multiply-adds of 128 bits alone", *peaks]])


def _cost(results: Results, key: str) -> Table:
    measure = next(m for m in results.content["measures"] if m["key"] == key)
    runners = [
        runner
        for runner in results.runners
        if any(results.find(runner, name, key) for name in results.workloads)
    ]
    rows = [
        [about["title"], *(_number(results.median(runner, name, key)) for runner in runners)]
        for name, about in results.workloads.items()
        if not about["flops"]
    ]
    title: str = measure["title"]
    return Table(title[0].upper() + title[1:], [f"{title}, {measure['unit']}", *runners], rows)


def goals(results: Results) -> list[str]:
    """What the project set out to reach, beside what was found, one line each."""
    peak = results.median(OURS, "", "peak")
    rates = [results.rate(OURS, name) for name, w in results.workloads.items() if w["flops"]]
    lines = [f"geometric mean against {PEER}: {results.mean_ratio():.2f} times (at least 1.5)"]
    slower = [w["title"] for n, w in results.workloads.items() if results.ratio(n) < 1]
    lines.append(f"slower than {PEER} on: {'; '.join(slower) or 'nothing'} (nothing)")
    for name in SINGLE:
        ratio = results.ratio(name, NATIVE)
        lines.append(f"{name}: {ratio:.2f} times as fast as native {NATIVE} (more than 1)")
    for name, limit in (("squeezenet", 18), ("transformer", 5.5)):
        found = results.median(OURS, name, "call")
        lines.append(f"{name}: {found:g} ms (at most {limit})")
    if rates:
        lines.append(f"matrix products: up to {max(rates):.0f} GFLOP/s of {peak:.0f} (at least 35)")
    for name, limit in (("mlp", 16), ("squeezenet", 200)):
        found = results.median(OURS, name, "code")
        lines.append(f"{name}: {found:g} kB beyond its weights (at most {limit})")
    return [line for line in lines if "nan" not in line]  # not all was measured


def _spread(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    if len(found["samples"]) == 1:
        return f"{_number(found['median'])} (once)"
    low, high = _number(found["low"]), _number(found["high"])
    return f"{_number(found['median'])} ({low}-{high})"


def _number(value: float) -> str:
    """Three digits; "-" for what was not measured."""
    if value != value:
        return "-"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


# -- docs -----------------------------------------------------------------------------------------


def write_section(results: Results, path: Path) -> None:
    """Put the tables between the two marks in a Markdown file."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"Error: {path} has no {BEGIN} and {END}, where the tables go")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n\n{section(results)}\n{END}{tail}", encoding="utf-8")


def section(results: Results) -> str:
    """The tables in Markdown, with what they were measured on."""
    about = results.content["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in sorted(results.content["versions"].items()))
    busy = results.content["busy_before_each_round"]
    parts = [
        f"`{results.content['command']}`, {results.content['when'][:10]}: {about['cores']} cores, "
        f"{about['cpu']}, {about['memory_gib']} GiB, {about['system']}; "
        f"{max(busy):.0%} of the machine busy with other work at most. {versions}.",
        *(f"**{table.title}**\n\n{_markdown(table)}" for table in tables(results)),
    ]
    left_out = results.content["settings"]["left_out"]
    if left_out:
        reasons = [f"- {which}: `{' '.join(why.split())[:160]}`" for which, why in left_out.items()]
        parts.append("\n".join(["Not measured:", "", *reasons]))
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    line = ["---", *["---:"] * (len(table.header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (table.header, line, *table.rows))
