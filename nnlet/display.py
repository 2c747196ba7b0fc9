"""What people see: tables on stdout, the progress of slow steps on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from nnlet import measure
from nnlet.client import Answer, ModelInfo, Tensor
from nnlet.measure import Measure, number

if TYPE_CHECKING:
    from nnlet.bench import Bench
    from nnlet.chart import Panel
    from nnlet.export.js import Export
    from nnlet.local import LocalModel
    from nnlet.verify import Report

SHOWN = 10  # rows of an output without labels
DIGITS = 12  # of a digest
BAR_WIDTH = 40  # columns of a bar on the terminal

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Shows `name` while the block runs, and how long it took when it has."""
    started = time.monotonic()
    if err.is_terminal:
        with err.status(name):
            yield
    else:
        err.print(f"{name} ...", highlight=False)
        yield
    err.print(f"[green]done[/] {name} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)


def print_json(value: object) -> None:
    """For scripts: one document on stdout."""
    print(json.dumps(value), flush=True)


def megabytes(size: int) -> str:
    """A size in the unit that components have."""
    return f"{size / 1e6:.1f} MB"


def kilobytes(size: int) -> str:
    """A size in the unit that downloads have."""
    return f"{size / 1e3:.1f} kB"


def show_error(message: str) -> None:
    """One line that begins with "Error:"."""
    sys.stderr.write(f"Error: {' '.join(message.split())}\n")


def verify_table(reports: Iterable[Report]) -> Table:
    """What was compared, and the largest error."""
    table = Table("model", "inputs compared", "largest error", "allowed", box=None, pad_edge=False)
    for report in reports:
        worst = f"{report.worst.error:.1e}" if report.worst else "equal"
        verdict = worst if report.passed else f"[red]{worst}[/]"
        table.add_row(report.model, str(report.compared), verdict, f"{report.tolerance:g}")
    return table


def export_table(made: Export) -> Table:
    """What a browser downloads: the code, and one of the flavours."""
    about = f"{made.folder}  {made.package.name} {made.package.version}: {', '.join(made.models)}"
    table = Table(title=about, title_justify="left", box=None, pad_edge=False)
    table.add_column("a browser downloads")
    table.add_column("raw", justify="right")
    table.add_column("gzip", justify="right")
    sizes = {"JavaScript": made.javascript}
    sizes |= {f"WebAssembly, {flavour}": size for flavour, size in made.wasm.items()}
    for name, size in sizes.items():
        table.add_row(name, kilobytes(size.raw), kilobytes(size.gzip))
    table.add_row("of that, weights", kilobytes(made.weights), "")
    return table


def models_table(models: Iterable[ModelInfo]) -> Table:
    """Names, versions, inputs and outputs."""
    table = Table("model", "versions", "inputs", "outputs", box=None, pad_edge=False)
    for model in models:
        table.add_row(
            model.name,
            ", ".join(model.versions),
            "\n".join(_plain(info) for info in model.inputs),
            "\n".join(_plain(info) for info in model.outputs),
        )
    return table


def repository_table(models: Iterable[LocalModel]) -> Table:
    """One line for each version: what it is, and what it takes and gives."""
    table = Table("model", "version", box=None, pad_edge=False)
    table.add_column("bytes", justify="right")
    for name in ("digest", "changed", "inputs", "outputs"):
        table.add_column(name)
    for model in models:
        table.add_row(
            model.info.name,
            model.version,
            f"{model.size:,}",
            model.digest[:DIGITS],
            model.changed,
            "\n".join(_plain(info) for info in model.info.inputs),
            "\n".join(_plain(info) for info in model.info.outputs),
        )
    return table


def _plain(value: object) -> str:
    """Text that rich does not read as markup: shapes stand in brackets."""
    return str(value).replace("[", r"\[")


def answer_tables(answer: Answer, labels: Mapping[str, Sequence[str]]) -> Iterator[Table]:
    """One table for each output; the largest score of labelled ones stands out."""
    for tensor in answer.outputs:
        yield _output_table(tensor, labels.get(tensor.name, ()))


def _output_table(tensor: Tensor, labels: Sequence[str]) -> Table:
    title = f"{tensor.name} {tensor.datatype} {list(tensor.shape)}"
    table = Table(title=_plain(title), title_justify="left", box=None, pad_edge=False)
    if labels and tensor.shape and tensor.shape[-1] == len(labels):
        _add_scores(table, tensor, labels)
    else:
        _add_values(table, tensor, labels)
    return table


def _add_scores(table: Table, tensor: Tensor, labels: Sequence[str]) -> None:
    """One column for each row of the batch, one line for each label."""
    values = list(tensor.data)
    rows = [values[i : i + len(labels)] for i in range(0, len(values), len(labels))][:SHOWN]
    best = [row.index(max(row)) for row in rows]
    table.add_column("label")
    for index in range(len(rows)):
        table.add_column("score" if len(rows) == 1 else f"row {index}", justify="right")
    for index, label in enumerate(labels):
        cells = [_number(row[index]) for row in rows]
        marked = [
            f"[bold green]{cell}[/]" if best[i] == index else cell for i, cell in enumerate(cells)
        ]
        winner = rows and all(b == index for b in best)
        table.add_row(f"[bold green]{_plain(label)}[/]" if winner else _plain(label), *marked)


def _add_values(table: Table, tensor: Tensor, labels: Sequence[str]) -> None:
    table.add_column("index")
    table.add_column("value", justify="right")
    if labels:
        table.add_column("label")
    for index, value in enumerate(list(tensor.data)[:SHOWN]):
        known = isinstance(value, int) and 0 <= value < len(labels)
        table.add_row(str(index), _number(value), *([_plain(labels[value])] if known else []))
    hidden = len(tensor.data) - SHOWN
    if hidden > 0:
        table.add_row("...", f"{hidden} more")


def bench_table(results: Sequence[Bench]) -> Table:
    """One line for each measure, one column for each model."""
    table = Table("measure", box=None, pad_edge=False)
    for result in results:
        table.add_column(result.model, justify="right")
    for row, value in BENCH_ROWS:
        unit = "/s" if row.unit == "req/s" else f" {row.unit}"
        table.add_row(row.title, *(f"{number(value(result))}{unit}" for result in results))
    table.add_row("failed requests", *(str(result.seen.failed) for result in results))
    first = results[0]
    table.caption = f"provider {first.provider}, measured with {first.client}"
    return table


# What `nnlet bench` shows, in the order of the comparison in benchmarks/.
BENCH_ROWS: tuple[tuple[Measure, Callable[[Bench], float]], ...] = (
    (measure.FIRST, lambda found: found.seen.start_ms),
    (measure.FRESH, lambda found: found.seen.fresh.p50_ms),
    (measure.P50, lambda found: found.seen.one.p50_ms),
    (measure.P99, lambda found: found.seen.one.p99_ms),
    (measure.RATE, lambda found: found.seen.many.per_second),
    (measure.RESIDENT, lambda found: found.seen.memory),
    (measure.FURTHER, lambda found: found.seen.further),
    (measure.COMPONENT, lambda found: found.component / 1e6),
    (measure.COMPONENT_GZIP, lambda found: found.component_gzip / 1e6),
)


def breakdown_table(result: Bench) -> Table:
    """Where the time of one warm request goes: a bar for each part."""
    title = f"where one warm request for {result.model} goes"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    parts = result.breakdown.parts
    whole = result.breakdown.clocks.client
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for name, value in parts.items():
        bar = Bar(whole, 0, max(value, 0), width=BAR_WIDTH)
        table.add_row(name, f"{number(value)} ms", f"{value / whole:.0%}", bar)
    table.add_row("all, with clocks in it", f"{number(whole)} ms")
    return table


def bench_panels(results: Sequence[Bench]) -> list[Panel]:
    """The same for a chart: three panels for each model."""
    return [panel for result in results for panel in _bench_panels(result)]


def _bench_panels(result: Bench) -> Iterator[Panel]:
    from nnlet import chart
    from nnlet.chart import Panel

    def panel(title: str, unit: str, values: Mapping[str, float], colour: str) -> Panel:
        bars = [chart.Bar(n, v, f"{number(v)} {unit}", colour) for n, v in values.items()]
        return Panel(f"{result.model}: {title}", bars)

    times = {
        "a new process": result.seen.start_ms,
        "a fresh instance": result.seen.fresh.p50_ms,
        "a warm instance": result.seen.one.p50_ms,
    }
    memory = {"with one load": result.seen.memory, "each further instance": result.seen.further}
    yield panel("an answer from", "ms", times, chart.STRONG)
    yield panel("where a warm request goes", "ms", result.breakdown.parts, chart.STRONG)
    yield panel("memory", "MiB", memory, chart.PLAIN)


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
