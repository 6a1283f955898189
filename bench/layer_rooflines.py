"""Measure rooflines: join the layers that a target timed with the FLOPs of the graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from ..common.progress import Reporter
from ..convert.free_sizes import graph_at_size
from ..convert.tensorflow_names import LayerNames
from ..engines.base import RunSettings
from ..engines.bundle import Bundle
from ..engines.layer_time import BETWEEN, LayerTime
from ..engines.manifest import EngineEntry, Manifest, Precision
from ..engines.targets import backend
from ..engines.tuned import choice_for
from ..measure.latency import LatencyStats
from ..measure.peaks import Peaks, measured_peaks
from ..measure.work import GraphWork, graph_work
from .results import ModelReport, Report
from .roofline import LayerRoofline, Roofline
from .roofline_diagnosis import why_not_faster

_Times = dict[tuple[str, int], tuple[LayerTime, ...]]
"""By (label of the engine, batch size)."""


def with_rooflines(
    report: Report, groups: Sequence[Sequence[Bundle]], reporter: Reporter
) -> Report:
    """Add the rooflines of the engines that were timed, at the input of their spec.

    The peaks are measured before and after the layers are timed, and the higher values count,
    because the speed of a shared machine varies.

    Args:
        report: a comparison.
        groups: the bundles of each of the report's models, in the order of its engines.
        reporter: shows the progress.
    """
    before = measured_peaks(reporter)
    times = [_timed(*each, reporter) for each in zip(report.models, groups, strict=True)]
    peaks = before.best_of(measured_peaks(reporter))
    models = (
        _with_rooflines(model, group, own, peaks)
        for model, group, own in zip(report.models, groups, times, strict=True)
    )
    return report.model_copy(update={"models": tuple(models), "peaks": peaks})


def _timed(model: ModelReport, group: Sequence[Bundle], reporter: Reporter) -> _Times:
    times: _Times = {}
    for row, bundle in zip(model.engines, group, strict=True):
        for stats in row.latencies:
            with reporter.step(f"time the layers of {row.label} at batch {stats.batch}"):
                times[row.label, stats.batch] = _layer_times(bundle, stats.batch)
    return times


def _timed_entry(bundle: Bundle) -> EngineEntry:
    """Return the engine for the input of the spec, which need not be the largest one.

    Its latency is measured.
    """
    size = bundle.manifest.spec.input.size
    return next(each for each in bundle.manifest.engines if each.size == size)


def _layer_times(bundle: Bundle, batch: int) -> tuple[LayerTime, ...]:
    spec, entry = bundle.spec, _timed_entry(bundle)
    shape = (batch, spec.input.channels, *entry.size)
    # Random images: only the times are used.
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    choice = choice_for(bundle, "latency")  # the mode in which latencies are timed
    settings = RunSettings(
        model=bundle.path(entry.model),
        is_trusted=bundle.is_trusted,
        streams=choice.streams,
        threads=choice.threads,
    )
    target = backend(bundle.manifest.target)
    return target.layer_times(bundle.path(entry.plan), images, settings)


def _with_rooflines(
    model: ModelReport, group: Sequence[Bundle], times: _Times, peaks: Peaks
) -> ModelReport:
    rooflines = {
        row.label: tuple(
            _roofline(bundle, stats, times[row.label, stats.batch], peaks)
            for stats in row.latencies
        )
        for row, bundle in zip(model.engines, group, strict=True)
    }
    rows = (
        row.model_copy(update={"rooflines": rooflines.get(row.label, ())}) for row in model.systems
    )
    return model.model_copy(update={"systems": tuple(rows)})


def _roofline(
    bundle: Bundle, stats: LatencyStats, times: Sequence[LayerTime], peaks: Peaks
) -> Roofline:
    entry = _timed_entry(bundle)
    quantized = graph_at_size(onnx.load(bundle.path(entry.model)), entry.size)
    work = graph_work(quantized, stats.batch)
    precision = _peak_precision(bundle.manifest)
    rows = layer_rows(times, work, peaks, _places(quantized))
    on_cpu = backend(bundle.manifest.target).runs_on_cpu  # the peaks are those of the CPU
    roofline = Roofline(
        batch=stats.batch,
        precision=precision,
        milliseconds=stats.p50,
        flops=work.total,
        peak=peaks.flops.get(precision) if on_cpu else None,
        layers=rows,
        between=sum(each.milliseconds for each in times if each.kind == BETWEEN),
        unplaced=work.total - sum(row.flops for row in rows) if rows else 0,
        uncounted=work.uncounted,
    )
    return roofline.model_copy(update={"why": why_not_faster(roofline)})


def _peak_precision(manifest: Manifest) -> Precision:
    """Return the precision whose peak an engine is compared with."""
    if manifest.precision != "best":
        return manifest.precision
    # A mixture; as a whole, it is compared with the peak of its fastest type.
    return manifest.choice.precision if manifest.choice is not None else "int8"


def _places(model: onnx.ModelProto) -> dict[str, str]:
    """Return the layer of the source model of each node of a graph, by the name of the node."""
    graph = ir.from_proto(model).graph
    names = LayerNames(graph)
    return {
        str(node.name): names.place_of(next(value for value in node.outputs if value.name))
        for node in graph
    }


def layer_rows(
    times: Sequence[LayerTime],
    work: GraphWork,
    peaks: Peaks,
    places: Mapping[str, str] | None = None,
) -> tuple[LayerRoofline, ...]:
    """Join the layers that a target timed with the FLOPs of the graph it compiled.

    Layers without time are left out unless they have FLOPs. ``places``: the layer of the source
    model of each node.
    """
    places = places or {}
    layers = [each for each in times if each.kind != BETWEEN]
    flops = _placed(layers, work)
    return tuple(
        LayerRoofline(
            name=_label(layer, work),
            layer=_place(layer, work, places),
            kind=layer.kind,
            precision=layer.precision,
            milliseconds=layer.milliseconds,
            flops=flops[index],
            bytes=layer.bytes,
            attainable=1000  # milliseconds
            * max(flops[index] / peaks.of(layer.precision), layer.bytes / peaks.memory),
        )
        for index, layer in enumerate(layers)
        if layer.milliseconds or flops[index]
    )


def _placed(layers: Sequence[LayerTime], work: GraphWork) -> dict[int, int]:
    """Return FLOPs by index of the layer that computes them.

    If several layers name a node, the slowest of them gets its FLOPs; layers that are like it, such
    as the two directions of an LSTM, share them. If no layer names a node, the target fused it into
    a node that reads its result, and the layer of that node gets them: the first layer with a time
    on the way to the output, or else the first layer without.
    """
    of_node: dict[str, int] = {}
    # Ascending times: a slower layer overwrites the entries of faster ones.
    for place in sorted(range(len(layers)), key=lambda i: layers[i].milliseconds):
        of_node.update(dict.fromkeys(layers[place].nodes, place))
    timed = {name: place for name, place in of_node.items() if layers[place].milliseconds}
    placed: dict[int, int] = defaultdict(int)
    for node, flops in work.flops.items():
        if not flops:
            continue
        own = of_node if node in of_node else timed
        index = _reader(node, work, own)
        if index is None:
            index = _reader(node, work, of_node)
        if index is not None:
            equal = _equal_layers(layers, index, node)
            for each in equal:
                placed[each] += flops // len(equal)
            placed[index] += flops % len(equal)
    return placed


def _equal_layers(layers: Sequence[LayerTime], index: int, node: str) -> list[int]:
    """Return a layer, and those of its kind and size that name the node and take about as long."""
    own = layers[index]
    return [
        place
        for place, each in enumerate(layers)
        if place == index
        or (
            node in each.nodes
            and (each.kind, each.bytes) == (own.kind, own.bytes)
            and 2 * each.milliseconds >= own.milliseconds
        )
    ]


def _reader(node: str, work: GraphWork, of_node: Mapping[str, int]) -> int | None:
    """Return the layer of the first node that has one, from ``node`` along the first readers."""
    name: str | None = node
    while name is not None and name not in of_node:
        name = next(iter(work.readers[name]), None)
    return None if name is None else of_node[name]


def _label(layer: LayerTime, work: GraphWork) -> str:
    """Return the last of a layer's nodes that the source model named, or else the last node."""
    known = [name for node, name in work.labels.items() if node in layer.nodes]
    # Names from the source model are paths, such as "net/conv_1/Conv2D".
    paths = [name for name in known if "/" in name]
    name = (paths or known or [layer.name])[-1]
    # A node that ends in ".dq" dequantizes the tensor with the rest of the name.
    return name.removesuffix(".dq")


def _place(layer: LayerTime, work: GraphWork, places: Mapping[str, str]) -> str:
    """Return the layer of the source model that a layer of a target computes; "" if unknown."""
    found = [places.get(label, "") for node, label in work.labels.items() if node in layer.nodes]
    # A fused layer may contain a node that is only near a named layer, and one that is in it.
    inside = [each for each in found if each and not each.startswith(("before ", "behind "))]
    return next(reversed(inside or [each for each in found if each]), "")
