"""Draw the results: how long a call takes beside onnxruntime-web, and how near the limit."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.kernel_peers.table import OURS, PEER, RUNNERS
from benchmarks.kernel_peers.tables import Results

# Told apart by people with any colour vision (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#f2c76b", "#009e73", "#cc79a7", "#999999")
WIDTH = 9.5  # inches
LINE = 0.36  # inches for a workload
EDGE = 5  # times onnxruntime-web's: what is slower stands at the edge
COLOUR = dict(zip(RUNNERS, COLOURS, strict=True))


def draw(results: Results, chart: Path) -> None:
    """The same results draw the same bytes."""
    calls = [name for name, about in results.workloads.items() if about["counted"]]
    rates = [name for name, about in results.workloads.items() if about["flops"]]
    height = LINE * (len(calls) + len(rates)) + 1.6
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nnlet"}):
        figure = Figure((WIDTH, height), layout="constrained")
        ratios = [max(len(rows), 1) for rows in (calls, rates)]
        above, below = figure.subplots(2, 1, height_ratios=ratios)
        _draw_calls(above, results, calls)
        _draw_rates(below, results, rates)
        figure.legend(
            *above.get_legend_handles_labels(),
            loc="outside upper center",
            ncols=len(RUNNERS),
            fontsize=8,
            frameon=False,
        )
        figure.supxlabel(_footer(results), fontsize=7, color="#555555")
        chart.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(chart, metadata={"Date": None}, facecolor="white")


def _draw_calls(axes: Axes, results: Results, workloads: list[str]) -> None:
    """A line a workload, a dot a runner: its median over onnxruntime-web's."""
    for runner in results.runners:
        places = [
            (results.median(runner, name, "call") / results.median(PEER, name, "call"), at)
            for at, name in enumerate(workloads)
        ]
        _dots(axes, runner, [place for place in places if not place[0] > EDGE])
        far = [at for ratio, at in places if ratio > EDGE]
        axes.scatter([EDGE] * len(far), far, s=30, marker=">", color=COLOUR[runner])
    labels = [
        f"{results.workloads[name]['title']}: {results.median(OURS, name, 'call'):.3g} ms"
        for name in workloads
    ]
    axes.axvline(1, color=COLOUR[PEER], linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    _finish(
        axes, labels, f"one call, times {PEER}'s (left is faster, > is off the chart); ours in ms"
    )


def _draw_rates(axes: Axes, results: Results, workloads: list[str]) -> None:
    """A line a product, a dot a runner, and the measured limit as a line across."""
    for runner in results.runners:
        _dots(axes, runner, [(results.rate(runner, n), at) for at, n in enumerate(workloads)])
    peak = results.median(OURS, "", "peak")
    if not math.isnan(peak):
        axes.axvline(peak, color=COLOUR[OURS], linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlim(left=0)
    labels = [
        f"{results.workloads[name]['title']}: {results.rate(OURS, name):.3g}" for name in workloads
    ]
    title = f"GFLOP/s in float32; dashed: 128-bit multiply-adds alone, {peak:.0f}; ours in numbers"
    _finish(axes, labels, title)


def _dots(axes: Axes, runner: str, places: list[tuple[float, int]]) -> None:
    x, y = ([place[part] for place in places] for part in (0, 1))
    front = 3 if runner == OURS else 2
    axes.scatter(
        x, y, s=42 if runner == OURS else 26, color=COLOUR[runner], label=runner, zorder=front
    )


def _finish(axes: Axes, labels: list[str], title: str) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)  # the first on top
    axes.set_title(title, fontsize=8, loc="left")
    axes.tick_params(labelsize=8, length=0)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _footer(results: Results) -> str:
    about = results.content["machine"]
    return (
        f"{results.content['command']}, {results.content['when'][:10]}: {about['cores']} cores, "
        f"{about['cpu']}, {about['system']}. One thread each; dots are medians."
    )
