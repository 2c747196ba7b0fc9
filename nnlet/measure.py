"""Measure: what is measured of a served function, under one name wherever it is shown.

`nnlet bench` and the comparison in benchmarks/ have their rows from here.
"""

from __future__ import annotations

from dataclasses import dataclass

CONNECTIONS = 16  # of the load that fills a server


@dataclass(frozen=True)
class Measure:
    """One row. `better` is "less" or "more"; a chart shows it if `drawn`."""

    key: str
    title: str
    unit: str
    better: str = "less"
    drawn: bool = True


FIRST = Measure("first", "process spawned to first answer", "ms")
FRESH = Measure("fresh_p50", "a fresh instance for every request, p50", "ms")
P50 = Measure("p50", "one connection, p50", "ms")
P99 = Measure("p99", "one connection, p99", "ms", drawn=False)
RATE = Measure("rate", f"{CONNECTIONS} connections", "req/s", better="more")
RESIDENT = Measure("rss", "resident memory", "MiB")
FURTHER = Measure("further", "each further warm instance", "MiB")
COMPONENT = Measure("component", "component", "MB")
COMPONENT_GZIP = Measure("component_gzip", "component, gzip", "MB")


def number(value: float) -> str:
    """Three digits, or all of a whole number's: no timing means more."""
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
