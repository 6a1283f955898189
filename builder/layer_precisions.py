"""What became of each layer: the report of an engine's precision."""

from __future__ import annotations

from itertools import islice
from typing import Literal, cast

import onnx_ir as ir

from ..calibration.coverage import Finding, coverage
from ..calibration.methods import METHODS
from ..calibration.noise import signal_to_noise
from ..convert.audit import node_flops
from ..convert.graph import name_of
from ..ocr.roles import role_of
from .candidate import Candidate, Trial
from .choose import Job
from .precision_report import LayerRow, PrecisionReport, TrialRow
from .search import Found

_IMAGES = 3
"""Of the widest input, that noise is measured on."""

LayerPrecision = Literal["int8", "fp16", "bf16", "fp32"]


def precision_report(job: Job, found: Found) -> PrecisionReport:
    """Describe a candidate that was not simply fp32, layer by layer."""
    spec, chosen = job.request.spec, found.chosen
    return PrecisionReport(
        name=spec.name,
        target=job.target.name,
        label=chosen.label,
        reason=found.reason,
        metric=role_of(spec).metric,
        budget=spec.accuracy.max_loss,
        int8_share=chosen.int8_share,
        layers=_layers(job, found),
        trials=tuple(_trial(job, trial, chosen) for trial in found.trials),
        findings=tuple(f"{each.tensor} {each.text}" for each in _findings(job, chosen)),
    )


def _trial(job: Job, trial: Trial, chosen: Candidate) -> TrialRow:
    return TrialRow(
        label=trial.candidate.label,
        int8_share=trial.candidate.int8_share,
        loss=trial.loss if trial.metric else None,
        distance=trial.distance,
        latency=trial.latency,
        within=trial.is_within(job.request.spec.accuracy.max_loss),
        chosen=trial.candidate is chosen,
    )


def _findings(job: Job, chosen: Candidate) -> tuple[Finding, ...]:
    calibrator = job.calibrator
    if chosen.quantization is None or chosen.precision != "int8" or calibrator.knows_all_ranges:
        return ()
    equal = "equalize" in chosen.quantization.corrections
    choose = METHODS[chosen.quantization.method]
    return coverage(calibrator.seen(equal=equal), chosen.quantized.ranges, choose)


def _layers(job: Job, found: Found) -> tuple[LayerRow, ...]:
    calibrator, chosen = job.calibrator, found.chosen
    graph = ir.from_proto(calibrator.any_graph).graph
    work = {name_of(node.outputs[0]): node_flops(node) for node in graph}
    reads = {name_of(node.outputs[0]): name_of(node.inputs[0]) for node in graph}
    layers = calibrator.placements()
    total = sum(work[layer.node] for layer in layers) or 1
    widest = max(calibrator.graphs)
    feeds = (batch for width, batch in calibrator.batches() if width == widest)
    noise = signal_to_noise(
        calibrator.any_graph,
        chosen.quantized.graphs[widest],
        [layer.node for layer in layers],
        list(islice(feeds, _IMAGES)),
    )
    costs = {each.node: each for each in found.sensitivities}
    rows = []
    for layer in layers:
        precision = _precision_of(layer.node, chosen)
        cost = costs.get(layer.node)
        rows.append(
            LayerRow(
                name=layer.node,
                op=layer.op_type,
                precision=precision,
                work=work[layer.node] / total,
                why=_why(layer.node, layer.reason, precision, chosen),
                range=chosen.quantized.ranges.get(reads[layer.node])
                if precision == "int8"
                else None,
                signal_to_noise=noise.get(layer.node),
                alone=cost.alone if cost else None,
                without=cost.without if cost else None,
            )
        )
    return tuple(rows)


def _precision_of(node: str, chosen: Candidate) -> LayerPrecision:
    if node not in chosen.quantized.exceptions and chosen.precision != "fp32":
        return cast(LayerPrecision, chosen.precision)
    if chosen.quantization is None or chosen.precision != "int8" or node in chosen.quantized.fp32:
        return "fp32"
    return chosen.quantization.fallback


def _why(node: str, rule: str | None, precision: str, chosen: Candidate) -> str:
    reasons = [chosen.quantized.exceptions.get(node), chosen.quantized.fp32.get(node)]
    told = [reason for reason in dict.fromkeys(reasons) if reason]
    if not told and precision != "int8":
        told = [rule or "no int8 in this engine"]
    return "; ".join(told)
