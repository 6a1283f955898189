"""Plots as SVG text, for HTML pages with a light or dark background."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

_Parameters = ParamSpec("_Parameters")

INK = "#7f7f7f"
_WITHIN, _OVER = "#2171b5", "#cf222e"
"""Colors of systems within and over the budget."""
WIDTH = 5.4
"""Inches. A wider plot would be scaled down on a phone until its letters are illegible."""


def with_default_style(draw: Callable[_Parameters, str]) -> Callable[_Parameters, str]:
    """Return a function that draws with matplotlib's defaults.

    matplotlib reads settings from a file ``matplotlibrc`` of the current folder or the user. They
    could run programs (``text.usetex``), and change plots from machine to machine.
    """

    @functools.wraps(draw)
    def drawn(*args: _Parameters.args, **settings: _Parameters.kwargs) -> str:
        from matplotlib import style

        with style.context("default"):
            return draw(*args, **settings)

    return drawn


def new_plot(height: float, width: float = WIDTH) -> tuple[Any, Any]:
    """Return an empty figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


@with_default_style
def buckets_plot(line_widths: Sequence[int], buckets: Sequence[int]) -> str:
    """Draw a histogram of line widths, with one color per width bucket.

    Widths are in pixels after a line is resized to the height of the input.
    """
    import numpy as np

    figure, axes = new_plot(3, width=8)
    edges = sorted(buckets)
    fitted = np.minimum(line_widths, edges[-1])  # windows of wider lines use the last bucket
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
    plain_axes(axes, "width of a line at the input's height, pixels", "lines", size=9)
    return svg_text(figure)


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """A system in a plot of speed against loss."""

    label: str
    x: float
    """Its time, or another cost; less is better."""
    loss: float
    """Points lost."""
    is_within: bool
    """Whether the loss is within the budget."""
    is_chosen: bool = False
    is_predicted: bool = False
    """Whether ``x`` was predicted, not measured."""


@with_default_style
def tradeoff_plot(
    systems: Sequence[TradeOff], x_label: str, y_label: str, budget: float | None
) -> str:
    """Draw points lost against a cost; a star is the system that was chosen.

    The marker of a system whose cost was predicted is hollow.

    Returns an SVG element; "" if there is no system.
    """
    if not systems:
        return ""
    figure, axes = new_plot(4, width=8)
    if budget is not None:
        axes.axhline(budget, color=_OVER, linewidth=1, linestyle="--")
        axes.annotate(
            f"allowed: {budget:g}", (1, budget), xycoords=("axes fraction", "data"), color=_OVER,
            ha="right", va="bottom", fontsize=9,
        )  # fmt: skip
    losses, costs = [each.loss for each in systems], [each.x for each in systems]
    height, width = max(losses) - min(losses), max(costs) - min(costs)
    named: list[tuple[float, float]] = []
    # The chosen system comes first, so that its label is never left out.
    for each in sorted(systems, key=lambda each: not each.is_chosen):
        spot = (each.x, each.loss)
        color, size = _WITHIN if each.is_within else _OVER, 110 if each.is_chosen else 36
        axes.scatter(
            *spot, s=size, marker="*" if each.is_chosen else "o", edgecolors=color,
            facecolors="none" if each.is_predicted else color,
        )  # fmt: skip
        # A label is about a quarter of the plot wide and 6 % of it high; two must not overlap.
        if all(
            abs(each.x - x) > 0.25 * width or abs(each.loss - y) > 0.06 * height for x, y in named
        ):
            named.append(spot)
            axes.annotate(
                each.label, spot, xytext=(6, 4), textcoords="offset points", color=INK, fontsize=8
            )
    axes.margins(x=0.25, y=0.2)
    plain_axes(axes, x_label, y_label, size=9)
    return svg_text(figure)


def plain_axes(axes: Any, x_label: str = "", y_label: str = "", *, size: int = 10) -> None:
    """Remove the frame, and use a color that is legible on light and dark backgrounds.

    ``size``: of the labels, in points.
    """
    axes.set_xlabel(x_label, color=INK, fontsize=size)
    axes.set_ylabel(y_label, color=INK, fontsize=size)
    axes.tick_params(colors=INK, labelsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)


def svg_text(figure: Any) -> str:
    """Return a figure as SVG that HTML can contain, without a date or other metadata."""
    text = io.StringIO()
    # Without metadata, equal figures are equal files.
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    # HTML accepts the element, but not the XML declaration before it.
    return text.getvalue()[text.getvalue().index("<svg") :]
