"""Measure rooflines: layers that a target timed, joined with the work of their graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnx

from ..engines.backends import backend
from ..engines.backends.base import RunSettings
from ..engines.bundle import Bundle
from ..engines.layer_time import BETWEEN, LayerTime
from ..engines.manifest import Precision
from .latency import LatencyStats
from .peaks import Peaks
from .roofline import LayerRow, Roofline
from .roofline_words import why_not_faster
from .work import GraphWork, graph_work


def rooflines(
    bundle: Bundle, latencies: Sequence[LatencyStats], peaks: Peaks
) -> tuple[Roofline, ...]:
    """Return the roofline of a bundle's widest engine at each batch size that was timed.

    Raises:
        TargetMissingError: its target cannot run here.
    """
    found = (_roofline(bundle, stats, peaks) for stats in latencies)
    return tuple(each.model_copy(update={"why": why_not_faster(each)}) for each in found)


def _roofline(bundle: Bundle, stats: LatencyStats, peaks: Peaks) -> Roofline:
    entry, spec = bundle.manifest.engines[-1], bundle.spec
    work = graph_work(onnx.load(bundle.path(entry.model)), stats.batch)
    shape = (stats.batch, spec.input.channels, spec.input.height, entry.width)
    pictures = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    settings = RunSettings(model=bundle.path(entry.model), is_trusted=bundle.is_trusted)
    target = backend(bundle.manifest.target)
    times = target.layer_times(bundle.path(entry.plan), pictures, settings)
    asked = bundle.manifest.precision
    precision: Precision = "int8" if asked == "best" else asked
    rows = layer_rows(times, work, peaks)
    return Roofline(
        batch=stats.batch,
        precision=precision,
        milliseconds=stats.p50,
        flops=work.total,
        peak=peaks.flops.get(precision),
        layers=rows,
        between=sum(each.milliseconds for each in times if each.kind == BETWEEN),
        unplaced=work.total - sum(row.flops for row in rows) if rows else 0,
        uncounted=work.uncounted,
    )


def layer_rows(times: Sequence[LayerTime], work: GraphWork, peaks: Peaks) -> tuple[LayerRow, ...]:
    """Join the layers that a target timed with the work of the graph they were made of."""
    layers = [each for each in times if each.kind != BETWEEN]
    flops = _placed(layers, work)
    return tuple(
        LayerRow(
            name=_label(layer, work),
            kind=layer.kind,
            precision=layer.precision,
            milliseconds=layer.milliseconds,
            flops=flops[index],
            bytes=layer.bytes,
            attainable=1000
            * max(flops[index] / peaks.of(layer.precision), layer.bytes / peaks.memory),
        )
        for index, layer in enumerate(layers)
    )


def _placed(layers: Sequence[LayerTime], work: GraphWork) -> dict[int, int]:
    """FLOPs by number of the layer. A node that several name is done by the slowest of them.

    A node that no layer names was merged with the nodes that take its result, and lost its name.
    """
    of_node: dict[str, int] = {}
    for index in sorted(range(len(layers)), key=lambda i: layers[i].milliseconds):
        of_node.update(dict.fromkeys(layers[index].nodes, index))
    found: dict[int, int] = defaultdict(int)
    for node, flops in work.flops.items():
        name: str | None = node
        while flops and name is not None and name not in of_node:
            name = next(iter(work.readers[name]), None)
        if flops and name is not None:
            found[of_node[name]] += flops
    return found


def _label(layer: LayerTime, work: GraphWork) -> str:
    """The last name that comes from the source model, whose names are paths; else the last name."""
    known = [name for node, name in work.labels.items() if node in layer.nodes]
    paths = [name for name in known if "/" in name]
    return (paths or known or [layer.name])[-1]
