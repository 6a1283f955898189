"""The precision of an engine, layer by layer, and the trials of the search: ``precision.json``."""

from __future__ import annotations

from itertools import islice
from typing import Literal, cast

import onnx_ir as ir

from ..calibration.calibrator import Calibrator
from ..calibration.coverage import coverage
from ..calibration.methods import METHODS
from ..calibration.noise import signal_to_noise
from ..common.frozen_model import FrozenModel
from ..common.input_size import by_area
from ..convert.audit import COUNTED, node_flops
from ..convert.graph import name_of, result_name
from ..convert.tensorflow_names import LayerNames
from ..engines.manifest import TargetTrial
from ..ocr.metrics.metric import RoleMetric
from ..ocr.roles import role_of
from .compare import is_within_budget
from .compression_report import CompressionReport
from .job import TargetJob
from .search import PrecisionChoice
from .trials import Candidate

_NOISE_BATCHES = 3
"""Batches of the largest input on which noise is measured."""

OpPrecision = Literal["int8", "fp16", "bf16", "fp32"]


class LayerPrecision(FrozenModel):
    """One convolution, matrix product or recurrent layer, in the order of the graph."""

    name: str
    op: str
    layer: str = ""
    """Its layer in the model, by the name in the framework, or the nearest layer; see
    ``convert.tensorflow_names``. "" if that is unknown."""
    precision: OpPrecision
    work: float
    """Its share of the FLOPs, 0..1."""
    why: str = ""
    """Why it is not in int8."""
    range: float | None = None
    """The largest |x| that its int8 input represents; None if it is not in int8."""
    signal_to_noise: float | None = None
    """Of its result, in dB, including the noise of the layers before it; None without noise."""
    alone: float | None = None
    """Distance of the model's output from the float one with this layer alone in int8."""
    without: float | None = None
    """The same distance with all other layers in int8."""


class TrialRow(FrozenModel):
    """A mixture of precisions that was measured."""

    label: str
    int8_share: float
    loss: float | None
    """In points; None without samples."""
    distance: float
    latency: float | None
    """In milliseconds; None if it was not timed."""
    within: bool
    chosen: bool = False


class PrecisionReport(FrozenModel):
    """The precision of an engine."""

    schema_version: Literal[1] = 1
    name: str
    target: str
    label: str
    reason: str
    metric: RoleMetric
    """The metric whose points are lost."""
    budget: float
    int8_share: float
    layers: tuple[LayerPrecision, ...]
    trials: tuple[TrialRow, ...] = ()
    targets: tuple[TargetTrial, ...] = ()
    """The targets that ``--target auto`` compared; (): the target was named."""
    compression: CompressionReport | None = None
    """None: compression was not requested, or the model cannot be compressed."""
    findings: tuple[str, ...] = ()
    """Tensors that the calibration images do not cover well."""


def precision_report(
    job: TargetJob, calibrator: Calibrator, choice: PrecisionChoice
) -> PrecisionReport:
    """Describe the chosen candidate layer by layer, and all trials."""
    spec, chosen = job.spec, choice.chosen
    trials = (
        TrialRow(
            label=trial.candidate.label,
            int8_share=trial.candidate.int8_share,
            loss=trial.loss if trial.metric else None,
            distance=trial.distance,
            latency=trial.latency,
            within=is_within_budget(trial.loss, spec),
            chosen=trial.candidate is chosen,
        )
        for trial in choice.trials
    )
    return PrecisionReport(
        name=spec.name,
        target=job.target.name,
        label=chosen.label,
        reason=choice.reason,
        metric=role_of(spec).metric,
        budget=spec.accuracy.max_loss,
        int8_share=chosen.int8_share,
        layers=_layers(calibrator, choice),
        trials=tuple(trials),
        findings=_findings(calibrator, chosen),
    )


def _findings(calibrator: Calibrator, chosen: Candidate) -> tuple[str, ...]:
    # Ranges that were not computed from images do not depend on their coverage.
    if chosen.quantization is None or chosen.precision != "int8" or calibrator.knows_all_ranges:
        return ()
    seen = calibrator.observation(equalized="equalize" in chosen.quantization.corrections)
    choose = METHODS[chosen.quantization.method]
    findings = coverage(seen, chosen.quantized.ranges, choose)
    return tuple(f"{each.tensor} {each.text}" for each in findings)


def _layers(calibrator: Calibrator, choice: PrecisionChoice) -> tuple[LayerPrecision, ...]:
    chosen, placements = choice.chosen, calibrator.placements()
    graph = ir.from_proto(calibrator.largest_graph).graph
    nodes = {result_name(node): node for node in graph if node.op_type in COUNTED}
    flops = {name: node_flops(node) for name, node in nodes.items()}
    inputs = {name: name_of(node.inputs[0]) for name, node in nodes.items()}
    names = LayerNames(graph)
    layers = {name: names.place_of(node.outputs[0]) for name, node in nodes.items()}
    # Shares of the work of the layers listed; norms and activations are not counted.
    total = sum(flops[placement.node] for placement in placements) or 1
    noise = _noise(calibrator, chosen, [placement.node for placement in placements])
    costs = {each.node: each for each in choice.sensitivities}
    rows = []
    for placement in placements:
        node, precision = placement.node, _precision_of(placement.node, chosen)
        cost, is_int8 = costs.get(node), precision == "int8"
        rows.append(
            LayerPrecision(
                name=node,
                op=placement.op_type,
                layer=layers[node],
                precision=precision,
                work=flops[node] / total,
                why=_why(node, placement.reason, precision, chosen),
                range=chosen.quantized.ranges.get(inputs[node]) if is_int8 else None,
                signal_to_noise=noise.get(node),
                alone=cost.alone if cost else None,
                without=cost.without if cost else None,
            )
        )
    return tuple(rows)


def _noise(calibrator: Calibrator, chosen: Candidate, nodes: list[str]) -> dict[str, float]:
    """Return the signal to noise of layers in dB, on a few batches of the largest input."""
    largest = max(calibrator.graphs, key=by_area)
    feeds = (batch for batch in calibrator.batches() if batch.shape[2:] == largest)
    quantized = chosen.quantized.graphs[largest]
    return signal_to_noise(
        calibrator.largest_graph, quantized, nodes, list(islice(feeds, _NOISE_BATCHES))
    )


def _precision_of(node: str, chosen: Candidate) -> OpPrecision:
    # Exceptions are the ops without the chosen precision; those of int8 have the fallback's, unless
    # they are exceptions there as well.
    if node not in chosen.quantized.exceptions and chosen.precision != "fp32":
        return cast(OpPrecision, chosen.precision)
    if (
        chosen.quantization is None
        or chosen.precision != "int8"
        or node in chosen.quantized.kept_fp32
    ):
        return "fp32"
    return chosen.quantization.fallback


def _why(node: str, rule: str | None, precision: str, chosen: Candidate) -> str:
    """Return why a layer did not get the chosen precision; "" if it is in int8.

    ``rule``: the reason why the layer is never quantized to int8, if there is one.
    """
    reasons = [chosen.quantized.exceptions.get(node), chosen.quantized.kept_fp32.get(node)]
    given = [reason for reason in dict.fromkeys(reasons) if reason]
    if not given and precision != "int8":
        given = [rule or "no int8 in this engine"]
    return "; ".join(given)
