"""The cost of every op at several levels of compression, measured on the target.

The whole network is compiled a few times in the precision of the build, with all layers at one
level, and the target reports the time of each layer. So a few engines give the times of all
options, with everything that the target fuses and reorders. Weights and ranges do not change these
times, so nothing is fitted or calibrated. Where the target cannot run here or does not report times
of layers, FLOPs take the place of times.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

from ..calibration.autocast import autocast, float_tensors
from ..calibration.half import HALF_TYPES
from ..calibration.quantize import quantize, quantized_tensors
from ..common.progress import Advance
from ..compression.cost_model import CostModel, Curve, OpCost, proportional_cost
from ..compression.decisions import Decision
from ..compression.op_shares import OpShare, OpWork, factored_parts, op_work
from ..engines.base import RunSettings
from ..engines.layer_time import LayerTime
from ..measure.work import graph_work
from .compression_trials import CompressionRunner
from .job import TargetJob
from .time_limits import limited

_ANY_RANGE = 4.0
"""Range of every tensor in graphs that are only timed."""
_ROUNDS, _SECONDS = 3, 0.7
"""How often all graphs are timed in turns, and for how many seconds each at most."""
_ADDED = (".int8", ".rounded", ".q", ".dq")
"""Suffixes of the tensors that quantization adds behind a tensor."""


def cost_model(
    runner: CompressionRunner,
    levels: Sequence[Sequence[Decision]],
    shares: Mapping[Decision, Mapping[str, OpShare]],
) -> tuple[CostModel, str]:
    """Return a model of the cost, and its unit: "ms" or "FLOPs".

    Args:
        runner: measures for one target.
        levels: decisions on all layers, or all groups, at one level each.
        shares: for each decision: the ops that it makes smaller.
    """
    work = runner.shrinker.work
    timed = _levels(runner, [(), *levels])
    if timed is None:
        costs = {name: proportional_cost(each.flops) for name, each in work.items() if each.flops}
        return CostModel(ops=costs, shares=shares), "FLOPs"
    base, *others = timed
    ops = {n: _op_cost(n, each, base, others) for n, each in work.items() if base.times.get(n)}
    return CostModel(ops=ops, rest=base.times.get("", 0.0), shares=shares), "ms"


@dataclass(frozen=True, kw_only=True)
class _Level:
    """A graph that was timed."""

    work: Mapping[str, OpWork]
    parts: Mapping[str, str]
    """Its additional ops, with the factored op that each is for."""
    graph: onnx.ModelProto
    """The float graph."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by op of the original graph; "": everything else."""


def _op_cost(name: str, work: OpWork, base: _Level, others: Sequence[_Level]) -> OpCost:
    """Return the curves of one op from its times at several levels."""
    dense, factored = [(1.0, base.times[name])], list[tuple[float, float]]()
    whole = work.flops or work.size or 1
    for level in others:
        after = level.work.get(name)
        if after is None or name not in level.times:
            continue
        parts = [part for part, layer in level.parts.items() if layer == name]
        flops = after.flops + sum(level.work[part].flops for part in parts)
        share = (flops if work.flops else after.size) / whole
        (factored if parts else dense).append((share, level.times[name]))
    plain = proportional_cost(base.times[name])
    return OpCost(dense=Curve(dense), factored=Curve(factored) if factored else plain.factored)


def _levels(runner: CompressionRunner, levels: Sequence[Sequence[Decision]]) -> list[_Level] | None:
    """Time the network at all levels; None if the target does not report times here."""
    found, reporter = list[_Level](), runner.job.reporter
    if not runner.job.compiler.can_run:
        return None
    with reporter.step("time the network at several sizes", _ROUNDS * len(levels)) as advance:
        for decisions in levels:
            smaller = runner.shrinker.restructured(decisions)[runner.job.spec.input.size]
            parts = factored_parts(runner.shrinker.work, smaller.model)
            found.append(_Level(work=op_work(smaller.model), parts=parts, graph=smaller.model))
        times = [runner.times(decisions) for decisions in levels]
        rounds = [dict[str, float](each) for each in times if each is not None]
        if len(rounds) < len(levels):
            rounds = _timed_rounds(runner, found, advance)
            for decisions, each in zip(levels, rounds, strict=True):
                runner.keep_times(decisions, each)
    if not all(rounds):
        return None
    return [replace(level, times=each) for level, each in zip(found, rounds, strict=True)]


