"""What compression did to each layer, and the networks that were tried: data of precision.html."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ..common.frozen_model import FrozenModel
from ..common.input_size import by_area
from ..compression.decisions import Decision, Factor
from ..compression.layers import weighted_layers
from ..compression.op_shares import factored_parts, op_work
from ..convert.audit import COUNTED
from ..convert.graph import result_name
from ..convert.tensorflow_names import LayerNames
from .compression_search import CompressionPlan, CompressionSearch
from .path_bisection import CompressionStop


class CompressedLayer(FrozenModel):
    """One layer of the whole network that has FLOPs, in the order of the graph."""

    name: str
    op: str
    layer: str = ""
    """See ``LayerPrecision``."""
    flops: float
    """Share of the FLOPs of the whole network, 0..1."""
    kept: float
    """FLOPs that remain, relative to those of the layer; 0..1."""
    rank: int | None = None
    """Channels between the two ops of a factored layer; None: not factored."""
    channels: tuple[int, int] | None = None
    """Channels of its result before and after; None: all remain."""
    error: float | None = None
    """Distance that the decisions on it cause alone; None: none was taken."""
    cost: float
    """Before compression, in ``CompressionReport.unit``."""
    expected_cost: float
    """After compression, as predicted from the graphs that were timed."""


class CompressionRow(FrozenModel):
    """A network that was measured in fp32."""

    decisions: int
    kept_flops: float
    expected_cost: float
    """Of the whole network, in ``CompressionReport.unit``."""
    distance: float
    loss: float
    """In points of the metric."""
    interval: tuple[float, float] | None = None
    agreement: float
    within: bool
    chosen: bool = False
    note: str = ""
    """Why it was not chosen although it is within budget."""


class CompressionReport(FrozenModel):
    """The compression of a model for one target."""

    reason: str
    unit: str
    """Of costs: "ms" or "FLOPs"."""
    whole_cost: float
    """Of the whole network, in the graphs that were timed."""
    layers: tuple[CompressedLayer, ...] = ()
    trials: tuple[CompressionRow, ...] = ()


def compression_report(
    search: CompressionSearch, chosen: CompressionStop | None, reason: str
) -> CompressionReport:
    """Describe a search. ``chosen``: the network of the engine; None: the whole one."""
    plan = search.plan
    return CompressionReport(
        reason=reason,
        unit=plan.unit,
        whole_cost=plan.model.cost(()),
        layers=_layers(search, chosen),
        trials=tuple(
            _row(stop, is_chosen=chosen is not None and stop.point is chosen.point)
            for stop in search.bisection.measured
        ),
    )


def _row(stop: CompressionStop, *, is_chosen: bool) -> CompressionRow:
    trial, interval = stop.trial, stop.trial.interval
    return CompressionRow(
        decisions=len(stop.point.decisions),
        kept_flops=trial.kept_flops,
        expected_cost=stop.point.cost,
        distance=trial.distance,
        loss=trial.metric.loss,
        interval=None if interval is None else (interval.low, interval.high),
        agreement=trial.agreement,
        within=stop.judgement.is_within,
        chosen=is_chosen,
        note="" if is_chosen else stop.failure,
    )


def _layers(
    search: CompressionSearch, chosen: CompressionStop | None
) -> tuple[CompressedLayer, ...]:
    shrinker, plan = search.shrinker, search.plan
    graph = ir.from_proto(shrinker.largest).graph
    names, total = LayerNames(graph), sum(each.flops for each in shrinker.work.values())
    decisions = search.decisions(chosen) if chosen is not None else ()
    kept = _kept(search, chosen)
    before, after = (plan.model.op_costs(shrinker.work, each) for each in ((), decisions))
    rows = []
    for node in graph:
        name = result_name(node)
        flops = shrinker.work[name].flops
        if node.op_type not in COUNTED or not flops:
            continue
        own = [each for each in decisions if name in plan.model.shares[each]]
        ranks = [each.rank for each in own if isinstance(each, Factor) and each.layer == name]
        rows.append(
            CompressedLayer(
                name=name,
                op=node.op_type,
                layer=names.place_of(node.outputs[0]),
                flops=flops / total,
                kept=kept[name][0],
                rank=ranks[0] if ranks else None,
                channels=kept[name][1],
                error=_error(plan, own),
                cost=before.get(name, 0.0),
                expected_cost=after.get(name, 0.0),
            )
        )
    return tuple(rows)


def _kept(
    search: CompressionSearch, chosen: CompressionStop | None
) -> dict[str, tuple[float, tuple[int, int] | None]]:
    """Return the share of the FLOPs that remains of each op, and its channels before and after."""
    original = search.shrinker.work
    if chosen is None:
        return dict.fromkeys(original, (1.0, None))
    smaller = search.graphs(chosen)
    graph = smaller[max(smaller, key=by_area)]
    work = op_work(graph.model)
    flops = {name: work[name].flops if name in work else 0 for name in original}
    after = {each.name: each for each in weighted_layers(ir.from_proto(graph.model).graph)}
    for part, layer in factored_parts(original, graph.model).items():
        flops[layer] += work[part].flops
    found = dict[str, tuple[float, tuple[int, int] | None]]()
    for name, before in original.items():
        known, now = search.shrinker.layers.get(name), after.get(name)
        channels = (known.outputs, now.outputs) if known and now else None
        if channels is not None and channels[0] == channels[1]:
            channels = None
        found[name] = (flops[name] / before.flops if before.flops else 1.0, channels)
    return found


def _error(plan: CompressionPlan, decisions: Sequence[Decision]) -> float | None:
    errors = [each.error for each in plan.options if each.decision in decisions]
    return sum(errors) if errors else None
