"""Find the step of a quantized graph that causes an error, and the kind of the error.

The `own` noise of a step is the noise that it adds if it reads the exact tensors of the reference:
the rounding of its inputs and weights, without the noise of earlier steps. The culprit is the first
step, in the order of the graph, whose own noise is more than a hundredth of its signal (20 dB).
Steps of sound int8 graphs keep 27 dB or more. If no step is that bad, the noise of many steps has
added up; then the step with the most own noise is reported, and `stands_out` is false.

An engine cannot be run step by step, so the own noise of a target cannot be measured. Its culprit
is the first tensor that is below 15 dB against the same tensor of the graph, and more than 10 dB
worse than each tensor that it is computed from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from ..common.frozen_model import FrozenModel
from .steps import GraphStep
from .tracing import TensorNoise

EQUAL_DB = 90.0
"""dB from which a difference is only float32 rounding."""
_CULPRIT_DB = 20.0
"""dB of own noise below which a step is the culprit."""
_TARGET_DB, _TARGET_DROP_DB = 15.0, 10.0
"""A tensor of a target is the culprit below this dB, and with a larger drop from its inputs."""
_MIN_DB = -99.0
"""dB that stand for infinite noise."""
_CLIPPED_SHARE = 1e-3
"""If a larger share of the values is beyond an int8 range, the range is too small."""
_MARGIN_DB = 6.0
"""dB: a rounding explains the noise of its step if it causes at most this much less noise."""

Cause = Literal["overflow", "clipped", "coarse", "weights", "op", "compression", "target"]


class StepRow(FrozenModel):
    """One step. Signal to noise is in dB; None: no noise, or not known.

    ``own``: of the noise that the step adds; ``accumulated``: including the noise of all earlier
    steps; ``inputs`` and ``weights``: of rounding its inputs and its weights; ``target``: of the
    target against its graph. ``clipped``: share (0..1) of input values beyond the int8 range;
    ``bad``: share of results that are infinite or NaN.
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
    """Return the ratio of two powers in dB, at least -99; None without noise."""
    if noise == 0:
        return None
    if not math.isfinite(noise) or not signal > 0:
        return _MIN_DB
    return max(_MIN_DB, 10 * math.log10(signal / noise))


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
        roundings = [measured.roundings[n] for n in step.rounded if n in measured.roundings]
        inputs = [db for r in roundings if (db := decibels(r.signal, r.noise)) is not None]
        rows.append(
            StepRow(
                name=step.name,
                op=step.op_type,
                layer=step.layer,
                own=decibels(power.signal, power.own),
                accumulated=decibels(power.signal, power.accumulated),
                target=target.get(step.name),
                inputs=min(inputs, default=None),
                # Powers are relative to the signal, which is 1.
                weights=None if step.weight_noise is None else decibels(1.0, step.weight_noise),
                clipped=max((r.clipped / r.size for r in roundings if r.size), default=0.0),
                bad=power.bad / power.size if power.size else 0.0,
            )
        )
    return tuple(rows)


def culprit_of(rows: Sequence[StepRow], *, is_compressed: bool = False) -> Culprit | None:
    """Return the step that causes the difference of two graphs; None if they are equal.

    ``is_compressed``: the weights of one graph were fitted again after it was made smaller.
    """
    noisy = [(row.own, row) for row in rows if row.own is not None and row.own < EQUAL_DB]
    if not noisy:
        return None
    # Rows are in the order of the graph: the first bad step.
    first = next((row for own, row in noisy if own < _CULPRIT_DB), None)
    culprit = first or min(noisy, key=lambda each: each[0])[1]
    cause = _cause(culprit)
    # Without compression, other weights or another op are the fault of the conversion.
    if is_compressed and cause in ("weights", "op"):
        cause = "compression"
    return Culprit(step=culprit, cause=cause, stands_out=first is not None)


def _cause(row: StepRow) -> Cause:
    """Return the rounding that explains the noise of a step; "op" if neither of them does."""
    own = row.own if row.own is not None else EQUAL_DB
    if row.bad:
        return "overflow"
    kinds: list[tuple[float, Cause]] = []
    if row.inputs is not None:
        kinds.append((row.inputs, "clipped" if row.clipped > _CLIPPED_SHARE else "coarse"))
    if row.weights is not None:
        kinds.append((row.weights, "weights"))
    level, kind = min(kinds, default=(EQUAL_DB, "op"))
    # If both roundings are far less noisy than a bad step, its op is not the model's op.
    return kind if level < own + _MARGIN_DB or own >= _CULPRIT_DB else "op"


def target_culprit(steps: Sequence[GraphStep], rows: Sequence[StepRow]) -> Culprit | None:
    """Return the step from which a target differs from its graph; None if no tensor differs."""
    reads = {step.name: step.reads for step in steps}
    # A tensor without noise counts as EQUAL_DB.
    levels = {row.name: EQUAL_DB if row.target is None else row.target for row in rows}
    drops = []
    for row in rows:
        # From the worst tensor that it is computed from; an exact input counts as EQUAL_DB.
        before = [levels[name] for name in reads[row.name] if name in levels]
        drop = min(before, default=EQUAL_DB) - levels[row.name]
        if levels[row.name] < _TARGET_DB and drop > _TARGET_DROP_DB:
            return Culprit(step=row, cause="target", stands_out=True)
        drops.append((drop, row))
    if not drops:
        return None
    drop, largest = max(drops, key=lambda each: each[0])
    return Culprit(step=largest, cause="target", stands_out=False) if drop > 0 else None
