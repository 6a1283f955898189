"""Throughput and latency under load as a section of the report."""

from __future__ import annotations

from typing import Any

from ..measure.load import Waits
from ..report.plots import INK, WIDTH, plain_axes, svg_text, with_default_style
from ..report.sections import Plot, Section, Table
from .latency_section import COLORS
from .results import ModelReport, SystemRow

_MARKERS = "osD^v"
_TIMES = ("p50 ms", "p90 ms", "p99 ms", "max ms", "requests")


def load_section(model: ModelReport) -> Section | None:
    """Return the tables of both loops; None if no system was put under load."""
    if not any(row.load for row in model.systems):
        return None
    closed, opened = closed_loop_table(model), open_loop_table(model)
    by_clients = [f"{row[0]}, clients {row[2]}: {row[-1]} images/s" for row in closed.rows]
    by_rate = [f"{row[0]} at {row[1]}/s: {row[3]} and {row[4]} ms" for row in opened.rows]
    text = (
        f"Line charts. Throughput by number of clients: {'; '.join(by_clients)}. "
        f"Median and 90th percentile of latency by request rate: {'; '.join(by_rate)}."
    )
    return Section(
        title="Load, one image per request",
        plot=Plot(draw=lambda: load_plot(model), words=text),
        tables=(closed, opened),
    )


def _cells(waits: Waits) -> tuple[str, ...]:
    """Return the cells of the columns ``_TIMES``."""
    values = (waits.p50, waits.p90, waits.p99, waits.highest)
    times = ("-" if value is None else f"{value:.2f}" for value in values)
    return *times, str(waits.requests)


def closed_loop_table(model: ModelReport) -> Table:
    """Return one row per system and number of clients."""
    rows = (
        (
            *(row.label, str(row.load.streams), str(each.clients)),
            *_cells(each.waits),
            f"{each.throughput:.1f}",
        )
        for row in model.systems
        if row.load
        for each in row.load.closed
    )
    return Table(
        title="Load by number of clients",
        header=("system", "streams", "clients", *_TIMES, "images/s"),
        rows=tuple(rows),
        key="images/s",
    )


def open_loop_table(model: ModelReport) -> Table:
    """Return one row per system and request rate."""
    rows = (
        (
            *(row.label, f"{each.offered:.4g}", f"{each.achieved:.4g}"),
            *_cells(each.waits),
            "yes" if each.kept_up else f"no, {each.backlog} requests waiting",
        )
        for row in model.systems
        if row.load
        for each in row.load.open
    )
    return Table(
        title="Load by request rate",
        header=("system", "offered/s", "achieved/s", *_TIMES, "kept up"),
        rows=tuple(rows),
        key="kept up",
    )


@with_default_style
def load_plot(model: ModelReport) -> str:
    """Draw throughput by number of clients, and below it median and p90 by request rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
    closed, opened = figure.subplots(2, 1)
    shown = [row for row in model.systems if row.load]
    for number, row in enumerate(shown):
        marker = _MARKERS[number % len(_MARKERS)]
        _draw_closed(closed, model, row, marker)
        _draw_open(opened, row, marker)
    closed.set_ylim(bottom=0)
    # By default, the number of clients doubles from point to point.
    closed.set_xscale("log", base=2)
    closed.xaxis.set_major_formatter("{x:g}")
    closed.legend(frameon=False, labelcolor=INK, fontsize=9)
    opened.set_yscale("log")
    opened.yaxis.set_major_formatter("{x:g}")
    opened.yaxis.set_minor_formatter("{x:g}")
    plain_axes(closed, "clients, each with one request at a time", "images/s")
    plain_axes(
        opened, "requests/s, sent whether or not the system is ready",
        "ms: median dashed, p90 solid",
    )  # fmt: skip
    for axes in (closed, opened):
        axes.tick_params(which="minor", colors=INK, labelsize=9)
    return svg_text(figure)


def _draw_closed(axes: Any, model: ModelReport, row: SystemRow, marker: str) -> None:
    assert row.load is not None
    # The color is the kind of system, and the marker distinguishes systems of one kind.
    rows, color = row.load.closed, COLORS[row.kind]
    axes.plot(
        [each.clients for each in rows], [each.throughput for each in rows],
        color=color, marker=marker, label=model.short_label(row),
    )  # fmt: skip


def _draw_open(axes: Any, row: SystemRow, marker: str) -> None:
    assert row.load is not None
    rows, color = row.load.open, COLORS[row.kind]
    # No label: the legend of the plot above applies to both plots.
    rates = [each.offered for each in rows]
    axes.plot(rates, [r.waits.p50 for r in rows], color=color, marker=marker, linestyle="--")
    axes.plot(rates, [r.waits.p90 for r in rows], color=color, marker=marker)
