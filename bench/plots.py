"""Plots of a report, as SVG text that can stand inside an HTML page, on light or dark ground."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from .precision import TrialRow
from .results import ModelReport

INK = "#7f7f7f"
WIDTH = 5.4
"""Inches, at which letters can still be read on a telephone."""
_COLORS = {"baseline": "#7f7f7f", "reference": "#9ecae1", "engine": "#2171b5"}


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
        colors = [_COLORS[row.kind] for row, _ in shown]
        places = range(len(shown))
        bars = axes.barh(
            places, medians, color=colors, xerr=[[0] * len(tails), tails], ecolor=INK, capsize=3
        )
        axes.set_yticks(places, [_short(model, row.label) for row, _ in shown])
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
    axes.set_yticks(range(len(bounded)), [_short(model, name) for name, _, _ in bounded])
    axes.set_ylim(-0.6, len(bounded) - 0.4)
    limit = "" if model.allowed_loss is None else "; dashed: the loss allowed"
    axes.set_xlabel(f"points better than the model{limit}", color=INK, fontsize=10)
    axes.margins(x=0.1)
    plain_axes(axes)
    return svg_text(figure)


def _short(model: ModelReport, label: str) -> str:
    return label.removeprefix(f"{model.name} ")


def pareto_plot(trials: Sequence[TrialRow], metric: str, budget: float) -> str:
    """Draw points lost against latency, or where it is not known against the share left in float.

    Nothing, if there is nothing to draw.
    """
    from matplotlib.figure import Figure

    is_timed = any(row.latency is not None for row in trials)
    shown = [
        (row, (row.latency or 0.0) if is_timed else 100 * (1 - row.int8_share), row.loss)
        for row in trials
        if row.loss is not None and (row.latency is not None or not is_timed)
    ]
    if not shown:
        return ""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(budget, color="#cf222e", linewidth=1, linestyle="--")
    axes.annotate(
        f"allowed: {budget:g}", (1, budget), xycoords=("axes fraction", "data"), color="#cf222e",
        ha="right", va="bottom", fontsize=9,
    )  # fmt: skip
    height = max(loss for _, _, loss in shown) - min(loss for _, _, loss in shown)
    named: list[tuple[float, float]] = []
    for row, place, loss in sorted(shown, key=lambda each: not each[0].chosen):
        color = "#2171b5" if row.within else "#cf222e"
        size = 110 if row.chosen else 36
        axes.scatter([place], [loss], s=size, color=color, marker="*" if row.chosen else "o")
        if all(place != x or abs(loss - y) > 0.06 * height for x, y in named):
            named.append((place, loss))
            axes.annotate(
                row.label, (place, loss), xytext=(6, 4), textcoords="offset points", color=INK,
                fontsize=8,
            )  # fmt: skip
    if not is_timed:
        axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("ms, median" if is_timed else "% of FLOPs not in int8", color=INK, fontsize=9)
    axes.set_ylabel(f"points of {metric} lost", color=INK, fontsize=9)
    axes.margins(x=0.25, y=0.2)
    plain_axes(axes)
    return svg_text(figure)


def buckets_plot(line_widths: Sequence[int], buckets: Sequence[int]) -> str:
    """Draw how wide lines are, in the colour of the bucket each goes to."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    edges = sorted(buckets)
    fitted = np.minimum(line_widths, edges[-1])
    bins = np.linspace(0, edges[-1], 41).tolist()
    for number, (low, high) in enumerate(zip((0, *edges), edges, strict=False)):
        inside = fitted[(fitted > low) & (fitted <= high)]
        shade = 0.35 + 0.65 * (number + 1) / len(edges)
        axes.hist(inside, bins=bins, color=(0.13, 0.44, 0.71, shade))
        axes.axvline(high, color="#cf222e", linewidth=1, linestyle="--")
        axes.annotate(
            f"{high}: {len(inside)}", (high, 1), xycoords=("data", "axes fraction"), color=INK,
            ha="right", va="bottom", fontsize=9,
        )  # fmt: skip
    axes.set_xlabel("width of a line at the input's height, pixels", color=INK, fontsize=9)
    axes.set_ylabel("lines", color=INK, fontsize=9)
    plain_axes(axes)
    return svg_text(figure)


def plain_axes(axes: Any) -> None:
    """Leave out what an eye does not need; one grey that can be read on light and dark."""
    axes.tick_params(colors=INK, labelsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)


def svg_text(figure: Any) -> str:
    """Return a figure as SVG without what changes from day to day."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return text.getvalue()[text.getvalue().index("<svg") :]
