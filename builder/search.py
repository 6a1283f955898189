"""The search for ``--precision best``: everything in int8, and then layers given back to float
until the OCR metric holds, and only as many as it takes.

1. The calibration method, and what is done to the float graph first, are those by which the
   metric loses least with everything in int8. What loses less than half of the budget is equally
   good; there the one nearest to the float graph is taken.
2. Layers are ranked by what each does alone to the float graph's output, per FLOP.
3. The fewest that must be given back in this order are found by halving; then each of them is
   tried in int8 again, the largest first.
4. If the metric holds at once, the first layer and the last one are tried in int8 too, where the
   target can run here and show whether that gains anything.
5. Of all candidates within budget the fastest is taken, measured on the target in one run; within
   2 % all are equal, and of those the nearest to the float graph is taken. Where the target cannot
   run here it is the one with most FLOPs in int8.
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
from .candidate import Candidate, Trial, float_candidate, half_candidate, int8_candidate
from .trials import Judge

GIVEN_BACK = "given back to float: the metric needs it"
_TRIED_AGAIN = 6
"""Layers that are tried in int8 again, once it is known how many must be given back."""
_EQUAL = 0.02
"""Of the time: what repeated measurements differ by."""
_WEIGHT_CORRECTIONS: tuple[tuple[WeightCorrection, ...], ...] = (
    ("bias",),
    ("equalize",),
    ("equalize", "bias"),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search ended with. ``trials``: all that were measured, in order."""

    chosen: Candidate
    reason: str
    """Why it is this one."""
    trials: tuple[Trial, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()


class _Lab:
    """Makes candidates, has them measured, and keeps what was found."""

    def __init__(self, judge: Judge, calibrator: Calibrator) -> None:
        self.judge, self.calibrator = judge, calibrator
        self.trials: list[Trial] = []

    def int8(self, quantization: QuantizationSettings, label: str) -> Trial:
        """Measure an int8 candidate."""
        return self.measured(int8_candidate(self.calibrator, quantization, label))

    def holding(self, start: Trial, nodes: Sequence[str]) -> Trial:
        """Measure an int8 candidate with some layers given back."""
        quantization = quantization_of(start)
        held = {**quantization.held, **dict.fromkeys(nodes, GIVEN_BACK)}
        label = f"int8, {len(nodes)} of {len(self.calibrator.ops(quantization))} layers given back"
        return self.int8(replace(quantization, held=held), label)

    def measured(self, candidate: Candidate) -> Trial:
        """Measure a candidate."""
        trial = self.judge.trial(candidate)
        self.trials.append(trial)
        return trial


def quantization_of(trial: Trial) -> QuantizationSettings:
    """Return the typing of a trial that has one."""
    assert trial.candidate.quantization is not None
    return trial.candidate.quantization


def merit(trial: Trial, budget: float) -> tuple[float, float]:
    """Rank trials, the best first: what loses less than half of the budget is equally good.

    Such differences are those of a few words; then the nearest to the float graph is the best.
    """
    return max(0.0, trial.loss - budget / 2), trial.distance


def best_method(
    judge: Judge,
    calibrator: Calibrator,
    quantization: QuantizationSettings,
    methods: Sequence[str] = tuple(METHODS),
) -> tuple[Trial, tuple[Trial, ...]]:
    """Return everything in int8 by the method and corrections that lose least, and all trials."""
    lab, is_open = _Lab(judge, calibrator), not calibrator.knows_all_ranges
    for method in methods if is_open else methods[:1]:
        lab.int8(replace(quantization, method=method), f"int8, {method}")
    budget = judge.request.spec.accuracy.max_loss
    best = min(lab.trials, key=lambda trial: merit(trial, budget))
    for each in _WEIGHT_CORRECTIONS if is_open and not quantization.corrections else ():
        expected = replace(quantization_of(best), corrections=each)
        lab.int8(expected, f"int8, {expected.method}, {' and '.join(each)}")
    return min(lab.trials, key=lambda trial: merit(trial, budget)), tuple(lab.trials)


def _ranked(found: Sequence[Sensitivity], flops: Mapping[str, int]) -> list[str]:
    """Return layers by the damage each does per FLOP, the worst first."""
    worst = sorted(found, key=lambda each: -each.alone / max(1, flops[each.node]))
    return [each.node for each in worst]


def _give_back(lab: _Lab, start: Trial, order: Sequence[str], flops: Mapping[str, int]) -> None:
    """Find the fewest layers, first in ``order``, without which int8 is within budget.

    The trials are left in the lab; none is within budget if it takes all layers.
    """
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        trial = lab.holding(start, order[:middle])
        if lab.judge.is_within(trial):
            high = middle
        else:
            low = middle
    held = list(order[:high]) if high < len(order) else []
    for node in sorted(held, key=lambda each: -flops[each])[:_TRIED_AGAIN]:
        fewer = [other for other in held if other != node]
        if fewer and lab.judge.is_within(lab.holding(start, fewer)):
            held = fewer


def _floats(lab: _Lab, quantization: QuantizationSettings) -> None:
    """Measure what has no int8 in it, fastest first, until one is within budget."""
    for precision in dict.fromkeys((quantization.fallback, "bf16", "fp32")):
        if precision not in lab.judge.target.precisions:
            continue
        if precision == "fp32":
            candidate = float_candidate(lab.calibrator.graphs)
        else:
            candidate = half_candidate(lab.calibrator, precision)
        if lab.judge.is_within(lab.measured(candidate)):
            return


def _reason(chosen: Trial, others: Sequence[Trial], judge: Judge) -> str:
    budget = judge.request.spec.accuracy.max_loss
    if chosen.latency is None:
        why = "of those within budget the one with most FLOPs in int8; not timed here"
    elif chosen is _quickest(others, judge):
        why = f"of those within budget the fastest on {judge.target.name}"
    else:
        why = (
            f"of those within budget and within {100 * _EQUAL:.0f} % of the fastest on "
            f"{judge.target.name} the nearest to the float graph"
        )
    slower = [
        trial
        for trial in others
        if judge.is_within(trial) and trial.candidate.precision == "int8" and trial.latency
    ]
    if chosen.candidate.precision != "int8" and slower and chosen.latency:
        fastest = min(slower, key=lambda trial: trial.latency or 0.0)
        why += f": int8 takes {fastest.latency:.2f} ms, this {chosen.latency:.2f}"
    return f"loses {chosen.loss:.2f} of {budget:g} points; {why}"


def _quickest(trials: Sequence[Trial], judge: Judge) -> Trial:
    within = [trial for trial in trials if judge.is_within(trial)] or list(trials)
    return min(within, key=lambda trial: trial.latency or 0.0)


def search(
    judge: Judge, calibrator: Calibrator, quantization: QuantizationSettings, methods: Sequence[str]
) -> Found:
    """Find the fastest mixture of precisions that stays within the accuracy budget.

    Args:
        judge: measures candidates for the target.
        calibrator: of the model's graphs.
        quantization: int8 as the target wants it.
        methods: calibration methods to choose from.
    """
    graph = ir.from_proto(calibrator.any_graph).graph
    flops = {name_of(node.outputs[0]): node_flops(node) for node in graph}
    start, tried = best_method(judge, calibrator, quantization, methods)
    lab = _Lab(judge, calibrator)
    ops = calibrator.ops(quantization_of(start))
    with judge.reporter.step("what each layer costs in int8", len(ops)) as advance:
        costs = sensitivities(
            calibrator, quantization_of(start), judge.request.spec, judge.feeds, advance
        )
    order = _ranked(costs, flops)
    lab.trials.append(start)
    if not judge.is_within(start):
        _give_back(lab, start, order, flops)
    elif judge.can_time:
        wide = replace(quantization_of(start).style, everywhere=True)
        lab.int8(replace(quantization_of(start), style=wide), "int8, first and last layer too")
    for count in sorted({len(order) // 4, len(order) // 2} - {0, len(order)}):
        lab.holding(start, order[:count])  # so that the image shows what more float would give
    _floats(lab, quantization_of(start))
    timed = judge.timed(_distinct(lab.trials))
    within = [trial for trial in timed if judge.is_within(trial)]
    chosen = _fastest(within or timed[-1:])
    shown = {id(trial.candidate) for trial in timed}
    rest = [trial for trial in tried if id(trial.candidate) not in shown]
    return Found(
        chosen=chosen.candidate,
        reason=_reason(chosen, timed, judge),
        trials=(*rest, *timed),
        sensitivities=costs,
    )


def _fastest(trials: Sequence[Trial]) -> Trial:
    if any(trial.latency is None for trial in trials):
        return max(trials, key=lambda trial: trial.candidate.int8_share)
    least = min(trial.latency or 0.0 for trial in trials)
    equal = [trial for trial in trials if (trial.latency or 0.0) <= least * (1 + _EQUAL)]
    return min(equal, key=lambda t: (t.distance, t.latency or 0.0, -t.candidate.int8_share))


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Drop trials with the layers in int8 of another one; the last of them stays."""
    return list(
        {
            (trial.candidate.precision, frozenset(trial.candidate.quantized.exceptions)): trial
            for trial in trials
        }.values()
    )
