"""Draw a results file: one panel a measure, one bar a subject, a thin line for the spread.

    python -m benchmarks.chart benchmarks/results/function.json digits docs/img/function.svg

The same file draws the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Told apart by people with any colour vision (Okabe and Ito), ours first.
COLOURS = ("#0072b2", "#e69f00", "#f2c76b", "#009e73", "#cc79a7", "#999999")
COLUMNS = 3
WIDTH = 9.5  # inches
BAR = 0.28  # inches

Results = dict[str, Any]  # a results file as report.py writes it, or one row of it


def draw(results: Path, model: str, chart: Path) -> None:
    """Every drawn measure of `model` that at least two subjects share."""
    content = json.loads(results.read_text(encoding="utf-8"))
    panels = _panels(content, model)
    lines = -(-len(panels) // COLUMNS)
    bars = max(len(found) for _, found in panels)
    subjects = dict.fromkeys(result["subject"] for _, found in panels for result in found)
    colours = dict(zip(subjects, COLOURS, strict=False))
    # Text stays text; ids are hashed with a fixed salt instead of a random one.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nnlet"}):
        figure = Figure((WIDTH, (BAR * bars + 0.55) * lines + 0.3), layout="constrained")
        grid = figure.subplots(lines, COLUMNS, squeeze=False, sharey="row").flat
        for axes, (measure, found) in zip(grid, panels, strict=False):
            _bars(axes, measure, found, colours)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.supxlabel(_footer(content, model), fontsize=7, color="#555555")
        chart.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(chart, metadata={"Date": None}, facecolor="white")


def _panels(content: Results, model: str) -> list[tuple[Results, list[Results]]]:
    """Each measure with its results on `model`, where there is something to compare."""
    panels = []
    for measure in content["measures"]:
        key = (model, measure["key"])
        found = [r for r in content["results"] if (r["model"], r["measure"]) == key]
        if measure["drawn"] and len(found) > 1:
            panels.append((measure, found))
    return panels


def _bars(axes: Axes, measure: Results, found: Sequence[Results], colours: dict[str, str]) -> None:
    names = [result["subject"] for result in found]
    medians = [result["median"] for result in found]
    spread = [
        [result["median"] - result["low"] for result in found],
        [result["high"] - result["median"] for result in found],
    ]
    axes.barh(
        names,
        medians,
        xerr=spread,
        color=[colours[name] for name in names],
        error_kw={"ecolor": "#333333", "elinewidth": 0.8},
    )
    for at, result in enumerate(found):
        label = f" {result['median']:,g} {measure['unit']}"
        axes.text(result["high"], at, label, va="center", fontsize=8)
    axes.set_title(f"{measure['title']} ({measure['better']} is better)", fontsize=8, loc="left")
    axes.set_xlim(0, 1.5 * max(result["high"] for result in found))
    axes.set_ylim(len(found) - 0.5, -0.5)  # the first on top
    axes.tick_params(labelsize=8, length=0)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def _footer(content: Results, model: str) -> str:
    about = content["machine"]
    return (
        f"{content['command']}, model {model}, {content['when'][:10]}: {about['cores']} cores, "
        f"{about['cpu']}, {about['system']}.\nBars are medians, thin lines the least and the most."
    )


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
