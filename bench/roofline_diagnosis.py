"""The sentences that state why an engine is not faster, by its roofline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .results import ModelReport
from .roofline import LayerRoofline, Roofline, percent

_NAMED = 3
"""Layers that a sentence names."""
_UNLIKE = 1.25
"""If two times of one engine differ by this factor, other programs disturbed the measurement."""


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def reasons(models: Iterable[ModelReport]) -> list[str]:
    """Return why each engine is not faster, one line per batch size."""
    return [
        f"{row.label}, batch {roofline.batch}: {roofline.why}"
        for model in models
        for row in model.systems
        for roofline in row.rooflines
    ]


def why_not_faster(roofline: Roofline) -> str:
    """State where the time goes, the slowest layers, and the time that the rooflines allow."""
    start = f"{_milliseconds(roofline.milliseconds)}: {roofline.rate / 1e9:.0f} GFLOP/s"
    if roofline.achieved is not None:
        start += f", {percent(roofline.achieved)} of the {roofline.precision} peak"
    if not roofline.layers:
        return f"{start}. The target does not report the times of its layers."
    return " ".join(
        filter(
            None,
            (f"{start}.", _where(roofline), _which(roofline), _gaps(roofline), _caveats(roofline)),
        )
    )


def _where(roofline: Roofline) -> str:
    # Of layers without a time it is unknown which share of the roofline they reach.
    timed = [layer for layer in roofline.layers if layer.milliseconds]
    products = [layer for layer in timed if layer.flops]
    others = [layer for layer in timed if not layer.flops]
    parts = []
    if products:
        parts.append(
            f"convolutions and matrix products take {_time(products, roofline)} of the time, at "
            f"{_reached(products)} of their roofline"
        )
    if others:
        parts.append(
            f"elementwise ops and ops that move data take {_time(others, roofline)} of the "
            "time, at "
            f"{_reached(others)} of the memory bandwidth"
        )
    text = "; ".join(
        [*parts, f"{percent(roofline.between / roofline.profiled)} is spent between layers"]
    )
    return f"{text[0].upper()}{text[1:]}."


def _time(layers: Iterable[LayerRoofline], roofline: Roofline) -> str:
    return percent(sum(layer.milliseconds for layer in layers) / roofline.profiled)


def _reached(layers: Sequence[LayerRoofline]) -> str:
    time = sum(layer.milliseconds for layer in layers)
    return percent(sum(layer.attainable for layer in layers) / time)


def _which(roofline: Roofline) -> str:
    slowest = _largest(roofline, "milliseconds")
    named = ", ".join(f"{name} ({percent(time / roofline.profiled)})" for name, time in slowest)
    return f"The slowest are {named}."


def _largest(roofline: Roofline, field: str) -> list[tuple[str, float]]:
    """Return the largest values of a field, and the names of their layers."""
    # Summed by name: a target may split one node into several layers.
    sums: dict[str, float] = defaultdict(float)
    for layer in roofline.layers:
        sums[layer.name] += getattr(layer, field)
    return sorted(sums.items(), key=lambda each: -each[1])[:_NAMED]


def _gaps(roofline: Roofline) -> str:
    lost = _largest(roofline, "lost")
    named = ", ".join(f"{name} by {_milliseconds(time)}" for name, time in lost if time)
    above = f"Furthest above their roofline time: {named}. " if named else ""
    # Latency and layers are timed one after the other, so the machine's speed may have changed.
    if roofline.attainable >= roofline.milliseconds:
        return above.rstrip()
    at_best = _milliseconds(roofline.attainable)
    return f"{above}If every layer reached its roofline, the engine would take {at_best}."


def _caveats(roofline: Roofline) -> str:
    caveats = []
    ratio = roofline.profiled / roofline.milliseconds
    if not 1 / _UNLIKE < ratio < _UNLIKE:
        caveats.append(
            "The times of layers are uncertain: with counters on, a run took "
            f"{_milliseconds(roofline.profiled)}."
        )
    if roofline.achieved is not None and roofline.achieved > 1:
        caveats.append(
            "Values over 100 % mean that the machine was slower while its peaks were measured."
        )
    if roofline.unplaced:
        caveats.append(
            f"{roofline.unplaced / 1e6:.0f} MFLOP of the graph could not be assigned to a layer."
        )
    if roofline.uncounted:
        caveats.append(f"FLOPs not counted: {', '.join(roofline.uncounted[:_NAMED])}.")
    return " ".join(caveats)
