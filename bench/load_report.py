"""Load as tables and words."""

from __future__ import annotations

from ..measure.load import Waits
from .results import ModelReport

CLOSED_HEADER = (
    *("system", "at once", "clients", "p50 ms", "p90 ms", "p99 ms", "max ms"),
    *("requests", "images/s"),
)
OPEN_HEADER = (
    *("system", "offered /s", "achieved /s", "p50 ms", "p90 ms", "p99 ms", "max ms"),
    *("requests", "kept up"),
)


def has_load(model: ModelReport) -> bool:
    """Whether any system was put under load."""
    return any(row.load for row in model.systems)


def _cells(waits: Waits) -> list[str]:
    values = (waits.p50, waits.p90, waits.p99, waits.highest)
    cells = ["-" if value is None else f"{value:.2f}" for value in values]
    return [*cells, str(waits.requests)]


def closed_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the table of clients: one row per system and number of clients."""
    return [
        [
            *(row.label, str(row.load.streams), str(each.clients)),
            *_cells(each.waits),
            f"{each.throughput:.1f}",
        ]
        for row in model.systems
        if row.load
        for each in row.load.closed
    ]


def open_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the table of rates: one row per system and rate."""
    rows = []
    for row in model.systems:
        for each in row.load.open if row.load else ():
            rates = [f"{each.offered:.4g}", f"{each.achieved:.4g}"]
            kept_up = "yes" if each.kept_up else f"no, {each.backlog} wait"
            rows.append([row.label, *rates, *_cells(each.waits), kept_up])
    return rows


def load_words(model: ModelReport) -> str:
    """Say what the plot of load shows."""
    closed = [f"{row[0]}, clients {row[2]}: {row[-1]} images/s" for row in closed_rows(model)]
    opened = [f"{row[0]} at {row[1]}/s: {row[3]} and {row[4]} ms" for row in open_rows(model)]
    return (
        f"Line charts. Throughput by clients: {'; '.join(closed)}. "
        f"Median and 90th percentile of latency by rate of requests: {'; '.join(opened)}."
    )
