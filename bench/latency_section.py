"""Latencies of all systems of one model as a section of the report."""

from __future__ import annotations

from ..report.plots import INK, WIDTH, plain_axes, svg_text, with_default_style
from ..report.sections import Plot, Section, Table, table_section
from .results import ModelReport

COLORS = {
    "baseline": "#7f7f7f",
    "reference": "#9ecae1",
    "competitor": "#bdbdbd",
    "engine": "#2171b5",
}
"""Colors of plots, by kind of system."""


def latency_section(model: ModelReport) -> Section | None:
    """Return the latencies by system and batch size; None if nothing was timed."""
    table = latency_table(model)
    if not table.rows:
        return None
    medians = [f"{row[0]} at batch {row[1]}: {row[2]} ms" for row in table.rows]
    text = f"Bar chart of median latencies. {'; '.join(medians)}."
    return table_section(table, Plot(draw=lambda: latency_plot(model), words=text))


def latency_table(model: ModelReport) -> Table:
    """Return one row per system and batch size."""
    rows = []
    for batch in model.batches:
        for row in model.systems:
            if (stats := row.latency(batch)) is None:
                continue
            ratio = model.speedup(row, batch)
            times = (stats.p50, stats.p90, stats.p99, stats.mean)
            rows.append(
                (
                    *(row.label, str(batch)),
                    *("-" if each is None else f"{each:.2f}" for each in times),
                    *(f"{stats.throughput:.1f}", f"{stats.variation:.0f} %", str(stats.queries)),
                    "-" if ratio is None else f"{ratio:.2f}x",
                )
            )
    shape = "\N{MULTIPLICATION SIGN}".join(map(str, model.input_shape))
    return Table(
        title=f"Latency at {shape}",
        header=(
            *("system", "batch", "p50 ms", "p90 ms", "p99 ms", "mean ms"),
            *("images/s", "variation", "queries", "speedup"),
        ),
        rows=tuple(rows),
        key="speedup",
    )


@with_default_style
def latency_plot(model: ModelReport) -> str:
    """Draw median latencies as bars, and p90 as error bars; one panel per batch size."""
    from matplotlib.figure import Figure

    batches = model.batches
    rows = [row for row in model.systems if row.latencies]
    height = 0.5 + 0.36 * len(rows)  # inches: the axis, and one bar per system
    figure = Figure(figsize=(WIDTH, height * len(batches)), layout="constrained")
    for place, batch in enumerate(batches, 1):
        axes = figure.add_subplot(len(batches), 1, place)
        # barh draws from the bottom up: reversed, the plot has the order of the table.
        shown = [(row, stats) for row in rows if (stats := row.latency(batch))][::-1]
        medians = [stats.p50 for _, stats in shown]
        tails = [max(0.0, stats.p90 - stats.p50) for _, stats in shown]
        colors = [COLORS[row.kind] for row, _ in shown]
        places = range(len(shown))
        bars = axes.barh(
            # xerr: the lengths to the left, which are 0, and to the right.
            places,
            medians,
            color=colors,
            xerr=[[0] * len(tails), tails],
            ecolor=INK,
            capsize=3,
        )
        axes.set_yticks(places, [model.short_label(row) for row, _ in shown])
        axes.bar_label(bars, [f"{m:.1f}" for m in medians], color=INK, padding=4, fontsize=10)
        axes.set_title(f"batch {batch}: ms, median and p90", color=INK, fontsize=10)
        axes.margins(x=0.18)  # room for the labels at the ends of the bars
        plain_axes(axes)
    return svg_text(figure)
