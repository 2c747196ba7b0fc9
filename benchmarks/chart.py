"""Draw a results file: one panel a measure, one bar a subject, a thin line for the spread.

python -m benchmarks.chart benchmarks/results/function.json digits docs/img/function.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nnlet import chart
from nnlet.chart import Bar, Panel

# Ours stand out, the first the most; everything else is of one colour.
OURS = (chart.STRONG, chart.SOFT)

Results = dict[str, Any]  # a results file as report.py writes it, or one row of it


def draw(results: Path, model: str, path: Path) -> None:
    """Every drawn measure of `model` that at least two subjects share."""
    content = json.loads(results.read_text(encoding="utf-8"))
    chart.draw(panels(content, model), path, _footer(content, model))


def panels(content: Results, model: str) -> list[Panel]:
    """A panel for each measure, with a bar for each subject, whether it has it or not."""
    found = {r["measure"]: {} for r in content["results"]}
    for result in content["results"]:
        if result["model"] == model:
            found[result["measure"]][result["subject"]] = result
    shared = [m for m in content["measures"] if m["drawn"] and len(found.get(m["key"], {})) > 1]
    subjects = list(dict.fromkeys(name for m in shared for name in found[m["key"]]))
    colours = _colours(subjects)
    return [
        Panel(
            f"{measure['title']} ({measure['better']} is better)",
            [_bar(name, measure, found[measure["key"]], colours[name]) for name in subjects],
        )
        for measure in shared
    ]


def _colours(subjects: list[str]) -> dict[str, str]:
    ours = [name for name in subjects if name.startswith("nnlet")]
    return dict.fromkeys(subjects, chart.PLAIN) | dict(zip(ours, OURS, strict=False))


def _bar(name: str, measure: Results, found: Results, colour: str) -> Bar:
    if (result := found.get(name)) is None:
        return Bar(name, None, "-")
    text = f"{result['median']:,g} {measure['unit']}"
    return Bar(name, result["median"], text, colour, result["low"], result["high"])


def _footer(content: Results, model: str) -> str:
    about = content["machine"]
    return (
        f"{content['command']}, model {model}, {content['when'][:10]}: {about['cores']} cores, "
        f"{about['cpu']}, {about['system']}.\nBars are medians, thin lines the least and the most."
    )


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
