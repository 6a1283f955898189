"""The sentences that state why an engine is not faster, by its roofline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .results import ModelReport
from .roofline import LayerRoofline, Roofline, percent

_NAMED = 3
"""Layers that a sentence names."""
_UNLIKE = 1.25
"""Ratio of two times of the same engine from which the machine was not quiet."""


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def reasons(models: Iterable[ModelReport]) -> list[str]:
    """Return why each engine is not faster, a line for each batch size."""
    return [
        f"{row.label}, batch {found.batch}: {found.why}"
        for model in models
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


def _time(layers: Iterable[LayerRoofline], found: Roofline) -> str:
    return percent(sum(layer.milliseconds for layer in layers) / found.profiled)


def _reached(layers: Sequence[LayerRoofline]) -> str:
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
