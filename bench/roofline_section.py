"""Rooflines as sections of the report: the peaks of the machine, and how close engines come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..measure.peaks import Peaks
from ..report.plots import INK, new_plot, plain_axes, svg_text, with_default_style
from ..report.sections import Plot, Section, Table
from .results import ModelReport, SystemRow
from .roofline import LayerRoofline, Roofline, percent

_COLORS = {"int8": "#2171b5", "bf16": "#238b45", "fp16": "#238b45", "fp32": "#d94801"}
_MAX_AREA = 400
"""Area of the slowest layer, in square points."""
_NUMBERED = 5
"""The slowest layers, whose numbers are in the plot."""
_SHOWN = 10
"""Layers in the table."""
_CAPTION = (
    "One circle per layer that computes products. The area shows its time, the color its "
    "precision, and the number its row in the table below."
)


def roofline_sections(model: ModelReport, peaks: Peaks) -> Iterator[Section]:
    """Yield the speed of every system, then the layers of each engine at each batch size."""
    table = rate_table(model, peaks)
    if not table.rows:
        return
    values = "; ".join(f"{name}: {value}" for name, value in peak_cells(peaks))
    yield Section(
        title=table.title,
        texts=(f"Peaks: {values}. Measured with {peaks.measured_with}.",),
        tables=(table,),
    )
    for row in model.systems:
        for roofline in row.rooflines:
            yield _layer_section(row, roofline, peaks)


def _layer_section(row: SystemRow, roofline: Roofline, peaks: Peaks) -> Section:
    table = layer_table(roofline)
    return Section(
        title=f"Why {row.label} is not faster at batch {roofline.batch}",
        lead=roofline.why,
        plot=Plot(
            draw=lambda: roofline_plot(roofline, peaks), words=roofline_words(roofline, peaks)
        ),
        caption=_CAPTION,
        tables=(table,) if table.rows else (),
    )


def peak_cells(peaks: Peaks) -> list[tuple[str, str]]:
    """Return names and values of the peaks."""
    return [
        *((f"{name}, GFLOP/s", f"{rate / 1e9:.0f}") for name, rate in peaks.flops.items()),
        ("fp32 matrix product of NumPy, GFLOP/s", f"{peaks.matrix_product / 1e9:.0f}"),
        ("memory, GB/s", f"{peaks.memory / 1e9:.1f}"),
    ]


def rate_table(model: ModelReport, peaks: Peaks) -> Table:
    """Return the share of the peak that each system reached, by batch size.

    The model and its fp32 graph are assumed to compute the FLOPs of the engine.
    """
    rows = []
    for row in model.systems:
        own = {each.batch: each for each in row.rooflines}
        for stats in row.latencies:
            # Baseline and reference have no roofline of their own: the first engine's is used.
            roofline = own.get(stats.batch) or _first(model, stats.batch)
            if roofline is None:
                continue
            precision = roofline.precision if row.kind == "engine" else "fp32"
            rate = 1000 * roofline.flops / stats.p50  # p50 is in milliseconds
            peak = roofline.peak if row.kind == "engine" else peaks.flops.get(precision)
            reached = percent(rate / peak) if peak else "-"
            times = (str(stats.batch), f"{stats.p50:.2f}", f"{rate / 1e9:.0f}")
            rows.append((row.label, *times, precision, reached))
    return Table(
        title="Speed compared with the peaks of this machine",
        header=("system", "batch", "p50 ms", "GFLOP/s", "peak", "reached"),
        rows=tuple(rows),
        key="reached",
    )


def _first(model: ModelReport, batch: int) -> Roofline | None:
    every = (each for row in model.systems for each in row.rooflines)
    return next((each for each in every if each.batch == batch), None)


def slowest_layers(roofline: Roofline) -> list[LayerRoofline]:
    """Return the layers with the longest times, longest first; none without a time."""
    timed = (layer for layer in roofline.layers if layer.milliseconds)
    return sorted(timed, key=lambda layer: -layer.milliseconds)[:_SHOWN]


def layer_table(roofline: Roofline) -> Table:
    """Return one row for each of the slowest layers."""
    rows = (
        (
            *(f"{place}. {layer.name}", layer.layer or "-", layer.kind, layer.precision or "-"),
            f"{layer.milliseconds:.2f}",
            percent(layer.milliseconds / roofline.profiled),
            f"{layer.flops / 1e6:.0f}",
            f"{layer.bytes / 1e6:.1f}",
            f"{layer.intensity:.0f}",
            f"{layer.attainable:.2f}",
            percent(layer.achieved),
        )
        for place, layer in enumerate(slowest_layers(roofline), 1)
    )
    return Table(
        title="Slowest layers",
        header=(
            *("layer", "in the model", "kind", "precision", "ms", "time", "MFLOP", "MB"),
            *("FLOP/byte", "roofline ms", "reached"),
        ),
        rows=tuple(rows),
        key="reached",
    )


def roofline_words(roofline: Roofline, peaks: Peaks) -> str:
    """Describe the plot in words."""
    roofs = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peaks.flops.items())
    layers = [
        f"{layer.name}: {layer.intensity:.0f} FLOP per byte, "
        f"{layer.flops / layer.milliseconds / 1e6:.0f} GFLOP/s"
        for layer in slowest_layers(roofline)
        if layer.flops
    ]
    memory = f"memory {peaks.memory / 1e9:.1f} GB/s"
    return f"Roofline plot. Roofs: {roofs}, {memory}. {'; '.join(layers)}."


@with_default_style
def roofline_plot(roofline: Roofline, peaks: Peaks) -> str:
    """Draw the layers that have FLOPs below the roofs, by FLOP per byte and FLOP/s.

    The area of a layer is its time, and its number is that in the table. Returns "" if no layer
    has FLOPs and a time.
    """
    shown = [each for each in roofline.layers if each.flops and each.bytes and each.milliseconds]
    if not shown:
        return ""
    figure, axes = new_plot(3.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    longest = max(layer.milliseconds for layer in shown)
    # By identity, because two layers may be equal.
    numbers = {id(layer): place for place, layer in enumerate(slowest_layers(roofline), 1)}
    for layer in shown:
        # FLOP / ms / 1e6 = GFLOP/s
        spot = (layer.intensity, layer.flops / layer.milliseconds / 1e6)
        color = _COLORS.get(layer.precision, INK)
        # At least 8 square points, so that short layers stay visible.
        area = max(8.0, _MAX_AREA * layer.milliseconds / longest)
        axes.scatter(*spot, s=area, color=color, alpha=0.55, linewidths=0)
        if (place := numbers.get(id(layer), _NUMBERED + 1)) <= _NUMBERED:
            axes.annotate(str(place), spot, color=INK, fontsize=9, ha="center", va="center")
    used = {layer.precision for layer in shown}
    _roofs(axes, {name: rate for name, rate in peaks.flops.items() if name in used}, peaks.memory)
    axes.margins(y=0.12)
    plain_axes(axes, "FLOP per byte", "GFLOP/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
        axis.set_tick_params(which="minor", color=INK)
    return svg_text(figure)


def _roofs(axes: Any, rates: dict[Any, float], memory: float) -> None:
    low, high = axes.get_xlim()  # of the layers; the roofs must not extend it
    # The axes are logarithmic: points at equal ratios draw a smooth bend at the ridge.
    places = np.geomspace(low, high, 200)
    for name, rate in rates.items():
        # Left of the ridge, memory is the limit, and right of it the peak.
        color, ridge = _COLORS.get(name, INK), min(max(low, rate / memory), high)
        axes.plot(places, np.minimum(rate, places * memory) / 1e9, color=color, linewidth=1.5)
        axes.annotate(
            f"{name} {rate / 1e9:.0f}", (ridge, rate / 1e9), color=color, va="bottom", fontsize=9
        )
    axes.set_xlim(low, high)
