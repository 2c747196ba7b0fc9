"""Chart: panels of horizontal bars in one picture, which needs the extra `chart` (matplotlib).

The background is transparent and the text a grey in the middle between black and white, so the
picture can lie on a light page or a dark one. The same panels give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Told apart by people with any colour vision (after Okabe and Ito), on white and on black.
STRONG, SOFT, PLAIN = "#1f88c9", "#7fbfe6", "#a3a3a3"
TEXT = "#797979"  # as far from white as from GitHub's dark page: 4.3 to 1

BAR = 0.24  # inches
HEAD = 0.55  # inches of a panel without its bars
WIDTH = 3.3  # inches of a panel
ROOM = 1.62  # of the longest bar: what it and its text take
FONT = 8


@dataclass(frozen=True)
class Bar:
    """One value with its text. `low` and `high` are its spread, None is a value not measured."""

    label: str
    value: float | None
    text: str
    colour: str = PLAIN
    low: float | None = None
    high: float | None = None

    @property
    def end(self) -> float:
        """Where its text begins."""
        return max(self.value or 0.0, self.high or 0.0)


@dataclass(frozen=True)
class Panel:
    """Bars of one unit below a title. The first of a row has labels, and each with others."""

    title: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel], path: Path, footer: str = "", columns: int = 3) -> None:
    """Write the picture; its format is told by the suffix: .svg, .png or .pdf."""
    columns = min(columns, len(panels))
    rows = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    heights = [HEAD + BAR * max(len(panel.bars) for panel in row) for row in rows]
    size = (WIDTH * columns + 1, sum(heights) + 0.35)
    # Text stays text; ids are hashed with a fixed salt instead of a random one.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "nnlet", "text.color": TEXT}
    ):
        figure = Figure(size, layout=ConstrainedLayoutEngine(h_pad=0.08))
        grid = figure.subplots(
            len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for line, row in zip(grid, rows, strict=True):
            for number, axes in enumerate(line):
                if number < len(row):
                    same = number > 0 and _labels(row[number]) == _labels(row[0])
                    _draw_panel(axes, row[number], labelled=not same)
                else:
                    axes.set_axis_off()
        figure.supxlabel(footer, fontsize=7, color=TEXT)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=metadata, transparent=True, dpi=150)


def _draw_panel(axes: Axes, panel: Panel, labelled: bool) -> None:
    axes.set_facecolor("none")
    for at, bar in enumerate(panel.bars):
        if bar.value is not None:
            axes.barh(at, bar.value, 0.72, color=bar.colour)
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [at, at], color=TEXT, linewidth=0.9)
        axes.text(bar.end, at, f" {bar.text}", va="center", fontsize=FONT)
    axes.set_title(panel.title, fontsize=FONT, loc="left")
    axes.set_xlim(0, ROOM * max(bar.end for bar in panel.bars) or 1)
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)  # the first on top
    labels = _labels(panel) if labelled else []
    axes.set_yticks(range(len(labels)), labels, fontsize=FONT, color=TEXT)
    axes.tick_params(length=0)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def _labels(panel: Panel) -> list[str]:
    return [bar.label for bar in panel.bars]
