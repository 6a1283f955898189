"""The plot of accuracy against latency over all trials of a precision search."""

from __future__ import annotations

from collections.abc import Sequence

from ..report.plots import INK, plain_axes, svg_text
from .precision_report import TrialRow


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
