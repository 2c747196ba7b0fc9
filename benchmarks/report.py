"""Report: samples in, medians with their spread out, as JSON and as a table.

A sample is one value of one measure of one subject. Subjects are measured in turns, so a
machine that grows slower in between is slower for all of them.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from nnlet.measure import Measure

RESULTS = Path(__file__).with_name("results")
LABEL, COLUMN = 44, 14  # of a printed table, at least


@dataclass(frozen=True)
class Result:
    """The samples of one measure of one subject on one model ("" where none is involved)."""

    subject: str
    model: str
    measure: str
    median: float
    low: float
    high: float
    samples: list[float]


@dataclass
class Report:
    """All samples of one run, and what it takes to repeat it."""

    measures: Sequence[Measure]
    versions: dict[str, str]
    settings: dict[str, Any]
    samples: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)

    def add(self, subject: str, model: str, measure: str, value: float) -> None:
        """One more sample."""
        self.samples.setdefault((subject, model, measure), []).append(value)

    def median(self, subject: str, model: str, measure: str) -> float | None:
        """None if it was not measured."""
        samples = self.samples.get((subject, model, measure))
        return statistics.median(samples) if samples else None

    def results(self) -> list[Result]:
        """Every measure with its median and its spread."""
        return [
            Result(
                *key,
                median=_short(statistics.median(samples)),
                low=_short(min(samples)),
                high=_short(max(samples)),
                samples=[_short(value) for value in samples],
            )
            for key, samples in self.samples.items()
        ]

    def save(self, path: Path) -> None:
        """As JSON: how it was measured, on what, and every sample."""
        content = {
            "command": "python -m " + " ".join([_module(), *sys.argv[1:]]),
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.describe(),
            "busy_before_each_round": [round(share, 3) for share in self.busy],
            "versions": self.versions,
            "settings": self.settings,
            "measures": [asdict(measure) for measure in self.measures],
            "results": [asdict(result) for result in self.results()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def print(self) -> None:
        """One table per model: a row a measure, a column a subject."""
        for model in dict.fromkeys(model for _, model, _ in self.samples):
            table = self._table(model)
            console = Console()
            console.width = max(console.width, LABEL + COLUMN * len(table.columns))
            console.print(table)

    def _table(self, model: str) -> Table:
        subjects = list(dict.fromkeys(s for s, of, _ in self.samples if of == model))
        table = Table("", *subjects, title=model or None, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for measure in self.measures:
            medians = [self.median(subject, model, measure.key) for subject in subjects]
            if any(value is not None for value in medians):
                shown = ["" if value is None else f"{_short(value):,g}" for value in medians]
                table.add_row(f"{measure.title} ({measure.unit})", *shown)
        return table


def _short(value: float) -> float:
    """Three significant digits, or all of a whole number's: no timing means more."""
    return float(f"{value:.3g}") if abs(value) < 1000 else round(value)


def _module() -> str:
    """The module that was run with `python -m`."""
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else Path(sys.argv[0]).name
