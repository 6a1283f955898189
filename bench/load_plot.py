"""The plot of load: what clients get together, and what requests wait."""

from __future__ import annotations

from typing import Any

from ..report.plots import INK, WIDTH, plain_axes, svg_text
from .latency_plot import COLORS, short
from .results import ModelReport, SystemRow

_MARKERS = "osD^v"


def load_plot(model: ModelReport) -> str:
    """Draw throughput over clients, and under it median and p90 over the rate of requests."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
    closed, opened = figure.subplots(2, 1)
    shown = [row for row in model.systems if row.load]
    for number, row in enumerate(shown):
        marker = _MARKERS[number % len(_MARKERS)]
        _draw_closed(closed, model, row, marker)
        _draw_open(opened, row, marker)
    closed.set_ylim(bottom=0)
    closed.set_xscale("log", base=2)
    closed.xaxis.set_major_formatter("{x:g}")
    closed.set_xlabel("clients, each with one request at a time", color=INK, fontsize=10)
    closed.set_ylabel("images/s", color=INK, fontsize=10)
    closed.legend(frameon=False, labelcolor=INK, fontsize=9)
    opened.set_yscale("log")
    opened.yaxis.set_major_formatter("{x:g}")
    opened.yaxis.set_minor_formatter("{x:g}")
    opened.set_xlabel("requests/s, whether or not it is ready", color=INK, fontsize=10)
    opened.set_ylabel("ms: median dashed, p90 solid", color=INK, fontsize=10)
    for axes in (closed, opened):
        plain_axes(axes)
        axes.tick_params(which="minor", colors=INK, labelsize=9)
    return svg_text(figure)


def _draw_closed(axes: Any, model: ModelReport, row: SystemRow, marker: str) -> None:
    assert row.load is not None
    rows, color = row.load.closed, COLORS[row.kind]
    axes.plot(
        [each.clients for each in rows], [each.throughput for each in rows],
        color=color, marker=marker, label=short(model, row.label),
    )  # fmt: skip


def _draw_open(axes: Any, row: SystemRow, marker: str) -> None:
    assert row.load is not None
    rows, color = row.load.open, COLORS[row.kind]
    rates = [each.offered for each in rows]
    axes.plot(rates, [r.waits.p50 for r in rows], color=color, marker=marker, linestyle="--")
    axes.plot(rates, [r.waits.p90 for r in rows], color=color, marker=marker)
