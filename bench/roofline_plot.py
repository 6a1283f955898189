"""The plot of a roofline, as SVG text on light or dark ground."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measure.peaks import Peaks
from ..report.plots import INK, WIDTH, plain_axes, svg_text
from .roofline import Roofline
from .roofline_words import costliest

_COLORS = {"int8": "#2171b5", "bf16": "#238b45", "fp16": "#238b45", "fp32": "#d94801"}
_LARGEST = 400
"""Square points, of the layer that takes most time."""
_NUMBERED = 5


def roofline_plot(found: Roofline, peaks: Peaks) -> str:
    """Draw layers with FLOPs by FLOP per byte and FLOP/s below the roofs; their area is their time.

    The numbers are those of the table. Nothing, if no layer has FLOPs.
    """
    from matplotlib.figure import Figure

    shown = [layer for layer in found.layers if layer.flops and layer.bytes]
    if not shown:
        return ""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    longest = max(layer.milliseconds for layer in shown)
    numbers = {id(layer): place for place, layer in enumerate(costliest(found), 1)}
    for layer in shown:
        spot = (layer.intensity, layer.flops / layer.milliseconds / 1e6)
        color = _COLORS.get(layer.precision, INK)
        area = max(8.0, _LARGEST * layer.milliseconds / longest)
        axes.scatter(*spot, s=area, color=color, alpha=0.55, linewidths=0)
        if (place := numbers.get(id(layer), _NUMBERED + 1)) <= _NUMBERED:
            axes.annotate(str(place), spot, color=INK, fontsize=9, ha="center", va="center")
    used = {layer.precision for layer in shown}
    _roofs(axes, {name: rate for name, rate in peaks.flops.items() if name in used}, peaks.memory)
    axes.set_xlabel("FLOP per byte", color=INK, fontsize=10)
    axes.set_ylabel("GFLOP/s", color=INK, fontsize=10)
    axes.margins(y=0.12)
    plain_axes(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
        axis.set_tick_params(which="minor", color=INK)
    return svg_text(figure)


def _roofs(axes: Any, rates: dict[Any, float], memory: float) -> None:
    low, high = axes.get_xlim()
    places = np.geomspace(low, high, 200)
    for name, rate in rates.items():
        color, ridge = _COLORS.get(name, INK), min(max(low, rate / memory), high)
        axes.plot(places, np.minimum(rate, places * memory) / 1e9, color=color, linewidth=1.5)
        axes.annotate(
            f"{name} {rate / 1e9:.0f}", (ridge, rate / 1e9), color=color, va="bottom", fontsize=9
        )
    axes.set_xlim(low, high)
