"""Rooflines in words and cells: why an engine is not faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..measure.peaks import Peaks
from .roofline import LayerRow, Roofline

if TYPE_CHECKING:
    from .results import ModelReport, Report

SHOWN = 10
_NAMED = 3
_UNLIKE = 1.25
"""Ratio of two times of the same engine from which the machine was not quiet."""

DEFINITIONS = (
    "FLOPs: multiply-adds, as two, of Conv, ConvTranspose, MatMul, Gemm, Einsum, LSTM, GRU and RNN "
    "of the quantized graph, over padding too. Elementwise ops, pooling, softmax and norms count "
    "bytes only. Bytes: inputs, outputs and weights of the layers that the target made, as they "
    "are stored; of an input that a part is taken of, that part.",
    "Peaks: the better of two measurements, before the layers were timed and after. FLOP/s: the "
    "fastest of eighteen 3x3 convolutions (48 to 192 channels, 64x64 to 160x160) that OpenVINO "
    "runs on the CPU in that precision, timed as layers are. Memory: the fastest NumPy copy of "
    "four times the caches, bytes read and bytes written.",
    "Roofline: a layer takes at least max(FLOPs / peak of the precision it runs in, bytes / "
    "memory); a layer whose tensors stay in the caches can be faster. Layers: medians of five "
    "blocks of runs, with the target's counters on; shares are of all layers and the time between.",
)
LAYER_HEADER = (
    *("layer", "kind", "in", "ms", "time", "MFLOP", "MB", "FLOP/byte", "at least ms", "reached"),
)
RATE_HEADER = ("system", "batch", "p50 ms", "GFLOP/s", "against", "reached")


def percent(share: float) -> str:
    """Return a share in whole per cent."""
    return f"{100 * share:.0f} %"


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def peak_cells(peaks: Peaks) -> list[list[str]]:
    """Return names and values of the peaks."""
    rates = [[f"{name}, GFLOP/s", f"{rate / 1e9:.0f}"] for name, rate in peaks.flops.items()]
    return [
        *rates,
        ["fp32 matrix product of NumPy, GFLOP/s", f"{peaks.matrix_product / 1e9:.0f}"],
        ["memory, GB/s", f"{peaks.memory / 1e9:.1f}"],
    ]


def rate_rows(model: ModelReport, peaks: Peaks) -> list[list[str]]:
    """Return what each system reached; the model and its fp32 graph do the work of the engine."""
    rows = []
    for row in model.systems:
        own = {each.batch: each for each in row.rooflines}
        for stats in row.latencies:
            found = own.get(stats.batch) or _first(model, stats.batch)
            if found is None:
                continue
            precision = found.precision if row.kind == "engine" else "fp32"
            rate = 1000 * found.flops / stats.p50
            peak = found.peak if row.kind == "engine" else peaks.flops.get(precision)
            start = (row.label, str(stats.batch), f"{stats.p50:.2f}", f"{rate / 1e9:.0f}")
            rows.append([*start, precision, percent(rate / peak) if peak else "-"])
    return rows


def _first(model: ModelReport, batch: int) -> Roofline | None:
    every = (each for row in model.systems for each in row.rooflines)
    return next((each for each in every if each.batch == batch), None)


def costliest(found: Roofline) -> list[LayerRow]:
    """Return the layers that take most time, the first most."""
    return sorted(found.layers, key=lambda layer: -layer.milliseconds)[:SHOWN]


def layer_cells(found: Roofline) -> list[list[str]]:
    """Return the cells of the table of the costliest layers."""
    return [
        [
            f"{place}. {layer.name}",
            layer.kind,
            layer.precision or "-",
            f"{layer.milliseconds:.2f}",
            percent(layer.milliseconds / found.profiled),
            f"{layer.flops / 1e6:.0f}",
            f"{layer.bytes / 1e6:.1f}",
            f"{layer.intensity:.0f}",
            f"{layer.attainable:.2f}",
            percent(layer.achieved),
        ]
        for place, layer in enumerate(costliest(found), 1)
    ]


def reasons(report: Report) -> list[str]:
    """Return why each engine is not faster, a line for each batch size."""
    return [
        f"{row.label}, batch {found.batch}: {found.why}"
        for model in report.models
        for row in model.systems
        for found in row.rooflines
    ]


def why_not_faster(found: Roofline) -> str:
    """Say where the time goes, what is far from its roofline, and what the roofline allows."""
    start = f"{_milliseconds(found.milliseconds)}: {found.rate / 1e9:.0f} GFLOP/s"
    if found.achieved is not None:
        start += f", {percent(found.achieved)} of the {found.precision} peak"
    if not found.layers:
        return f"{start}. The target does not say what its layers cost."
    return " ".join(
        filter(None, (f"{start}.", _where(found), _which(found), _gaps(found), _caveats(found)))
    )


def _where(found: Roofline) -> str:
    products = [layer for layer in found.layers if layer.flops]
    others = [layer for layer in found.layers if not layer.flops]
    parts = []
    if products:
        parts.append(
            f"convolutions and matrix products take {_time(products, found)} of the time, at "
            f"{_reached(products)} of their roofline"
        )
    if others:
        parts.append(
            f"ops that only move data or work on each value {_time(others, found)}, at "
            f"{_reached(others)} of the memory's speed"
        )
    text = "; ".join([*parts, f"{percent(found.between / found.profiled)} is between layers"])
    return f"{text[0].upper()}{text[1:]}."


def _time(layers: Iterable[LayerRow], found: Roofline) -> str:
    return percent(sum(layer.milliseconds for layer in layers) / found.profiled)


def _reached(layers: Sequence[LayerRow]) -> str:
    time = sum(layer.milliseconds for layer in layers)
    return percent(sum(layer.attainable for layer in layers) / time)


def _which(found: Roofline) -> str:
    times: dict[str, float] = defaultdict(float)
    for layer in found.layers:
        times[layer.name] += layer.milliseconds
    first = sorted(times.items(), key=lambda each: -each[1])[:_NAMED]
    named = ", ".join(f"{name} ({percent(own / found.profiled)})" for name, own in first)
    return f"Most time goes to {named}."


def _gaps(found: Roofline) -> str:
    lost: dict[str, float] = defaultdict(float)
    for layer in found.layers:
        lost[layer.name] += layer.lost
    first = sorted(lost.items(), key=lambda each: -each[1])[:_NAMED]
    named = ", ".join(f"{name} by {_milliseconds(own)}" for name, own in first if own)
    above = f"Furthest above the roofline: {named}. " if named else ""
    if found.attainable >= found.milliseconds:  # it was measured at another moment's speed
        return above.rstrip()
    at_best = _milliseconds(found.attainable)
    return f"{above}At the roofline of this machine the engine would take {at_best}."


def _caveats(found: Roofline) -> str:
    told = []
    ratio = found.profiled / found.milliseconds
    if not 1 / _UNLIKE < ratio < _UNLIKE:
        told.append(
            "The machine was not quiet: with counters on a run took "
            f"{_milliseconds(found.profiled)}."
        )
    if found.achieved is not None and found.achieved > 1:
        told.append("Over 100 %: the machine was slower while its peaks were measured.")
    if found.unplaced:
        told.append(f"No layer is known for {found.unplaced / 1e6:.0f} MFLOP.")
    if found.uncounted:
        told.append(f"Not counted: {', '.join(found.uncounted[:_NAMED])}.")
    return " ".join(told)


def roofline_words(found: Roofline, peaks: Peaks) -> str:
    """Say what the plot shows."""
    roofs = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peaks.flops.items())
    told = [
        f"{layer.name}: {layer.intensity:.0f} FLOP per byte, "
        f"{layer.flops / layer.milliseconds / 1e6:.0f} GFLOP/s"
        for layer in costliest(found)
        if layer.flops
    ]
    return (
        f"Roofline plot. Roofs: {roofs}, memory {peaks.memory / 1e9:.1f} GB/s. {'; '.join(told)}."
    )
