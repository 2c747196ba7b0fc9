"""The results of benchmarks.function as a section of docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import QUIET
from benchmarks.markdown import replace_section, table
from nnlet.measure import number

NAME = "benchmarks.function"

SIZES = ("component", "component_gzip")  # the same for every model

Results = dict[str, Any]


def write_section(results: Path, page: Path) -> None:
    """Put the tables where the page has their marks."""
    content = json.loads(results.read_text(encoding="utf-8"))
    replace_section(page, NAME, section(content))


def section(content: Results) -> str:
    """How it was measured, a table for each model, and what was not measured."""
    models = dict.fromkeys(r["model"] for r in content["results"] if r["model"])
    parts = [_how(content), *(_model_table(content, model) for model in models)]
    left_out = content["settings"].get("left_out", {})
    if left_out:
        reasons = [f"- {name}: `{' '.join(why.split())[:160]}`" for name, why in left_out.items()]
        parts.append("\n".join(["Not measured:", "", *reasons]))
    return "\n\n".join(parts)


def _how(content: Results) -> str:
    about, settings = content["machine"], content["settings"]
    versions = ", ".join(f"{name} {v}" for name, v in sorted(content["versions"].items()))
    busy = max(content["busy_before_each_round"])
    doubt = (
        " Taken while the machine did other work, so ratios hold better than single times."
        if busy > QUIET
        else ""
    )
    return (
        f"`{content['command']}`, {content['when'][:10]}: medians of {settings['rounds']} rounds, "
        f"client {settings['client']}, {about['cores']} cores, {about['cpu']}, "
        f"{about['memory_gib']} GiB, {about['system']}; "
        f"{busy:.0%} of the machine busy with other work at most.{doubt} {versions}."
    )


def _model_table(content: Results, model: str) -> str:
    """A row for each measure, a column for each peer; sizes are those of the whole component."""
    found = {
        (r["subject"], r["measure"]): r["median"]
        for r in content["results"]
        if r["model"] in (model, "")
    }
    peers = [
        name
        for name in content["settings"]["peers"]
        if any((name, m["key"]) in found for m in content["measures"] if m["key"] not in SIZES)
    ]
    rows = [
        (f"{m['title']}, {m['unit']}", *(_cell(found.get((name, m["key"]))) for name in peers))
        for m in content["measures"]
        if any((name, m["key"]) in found for name in peers)
    ]
    routes = content["settings"].get("json", {})
    rows.append(("the JSON route is", *(routes.get(name, "-") for name in peers)))
    return f"**{model}**\n\n{table(('', *peers), rows)}"


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)