def _timed_rounds(
    runner: CompressionRunner, levels: Sequence[_Level], advance: Advance
) -> list[dict[str, float]]:
    """Return the least time of each op in several rounds over all levels.

    Another program can only make a layer slower, so the least time is the nearest to its own.
    Rounds, because the speed of a machine changes within seconds.
    """
    least: list[dict[str, float]] = [{} for _ in levels]
    job, work = runner.job, runner.shrinker.work
    with tempfile.TemporaryDirectory() as scratch:
        graphs = [_in_precision(job, level.graph) for level in levels]
        plans = [_compiled(job, graph, Path(scratch) / str(n)) for n, graph in enumerate(graphs)]
        for turn in range(_ROUNDS):
            for number, (level, graph) in enumerate(zip(levels, graphs, strict=True)):
                owners = {name: name for name in work} | dict(level.parts)
                for name, own in _by_op(
                    _layer_times(job, plans[number]), graph, owners, work
                ).items():
                    least[number][name] = min(own, least[number].get(name, own))
                if not least[number]:  # the target reports no times
                    return least
                advance(turn * len(levels) + number + 1)
    return least


def _in_precision(job: TargetJob, graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in the precision of the build, with ranges that serve for timing only."""
    precision = job.request.precision
    if precision == "fp32":
        return graph
    if precision in ("fp16", "bf16"):
        peaks = dict.fromkeys(float_tensors(graph), _ANY_RANGE)
        return autocast(graph, peaks, HALF_TYPES[precision]).model
    lowered, style = job.lower(graph), job.quantization.style
    names = quantized_tensors(lowered, everywhere=True, products=True)
    return quantize(lowered, dict.fromkeys(names, _ANY_RANGE), style).model


def _compiled(job: TargetJob, graph: onnx.ModelProto, folder: Path) -> Path:
    """Compile a graph for the input of the spec; return the plan."""
    folder.mkdir()
    plan = folder / f"plan{job.target.suffix}"
    limited(
        f"the compilation for {job.target.name}",
        lambda: job.target.build(graph, plan, job.request.settings),
    )
    return plan


def _layer_times(job: TargetJob, plan: Path) -> tuple[LayerTime, ...]:
    """Time the layers of a plan on one random image."""
    shape = (1, job.spec.input.channels, *job.spec.input.size)
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    seconds = min(_SECONDS, job.request.latency.duration_s)
    return job.target.layer_times(plan, image, RunSettings(is_trusted=True), seconds)


def _by_op(
    layers: Sequence[LayerTime],
    graph: onnx.ModelProto,
    owners: Mapping[str, str],
    work: Mapping[str, OpWork],
) -> dict[str, float]:
    """Return the time of each op. A fused layer counts for the op in it that has most FLOPs.

    Args:
        layers: the layers of the plan.
        graph: the quantized graph that it was compiled from.
        owners: op of the original graph, by the first result of an op of the smaller float graph.
        work: of the original graph.
    """
    if not layers:
        return {}
    results = {node.name: next(n for n in node.output if n) for node in graph.graph.node}
    # The nodes in the body of a function belong to the op that calls it.
    calls = graph_work(graph, 1).labels
    times = defaultdict[str, float](float)
    for layer in layers:
        found = [
            owner
            for node in layer.nodes
            if (owner := _owner(calls.get(node, node), results, owners))
        ]
        # max returns the first of equals: an activation that is a layer of its own has no FLOPs.
        times[max(found, key=lambda op: work[op].flops, default="")] += layer.milliseconds
    return dict(times)


def _owner(node: str, results: Mapping[str, str], owners: Mapping[str, str]) -> str:
    """Return the op of the original graph that a node of the quantized graph belongs to, or ""."""
    name = results.get(node, node)
    while name not in owners:
        suffix = next((each for each in _ADDED if name.endswith(each)), None)
        if suffix is None:
            return ""
        name = name.removesuffix(suffix)
    return owners[name]
