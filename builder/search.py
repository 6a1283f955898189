"""The search for ``--precision best``: the fastest mixture of precisions within the budget.

It starts from everything in int8 and gives layers back to float until the OCR metric holds.

1. Choose the calibration method and the weight corrections with which the metric loses least,
   everything in int8. A loss below half of the budget counts as none; among those the candidate
   nearest to the float graph is chosen.
2. Rank layers by the distance from the float graph's output that each alone causes, per FLOP.
3. If the metric does not hold, find by bisection the fewest layers to give back in this order. Then
   try each of them in int8 again, the largest first.
4. If the metric holds, try the first and the last layer in int8 too, provided that the target can
   run here and show whether that gains anything.
5. Measure candidates without int8. On a CPU with bf16, also one in which int8 and bf16 are mixed.
6. Time all candidates within the budget on the target, in one run, and choose the fastest. Within
   2 % all count as equal, and the nearest to the float graph is chosen. Where the target cannot
   run here, the candidate with most FLOPs in int8 is chosen.

docs/precision.md describes the search for users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from ..calibration.calibrator import Calibrator, QuantizationSettings, WeightCorrection
from ..calibration.methods import METHODS
from ..calibration.sensitivity import Sensitivity, sensitivities
from ..convert.audit import node_flops
from ..convert.graph import name_of
from ..engines.points_text import loss_text
from ..measure.latency import EQUAL
from .trials import (
    Candidate,
    PrecisionTrial,
    TrialRunner,
    fp32_candidate,
    half_candidate,
    int8_candidate,
)

GIVEN_BACK = "returned to float to keep the metric within budget"
_RETRIED = 6
"""Layers that are tried in int8 again after the bisection."""
_WEIGHT_CORRECTIONS: tuple[tuple[WeightCorrection, ...], ...] = (
    ("bias",),
    ("equalize",),
    ("equalize", "bias"),
)


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """The candidate that becomes the engine, and the trials that led to it."""

    chosen: Candidate
    reason: str
    """Why this candidate was chosen."""
    trials: tuple[PrecisionTrial, ...] = ()
    """All that were measured, in order."""
    sensitivities: tuple[Sensitivity, ...] = ()


class _Search:
    """Creates candidates, measures them, and collects the trials."""

    def __init__(self, runner: TrialRunner, calibrator: Calibrator) -> None:
        self.runner, self.calibrator = runner, calibrator
        self.trials: list[PrecisionTrial] = []

    def int8(self, quantization: QuantizationSettings, label: str) -> PrecisionTrial:
        """Measure an int8 candidate."""
        return self.measure(int8_candidate(self.calibrator, quantization, label))

    def giving_back(self, start: PrecisionTrial, nodes: Sequence[str]) -> PrecisionTrial:
        """Measure an int8 candidate with some of its layers returned to float."""
        quantization = quantization_of(start)
        excluded = {**quantization.excluded, **dict.fromkeys(nodes, GIVEN_BACK)}
        label = f"int8, {len(nodes)} of {len(self.calibrator.ops(quantization))} layers in float"
        return self.int8(replace(quantization, excluded=excluded), label)

    def measure(self, candidate: Candidate) -> PrecisionTrial:
        """Measure a candidate."""
        trial = self.runner.measure(candidate)
        self.trials.append(trial)
        return trial


def search(
    runner: TrialRunner,
    calibrator: Calibrator,
    quantization: QuantizationSettings,
    methods: Sequence[str],
) -> PrecisionChoice:
    """Find the fastest mixture of precisions within the accuracy budget.

    Args:
        runner: measures candidates for the target.
        calibrator: of the model's graphs.
        quantization: int8 for the target.
        methods: calibration methods to choose from.
    """
    graph = ir.from_proto(calibrator.largest_graph).graph
    flops = {name_of(node.outputs[0]): node_flops(node) for node in graph}
    start, tried = best_method(runner, calibrator, quantization, methods)
    best_int8 = quantization_of(start)
    costs = _layer_costs(runner, calibrator, best_int8)
    order = _ranked(costs, flops)
    # The trials of the methods are not timed below, except the best: they have the same layers in
    # int8, so they are equally fast.
    state = _Search(runner, calibrator)
    state.trials.append(start)
    if not runner.is_within(start):
        _give_back(state, start, order, flops)
    # Without timing, more int8 would always win, even if it is no faster (docs/decisions/0006).
    elif runner.can_time:
        wide = replace(best_int8.style, everywhere=True)
        state.int8(replace(best_int8, style=wide), "int8, including the first and the last layer")
    # The choice does not need these two mixtures; the plot shows with them what more float costs.
    for count in sorted({len(order) // 4, len(order) // 2} - {0, len(order)}):
        state.giving_back(start, order[:count])
    _try_rest_in_bf16(state, best_int8)
    _try_floats(state, best_int8)
    timed = runner.timed(_distinct(state.trials))
    # If nothing holds, the last trial is the most exact precision of the target.
    chosen = _fastest([trial for trial in timed if runner.is_within(trial)] or timed[-1:])
    shown = {id(trial.candidate) for trial in timed}
    others = [trial for trial in tried if id(trial.candidate) not in shown]
    return PrecisionChoice(
        chosen=chosen.candidate,
        reason=_reason(chosen, timed, runner),
        trials=(*others, *timed),
        sensitivities=costs,
    )


def best_method(
    runner: TrialRunner,
    calibrator: Calibrator,
    quantization: QuantizationSettings,
    methods: Sequence[str] = tuple(METHODS),
) -> tuple[PrecisionTrial, tuple[PrecisionTrial, ...]]:
    """Find method and corrections with which int8 loses least; return that trial and all trials."""
    state, is_open = _Search(runner, calibrator), not calibrator.knows_all_ranges
    # With ranges from a file or from the model itself, methods would all give the same graph.
    for method in methods if is_open else methods[:1]:
        state.int8(replace(quantization, method=method), f"int8, {method}")
    budget = runner.spec.accuracy.max_loss
    best = min(state.trials, key=lambda trial: merit(trial, budget))
    # Corrections are tried with the best method alone, not with each.
    for corrections in _WEIGHT_CORRECTIONS if is_open and not quantization.corrections else ():
        corrected = replace(quantization_of(best), corrections=corrections)
        state.int8(corrected, f"int8, {corrected.method}, {' and '.join(corrections)}")
    return min(state.trials, key=lambda trial: merit(trial, budget)), tuple(state.trials)


def quantization_of(trial: PrecisionTrial) -> QuantizationSettings:
    """Return the quantization of a trial that is not fp32."""
    assert trial.candidate.quantization is not None
    return trial.candidate.quantization


def merit(trial: PrecisionTrial, budget: float) -> tuple[float, float]:
    """Return a key that sorts trials, the best first: loss beyond half of the budget, distance.

    A loss below half of the budget comes from a few words and counts as none. The distance from the
    float graph then decides.
    """
    return max(0.0, trial.loss - budget / 2), trial.distance


def _layer_costs(
    runner: TrialRunner, calibrator: Calibrator, quantization: QuantizationSettings
) -> tuple[Sensitivity, ...]:
    def measured() -> tuple[Sensitivity, ...]:
        count = len(calibrator.ops(quantization))
        with runner.reporter.step("measure what each layer loses in int8", count) as advance:
            return sensitivities(calibrator, quantization, runner.spec, runner.feeds, advance)

    # All other ops run in fp32, so the fallback precision does not matter.
    return calibrator.kept(("layer costs", repr(replace(quantization, fallback="fp32"))), measured)


def _ranked(costs: Sequence[Sensitivity], flops: Mapping[str, int]) -> list[str]:
    """Return layers by the distance that each alone causes per FLOP, the worst first."""
    return [c.node for c in sorted(costs, key=lambda c: -c.alone / max(1, flops[c.node]))]


def _give_back(
    state: _Search, start: PrecisionTrial, order: Sequence[str], flops: Mapping[str, int]
) -> None:
    """Find the fewest layers, first in ``order``, that must be in float for the metric to hold.

    If even all layers are not enough, no trial is within the budget.
    """
    # Invariant: giving back order[:low] is too little; order[:high] is enough, or is all layers.
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        if state.runner.is_within(state.giving_back(start, order[:middle])):
            high = middle
        else:
            low = middle
    held = list(order[:high]) if high < len(order) else []
    # The order is only an estimate, so a layer may have been returned without need. The largest
    # gains most in int8.
    for node in sorted(held, key=lambda each: -flops[each])[:_RETRIED]:
        fewer = [other for other in held if other != node]
        if fewer and state.runner.is_within(state.giving_back(start, fewer)):
            held = fewer


def _try_floats(state: _Search, quantization: QuantizationSettings) -> None:
    """Measure candidates without int8, fastest first, until one is within the budget.

    A target with fp32 as fallback is on the CPU, where bf16 may or may not be faster: both are
    measured. fp32 is the last, because ``search`` returns the last if none is within the budget.
    """
    first = () if quantization.fallback == "fp32" else (quantization.fallback,)
    for precision in dict.fromkeys((*first, "bf16", "fp32")):
        if precision not in state.runner.target.precisions:
            continue
        if precision == "fp32":
            candidate = fp32_candidate(state.calibrator.graphs)
        else:
            candidate = half_candidate(state.calibrator, precision)
        is_within = state.runner.is_within(state.measure(candidate))
        if is_within and quantization.fallback != "fp32":
            return


def _try_rest_in_bf16(state: _Search, quantization: QuantizationSettings) -> None:
    """Measure the best int8 candidate with bf16 in place of fp32 for its other ops."""
    target = state.runner.target
    if quantization.fallback != "fp32" or "bf16" not in target.precisions:
        return
    if within := [trial for trial in state.trials if state.runner.is_within(trial)]:
        best = max(within, key=lambda trial: trial.candidate.int8_share)
        mixed = replace(quantization_of(best), fallback="bf16")
        state.int8(mixed, f"{best.candidate.label}, other ops in bf16")


def _distinct(trials: Sequence[PrecisionTrial]) -> list[PrecisionTrial]:
    """Return one trial, the last, of those with the same layers in int8: they are equally fast."""

    def layers(trial: PrecisionTrial) -> tuple[object, ...]:
        candidate = trial.candidate
        fallback = candidate.quantization.fallback if candidate.quantization else "fp32"
        return candidate.precision, fallback, frozenset(candidate.quantized.exceptions)

    return list({layers(trial): trial for trial in trials}.values())


def _fastest(trials: Sequence[PrecisionTrial]) -> PrecisionTrial:
    """Return the fastest trial, or of those equally fast the nearest to the float graph."""
    if any(trial.latency is None for trial in trials):
        return max(trials, key=lambda trial: trial.candidate.int8_share)
    limit = min(trial.latency or 0.0 for trial in trials) * (1 + EQUAL)
    equal = [trial for trial in trials if (trial.latency or 0.0) <= limit]
    return min(equal, key=lambda t: (t.distance, t.latency or 0.0, -t.candidate.int8_share))


def _reason(chosen: PrecisionTrial, trials: Sequence[PrecisionTrial], runner: TrialRunner) -> str:
    """Return one sentence about why a trial was chosen."""
    within, target = [trial for trial in trials if runner.is_within(trial)], runner.target.name
    if chosen.latency is None:
        why = "it has the most FLOPs in int8 of all candidates within budget; not timed here"
    elif chosen is min(within or trials, key=lambda trial: trial.latency or 0.0):
        why = f"it is the fastest candidate within budget on {target}"
    else:
        why = (
            f"of the candidates within budget and within {100 * EQUAL:.0f} % of the fastest on "
            f"{target}, it is the closest to the float graph"
        )
    if chosen.candidate.precision != "int8":
        why = _why_not_int8(chosen, trials, runner) or why
    allowed = f"{runner.spec.accuracy.max_loss:g} may be lost"
    return f"{loss_text(chosen.loss)}, {allowed}; {why}"


def _why_not_int8(
    chosen: PrecisionTrial, trials: Sequence[PrecisionTrial], runner: TrialRunner
) -> str:
    """Return why a candidate without int8 was chosen; "" if that is unknown."""
    int8 = [trial for trial in trials if trial.candidate.precision == "int8"]
    within = [trial for trial in int8 if runner.is_within(trial)]
    if int8 and not within:
        least = min(trial.loss for trial in int8)
        return (
            f"every int8 variant lost more than {runner.spec.accuracy.max_loss:g} points, the best "
            f"one {least:.2f}"
        )
    if not (times := [trial.latency for trial in within if trial.latency]) or not chosen.latency:
        return ""
    return (
        f"int8 is not faster on {runner.target.name}: int8 takes {min(times):.2f} ms, this engine "
        f"{chosen.latency:.2f} ms"
    )
