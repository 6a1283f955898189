"""The sentences that state why an engine is not faster, by its roofline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from .results import ModelReport
from .roofline import LayerRoofline, Roofline, percent

_NAMED = 3
"""Layers that a sentence names."""
_UNLIKE = 1.25
"""Ratio of two times of one engine from which other programs disturbed the measurement."""


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def reasons(models: Iterable[ModelReport]) -> list[str]:
    """Return why each engine is not faster, one line per batch size."""
    return [
        f"{row.label}, batch {found.batch}: {found.why}"
        for model in models
        for row in model.systems
        for found in row.rooflines
    ]


def why_not_faster(found: Roofline) -> str:
    """Return where the time goes, which layers exceed their roofline, and what it allows."""
    start = f"{_milliseconds(found.milliseconds)}: {found.rate / 1e9:.0f} GFLOP/s"
    if found.achieved is not None:
        start += f", {percent(found.achieved)} of the {found.precision} peak"
    if not found.layers:
        return f"{start}. The target does not report the times of its layers."
    return " ".join(
        filter(None, (f"{start}.", _where(found), _which(found), _gaps(found), _caveats(found)))
    )


def _where(found: Roofline) -> str:
    # Of layers without a time it is unknown which share of the roofline they reach.
    timed = [layer for layer in found.layers if layer.milliseconds]
    products = [layer for layer in timed if layer.flops]
    others = [layer for layer in timed if not layer.flops]
    parts = []
    if products:
        parts.append(
            f"convolutions and matrix products take {_time(products, found)} of the time, at "
            f"{_reached(products)} of their roofline"
        )
    if others:
        parts.append(
            f"elementwise ops and ops that move data take {_time(others, found)}, at "
            f"{_reached(others)} of the memory bandwidth"
        )
    text = "; ".join([*parts, f"{percent(found.between / found.profiled)} pass between layers"])
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
    return f"The slowest are {named}."


def _gaps(found: Roofline) -> str:
    lost: dict[str, float] = defaultdict(float)
    for layer in found.layers:
        lost[layer.name] += layer.lost
    first = sorted(lost.items(), key=lambda each: -each[1])[:_NAMED]
    named = ", ".join(f"{name} by {_milliseconds(own)}" for name, own in first if own)
    above = f"Furthest above their roofline: {named}. " if named else ""
    if found.attainable >= found.milliseconds:  # the speed of the machine has changed in between
        return above.rstrip()
    at_best = _milliseconds(found.attainable)
    return f"{above}If every layer reached its roofline, the engine would take {at_best}."


def _caveats(found: Roofline) -> str:
    caveats = []
    ratio = found.profiled / found.milliseconds
    if not 1 / _UNLIKE < ratio < _UNLIKE:
        caveats.append(
            "The times of layers are uncertain: with counters on, a run took "
            f"{_milliseconds(found.profiled)}."
        )
    if found.achieved is not None and found.achieved > 1:
        caveats.append("Over 100 %: the machine was slower while its peaks were measured.")
    if found.unplaced:
        caveats.append(f"{found.unplaced / 1e6:.0f} MFLOP match no layer.")
    if found.uncounted:
        caveats.append(f"FLOPs not counted: {', '.join(found.uncounted[:_NAMED])}.")
    return " ".join(caveats)
