"""Plots of latencies and of accuracy differences."""

from __future__ import annotations

from ..report.plots import INK, WIDTH, plain_axes, svg_text
from .results import ModelReport

COLORS = {
    "baseline": "#7f7f7f",
    "reference": "#9ecae1",
    "competitor": "#bdbdbd",
    "engine": "#2171b5",
}


def latency_plot(model: ModelReport) -> str:
    """Draw median latencies as bars, with a line out to p90; one panel per batch size."""
    from matplotlib.figure import Figure

    batches = model.batches
    rows = [row for row in model.systems if row.latencies]
    height = 0.5 + 0.36 * len(rows)
    figure = Figure(figsize=(WIDTH, height * len(batches)), layout="constrained")
    for place, batch in enumerate(batches, 1):
        axes = figure.add_subplot(len(batches), 1, place)
        shown = [(row, stats) for row in rows if (stats := row.latency(batch))][::-1]
        medians = [stats.p50 for _, stats in shown]
        tails = [max(0.0, stats.p90 - stats.p50) for _, stats in shown]
        colors = [COLORS[row.kind] for row, _ in shown]
        places = range(len(shown))
        bars = axes.barh(
            places, medians, color=colors, xerr=[[0] * len(tails), tails], ecolor=INK, capsize=3
        )
        axes.set_yticks(places, [short(model, row.label) for row, _ in shown])
        axes.bar_label(bars, [f"{m:.1f}" for m in medians], color=INK, padding=4, fontsize=10)
        axes.set_title(f"batch {batch}: ms, median and p90", color=INK, fontsize=10)
        axes.margins(x=0.18)
        plain_axes(axes)
    return svg_text(figure)


def difference_plot(model: ModelReport) -> str:
    """Draw how much better each engine is than the model, in points, with its interval.

    Nothing, if there is no interval.
    """
    from matplotlib.figure import Figure

    shown = [(r.label, r.differences[0]) for r in model.systems if r.differences][::-1]
    bounded = [(name, d, d.interval) for name, d in shown if d.interval is not None]
    if not bounded:
        return ""
    figure = Figure(figsize=(WIDTH, 0.8 + 0.36 * len(bounded)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=1)
    if model.allowed_loss is not None:
        axes.axvline(-model.allowed_loss, color="#cf222e", linewidth=1, linestyle="--")
    for place, (_, difference, bounds) in enumerate(bounded):
        sign = -100 if difference.measure == "cer" else 100
        ends = sorted((sign * bounds.low, sign * bounds.high))
        axes.plot(ends, [place, place], color="#2171b5", linewidth=3, solid_capstyle="butt")
        axes.plot([sign * difference.value], [place], "o", color="#2171b5", markersize=8)
    axes.set_yticks(range(len(bounded)), [short(model, name) for name, _, _ in bounded])
    axes.set_ylim(-0.6, len(bounded) - 0.4)
    limit = "" if model.allowed_loss is None else "; dashed: the loss allowed"
    axes.set_xlabel(f"points better than the model{limit}", color=INK, fontsize=10)
    axes.margins(x=0.1)
    plain_axes(axes)
    return svg_text(figure)


def short(model: ModelReport, label: str) -> str:
    """Return a system's label without the model's name."""
    return label.removeprefix(f"{model.name} ")
