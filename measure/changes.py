"""Which samples came out otherwise than with the baseline, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import get_args

from ..ocr.metrics.detection import Matching
from .accuracy import DetectorResult, RecognizerResult, Result
from .results import Change, Changes, Sample
from .sample_images import samples_of

_SCENES, _CROPS = 6, 40
_LARGEST = 1 << 20
"""Characters of images that are shown of one engine."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One sample. ``loss``: more errors than the baseline made; negative if fewer."""

    index: int
    loss: int

    @property
    def change(self) -> Change:
        """Which way it went."""
        return "worse" if self.loss > 0 else "better" if self.loss < 0 else "neither"


def sign_test(worse: int, better: int) -> float:
    """Return the p-value, two-sided and exact, of so uneven a split if both were as likely.

    On samples that are right or wrong this is McNemar's exact test (McNemar, "Note on the sampling
    error of the difference between correlated proportions", Psychometrika 12, 1947).
    """
    total = worse + better
    tail = sum(comb(total, k) for k in range(min(worse, better) + 1))
    return min(1.0, 2 * tail / 2**total)


def changed_samples(engine: Result, baseline: Result) -> list[Changed]:
    """Return what changed, worst first.

    Of words: those read differently; errors are edits. Of images: those in which other words were
    matched or another number of boxes is wrong; errors are words missed and boxes wrong.
    """
    if isinstance(engine, RecognizerResult):
        assert isinstance(baseline, RecognizerResult)
        found = [
            Changed(index=index, loss=engine.edits(index) - baseline.edits(index))
            for index, texts in enumerate(zip(engine.texts, baseline.texts, strict=True))
            if texts[0] != texts[1]
        ]
    else:
        assert isinstance(baseline, DetectorResult)
        found = _changed_scenes(engine, baseline)
    return sorted(found, key=lambda each: -each.loss)


def _changed_scenes(engine: DetectorResult, baseline: DetectorResult) -> list[Changed]:
    return [
        Changed(index=index, loss=_errors(ours) - _errors(theirs))
        for index, (ours, theirs) in enumerate(
            zip(engine.matchings, baseline.matchings, strict=True)
        )
        if (ours.found, ours.wrong) != (theirs.found, theirs.wrong)
    ]


def _errors(matching: Matching) -> int:
    missed = len(matching.truth) - len(matching.found)
    return missed + matching.wrong


def changes(engine: Result, baseline: Result, *, labeled: bool) -> Changes:
    """Count what changed, and show the first of it.

    Without labels whatever changed is worse, as the baseline is the truth, and nothing is tested.
    """
    found = changed_samples(engine, baseline)
    worse, better, neither = (
        sum(each.change == change for each in found) for change in get_args(Change)
    )
    scenes = isinstance(engine, DetectorResult)
    return Changes(
        unit="images" if scenes else "words",
        samples=len(engine.scenes if isinstance(engine, DetectorResult) else engine.crops),
        worse=worse,
        better=better,
        neither=neither,
        p_value=sign_test(worse, better) if labeled else None,
        shown=_shown(engine, baseline, found[: _SCENES if scenes else _CROPS]),
    )


def _shown(engine: Result, baseline: Result, chosen: Sequence[Changed]) -> tuple[Sample, ...]:
    shown, size = [], 0
    samples = samples_of(engine, baseline, [each.index for each in chosen])
    for each, sample in zip(chosen, samples, strict=True):
        size += len(sample.image)
        if size > _LARGEST:
            break
        shown.append(sample.model_copy(update={"change": each.change}))
    return tuple(shown)
