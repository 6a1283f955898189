"""Choose the fastest pair within the budget.

1. The pairs of both fronts are ordered by their predicted times. The fastest are read until some of
   them are within the budget; all others are slower by prediction.
2. These, the pair of a default build, and the models themselves are timed on whole images in turns.
   The fastest is chosen. Of pairs that are within 2 % of it, the one that loses least is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...common.progress import Reporter
from ...engines.points_text import loss_text
from ...errors import BudgetError
from ...measure.latency import EQUAL
from ...measure.pipeline_speed import Pipeline, pipeline_speeds
from ...ocr.dataset import ImagePage
from .model_trials import ModelTrial
from .pair_reader import PairReader, engines_of
from .pairs import Pair
from .read_pairs import EnginePair

_BATCH = 4
"""Pairs that are read in one pass over the images."""
_TIMED = 4
"""Pairs within the budget that are timed: the fastest by prediction need not be the fastest."""


@dataclass(frozen=True, kw_only=True)
class PairChoice:
    """The pair that was chosen, and everything that was measured on the way."""

    chosen: Pair
    times: dict[Pair, float]
    """Milliseconds per image of the pairs that were timed."""
    baseline_time: float
    """Milliseconds per image of the models themselves."""
    pairs: tuple[Pair, ...]
    """All pairs of the variants on both fronts, the default pair, and those that the screen left
    out, by predicted time."""


Timer = Callable[[Sequence[Pair]], tuple[dict[Pair, float], float]]
"""Times pairs and the models themselves in turns; returns milliseconds per image of each pair, and
of the models."""


def pair_timer(
    models: EnginePair, files: Sequence[ImagePage], duration_s: float, reporter: Reporter
) -> Timer:
    """Return a function that times the whole pipeline with pairs on files, with one worker."""

    def time_pairs(pairs: Sequence[Pair]) -> tuple[dict[Pair, float], float]:
        engines = [engines_of(each.variants) for each in pairs]
        pipelines = [Pipeline(detector=one, recognizer=two) for one, two in (models, *engines)]
        speeds = pipeline_speeds(pipelines, files, duration_s, reporter)
        base, *own = (1000 / speed[0].throughput for speed in speeds)
        return dict(zip(pairs, own, strict=True)), base

    return time_pairs


def choose_pair(
    fronts: tuple[Sequence[ModelTrial], Sequence[ModelTrial]],
    default: Pair | None,
    reader: PairReader,
    timer: Timer,
    screened: Sequence[Pair] = (),
) -> PairChoice:
    """Choose a pair of the variants on the fronts of both models.

    Args:
        fronts: of the detector and of the recognizer.
        default: the pair of a default build, which is timed for comparison; None if there is none.
        reader: reads and judges pairs.
        timer: times pairs.
        screened: pairs that were read before and are over the budget, for the report.

    Raises:
        BudgetError: no pair is within the budget; names the nearest one.
    """
    pairs = [Pair(detector=one, recognizer=other) for one in fronts[0] for other in fronts[1]]
    accepted = read_fastest(pairs, reader)
    if not accepted:
        raise _none_accepted(pairs, reader)
    compared = [] if default is None else [default]
    reader.read([pair.variants for pair in compared])
    times, baseline_time = timer(list(dict.fromkeys([*accepted, *compared])))
    return PairChoice(
        # The default pair may be faster than predicted, and is chosen if it is within the budget.
        chosen=fastest(
            {pair: time for pair, time in times.items() if reader.is_accepted(pair.variants)},
            reader,
        ),
        times=times,
        baseline_time=baseline_time,
        pairs=tuple(
            sorted(dict.fromkeys([*pairs, *compared, *screened]), key=lambda each: each.predicted)
        ),
    )


def _none_accepted(pairs: Sequence[Pair], reader: PairReader) -> BudgetError:
    """Return the error that names the pair which loses least."""
    pair = min(pairs, key=lambda each: reader.verdicts[each.variants].loss)
    verdict = reader.verdicts[pair.variants]
    criterion, needed = reader.criterion, verdict.images_needed
    unsure, advice = "", f"Give --budget {enough(verdict.loss):g} or more"
    if verdict.verdict == "unsure":
        more = f"; about {needed} images would" if needed else ""
        unsure = f" (the images cannot show whether it is within the budget{more})"
        advice = "Give more images with --data, --accept-unsure or a larger --budget"
    return BudgetError(
        f"no pair is within the end-to-end budget of {criterion.budget:g} points; the nearest one, "
        f"{pair.label}, {loss_text(verdict.loss, of='end-to-end hmean')} "
        f"({100 * verdict.hmean:.2f} against {100 * verdict.baseline:.2f} of the models "
        f"themselves){unsure}; nothing was written. {advice}"
    )


def enough(loss: float) -> float:
    """Return a budget, in tenths of a point, that allows a loss."""
    return math.ceil(round(10 * max(0.0, loss), 6)) / 10


def read_fastest(pairs: Sequence[Pair], reader: PairReader) -> list[Pair]:
    """Read pairs in the order of their predicted times; return the first that are accepted.

    At most ``_TIMED`` pairs are returned. Fewer, if there are no more within the budget.
    """
    ordered = sorted(pairs, key=lambda each: each.predicted)
    accepted: list[Pair] = []
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        reader.read([pair.variants for pair in batch])
        accepted += [pair for pair in batch if reader.is_accepted(pair.variants)]
        if len(accepted) >= _TIMED:
            break
    return accepted[:_TIMED]


def fastest(times: dict[Pair, float], reader: PairReader) -> Pair:
    """Return the fastest pair, or of those that are equally fast the one that loses least."""
    least = min(times.values())
    equal = [pair for pair, time in times.items() if time <= least * (1 + EQUAL)]
    return min(equal, key=lambda pair: (max(0.0, reader.verdicts[pair.variants].loss), times[pair]))
