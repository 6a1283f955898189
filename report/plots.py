"""Plots of a report, as SVG text that can stand inside an HTML page, on light or dark ground."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

INK = "#7f7f7f"
WIDTH = 5.4
"""Inches, at which letters can still be read on a telephone."""


def buckets_plot(line_widths: Sequence[int], buckets: Sequence[int]) -> str:
    """Draw how wide lines are, in the color of the bucket each goes to."""
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
    """Take the frame off, and use an ink that can be read on light and dark ground."""
    axes.tick_params(colors=INK, labelsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)


def svg_text(figure: Any) -> str:
    """Return a figure as SVG that can stand inside HTML, the same text each time."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return text.getvalue()[text.getvalue().index("<svg") :]
