"""Plots of a report, as SVG text that can stand inside an HTML page, on light or dark ground."""

from __future__ import annotations

import io

from .results import ModelReport

_INK = "#7f7f7f"
_COLORS = {"baseline": "#7f7f7f", "reference": "#9ecae1", "engine": "#2171b5"}


def latency_plot(model: ModelReport) -> str:
    """Draw median latencies as bars, with a line out to p90; one panel per batch size."""
    from matplotlib.figure import Figure

    batches = model.batches
    rows = [row for row in model.systems if row.latencies]
    figure = Figure(figsize=(8, 0.6 + 0.42 * len(rows) + 0.3), layout="constrained")
    for column, batch in enumerate(batches, 1):
        axes = figure.add_subplot(1, len(batches), column)
        shown = [(row, stats) for row in rows if (stats := row.latency(batch))][::-1]
        labels = [row.label.removeprefix(f"{model.name} ") for row, _ in shown]
        medians = [stats.p50 for _, stats in shown]
        tails = [max(0.0, stats.p90 - stats.p50) for _, stats in shown]
        colors = [_COLORS[row.kind] for row, _ in shown]
        places = range(len(shown))
        bars = axes.barh(
            places, medians, color=colors, xerr=[[0] * len(tails), tails], ecolor=_INK, capsize=3
        )
        axes.set_yticks(places, labels)
        axes.bar_label(bars, [f"{m:.1f}" for m in medians], color=_INK, padding=4, fontsize=9)
        axes.set_title(f"batch {batch}: ms, median and p90", color=_INK, fontsize=9)
        axes.tick_params(colors=_INK, labelsize=9)
        axes.margins(x=0.18)
        if column > 1:
            axes.set_yticklabels([])
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_INK)
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return text.getvalue()[text.getvalue().index("<svg") :]
