"""Which step of a quantized graph is to blame, and for what.

A step's `own` noise is what it makes of exactly what the reference gives it: rounding of its inputs
and weights, nothing of what came before. The first step, in the order of the graph, that alone
loses more than a hundredth of its signal (20 dB) is the culprit. Steps of sound int8 graphs keep 27
dB or more. If there is none, noise has added up, and the step with most of its own is named as what
it is.

A target that computes another thing than its graph says has no own noise that could be measured: an
engine is not run step by step. There the first tensor is named that is far from the graph's own
(15 dB), and far further (10 dB) than all that it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .steps import GraphStep
from .tracing import TensorNoise

SAME = 90.0
"""dB from which a difference is nothing but float32 rounding."""
_LOUD = 20.0
_LOUD_TARGET, _JUMP = 15.0, 10.0
_LOWEST = -99.0
_CLIPPED = 1e-3
"""Share of values beyond an int8 range that says it is too small."""
_NEAR = 6.0
"""dB: what is no further from a step's noise than this explains it."""

Cause = Literal["overflow", "clipped", "coarse", "weights", "op", "target"]


class StepRow(BaseModel):
    """One step. In dB of signal to noise; None: no noise at all, or not known.

    ``own``: of what the step itself adds; ``accumulated``: with all before it; ``target``: of what
    the target computes against its graph. ``clipped`` and ``bad``: shares, 0..1, of values beyond
    the int8 range of its inputs, and of results that are no numbers any more.
    """

    model_config = ConfigDict(frozen=True)

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


class Culprit(BaseModel):
    """The step to blame. ``stands_out``: whether it alone loses much, or only most of all."""

    model_config = ConfigDict(frozen=True)

    step: StepRow
    cause: Cause
    stands_out: bool


def decibels(signal: float, noise: float) -> float | None:
    """Return signal to noise in dB, -99 at least; None without noise."""
    if noise == 0:
        return None
    if not math.isfinite(noise) or not signal > 0:
        return _LOWEST
    return max(_LOWEST, 10 * math.log10(signal / noise))


def step_rows(
    steps: Sequence[GraphStep], measured: TensorNoise, target: Mapping[str, float | None]
) -> tuple[StepRow, ...]:
    """Return a row for each float tensor that was measured; ``target``: dB by name."""
    rows = []
    for step in steps:
        power = measured.tensors.get(step.name)
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
    """Return the step that makes the graph differ; None if nothing differs."""
    noisy = [(row.own, row) for row in rows if row.own is not None and row.own < SAME]
    if not noisy:
        return None
    loud = next((row for own, row in noisy if own < _LOUD), None)
    chosen = loud or min(noisy, key=lambda each: each[0])[1]
    return Culprit(step=chosen, cause=_cause(chosen), stands_out=loud is not None)


def _cause(row: StepRow) -> Cause:
    own = row.own if row.own is not None else SAME
    if row.bad:
        return "overflow"
    kinds: list[tuple[float, Cause]] = []
    if row.inputs is not None:
        kinds.append((row.inputs, "clipped" if row.clipped > _CLIPPED else "coarse"))
    if row.weights is not None:
        kinds.append((row.weights, "weights"))
    level, kind = min(kinds, default=(SAME, "op"))
    return kind if level < own + _NEAR or own >= _LOUD else "op"


def target_culprit(steps: Sequence[GraphStep], rows: Sequence[StepRow]) -> Culprit | None:
    """Return where a target leaves its graph; None if none of its tensors was seen."""
    reads = {step.name: step.reads for step in steps}
    seen = {row.name: SAME if row.target is None else row.target for row in rows}
    drops = []
    for row in rows:
        before = [seen[name] for name in reads[row.name] if name in seen]
        drop = min(before, default=SAME) - seen[row.name]
        if seen[row.name] < _LOUD_TARGET and drop > _JUMP:
            return Culprit(step=row, cause="target", stands_out=True)
        drops.append((drop, row))
    if not drops:
        return None
    drop, largest = max(drops, key=lambda each: each[0])
    return Culprit(step=largest, cause="target", stands_out=False) if drop > 0 else None
