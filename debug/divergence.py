"""Find the step of a quantized graph that causes an error, and the kind of the error.

The `own` noise of a step is what it adds when it reads the exact tensors of the reference: the
rounding of its inputs and weights, without the noise of earlier steps. The culprit is the first
step, in the order of the graph, whose own noise is more than a hundredth of its signal (20 dB).
Steps of sound int8 graphs keep 27 dB or more. If no step is that bad, the noise of many steps has
added up; then the step with the most own noise is reported, and `stands_out` is false.

An engine is not run step by step, so the own noise of a target cannot be measured. Its culprit is
the first tensor that is below 15 dB against the same tensor of the graph, and at least 10 dB worse
than each tensor it is computed from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from ..common.frozen_model import FrozenModel
from .steps import GraphStep
from .tracing import TensorNoise

SAME = 90.0
"""dB from which a difference is only float32 rounding."""
_LOUD = 20.0
"""dB of own noise below which a step is the culprit."""
_LOUD_TARGET, _JUMP = 15.0, 10.0
"""The same for a tensor of a target: its dB, and the drop from its inputs."""
_LOWEST = -99.0
"""dB that stand for infinite noise."""
_CLIPPED = 1e-3
"""Share of values beyond an int8 range from which the range is too small."""
_NEAR = 6.0
"""dB: the noise of a part explains that of its step if it is at most this much quieter."""

Cause = Literal["overflow", "clipped", "coarse", "weights", "op", "target"]


class StepRow(FrozenModel):
    """One step. Signal to noise is in dB; None: no noise, or not known.

    ``own``: the noise that the step adds; ``accumulated``: with that of all earlier steps;
    ``inputs`` and ``weights``: of rounding its inputs and its weights; ``target``: the target
    against its graph. ``clipped`` and ``bad`` are shares, 0..1, of input values beyond the int8
    range, and of results that are infinite or NaN.
    """

    name: str
    op: str
    layer: str
    own: float | None = None
    accumulated: float | None = None
    target: float | None = None
    inputs: float | None = None
    weights: float | None = None
    clipped: float = 0.0
    bad: float = 0.0


class Culprit(FrozenModel):
    """The step that causes the error.

    ``stands_out``: whether its own noise is above the limit; if not, it is only the largest.
    """

    step: StepRow
    cause: Cause
    stands_out: bool


def decibels(signal: float, noise: float) -> float | None:
    """Return signal to noise in dB, at least -99; None without noise."""
    if noise == 0:
        return None
    if not math.isfinite(noise) or not signal > 0:
        return _LOWEST
    return max(_LOWEST, 10 * math.log10(signal / noise))


def step_rows(
    steps: Sequence[GraphStep], measured: TensorNoise, target: Mapping[str, float | None]
) -> tuple[StepRow, ...]:
    """Return a row for each float tensor that was measured.

    ``target``: dB of the target against its graph, by the name of the tensor.
    """
    rows = []
    for step in steps:
        power = measured.tensors.get(step.name)
        # No dB without a finite signal: the reference itself overflows there.
        if power is None or not math.isfinite(power.signal):
            continue
        found = [measured.roundings[name] for name in step.rounded if name in measured.roundings]
        inputs = [db for r in found if (db := decibels(r.signal, r.noise)) is not None]
        rows.append(
            StepRow(
                name=step.name,
                op=step.op_type,
                layer=step.layer,
                own=decibels(power.signal, power.own),
                accumulated=decibels(power.signal, power.accumulated),
                target=target.get(step.name),
                inputs=min(inputs, default=None),
                weights=None if step.weight_noise is None else decibels(1.0, step.weight_noise),
                clipped=max((r.clipped / r.count for r in found if r.count), default=0.0),
                bad=power.bad / power.count if power.count else 0.0,
            )
        )
    return tuple(rows)


def culprit_of(rows: Sequence[StepRow]) -> Culprit | None:
    """Return the step because of which the graphs differ; None if they are equal."""
    noisy = [(row.own, row) for row in rows if row.own is not None and row.own < SAME]
    if not noisy:
        return None
    # Rows are in the order of the graph, so this is the first step that is bad.
    loud = next((row for own, row in noisy if own < _LOUD), None)
    chosen = loud or min(noisy, key=lambda each: each[0])[1]
    return Culprit(step=chosen, cause=_cause(chosen), stands_out=loud is not None)


def _cause(row: StepRow) -> Cause:
    """Return the part of a step that explains its noise; "op" if neither rounding does."""
    own = row.own if row.own is not None else SAME
    if row.bad:
        return "overflow"
    kinds: list[tuple[float, Cause]] = []
    if row.inputs is not None:
        kinds.append((row.inputs, "clipped" if row.clipped > _CLIPPED else "coarse"))
    if row.weights is not None:
        kinds.append((row.weights, "weights"))
    level, kind = min(kinds, default=(SAME, "op"))
    # A step that is loud although its inputs and weights are fine is another op than the model's.
    return kind if level < own + _NEAR or own >= _LOUD else "op"


def target_culprit(steps: Sequence[GraphStep], rows: Sequence[StepRow]) -> Culprit | None:
    """Return the step from which a target differs from its graph; None if no tensor differs."""
    reads = {step.name: step.reads for step in steps}
    # None means equal, which counts as SAME.
    seen = {row.name: SAME if row.target is None else row.target for row in rows}
    drops = []
    for row in rows:
        # How much worse a tensor is than the worst one it is computed from.
        before = [seen[name] for name in reads[row.name] if name in seen]
        drop = min(before, default=SAME) - seen[row.name]
        if seen[row.name] < _LOUD_TARGET and drop > _JUMP:
            return Culprit(step=row, cause="target", stands_out=True)
        drops.append((drop, row))
    if not drops:
        return None
    drop, largest = max(drops, key=lambda each: each[0])
    return Culprit(step=largest, cause="target", stands_out=False) if drop > 0 else None
