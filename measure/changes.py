"""The samples whose results differ from the baseline's, and the p-value of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import get_args

from .report_data import Change, Changes, SampleView
from .result import Changed, Result

_SHOWN = {"images": 6, "words": 40}
"""Samples that are shown at most, by unit."""
_LARGEST = 1 << 20
"""Limit of characters in the data URIs of one engine's images."""


def sign_test(worse: int, better: int) -> float:
    """Return the two-sided exact p-value of a split as uneven, if worse and better are as likely.

    On samples that are right or wrong this is McNemar's exact test (McNemar, "Note on the sampling
    error of the difference between correlated proportions", Psychometrika 12, 1947).
    """
    # The number of worse samples of `total` is binomial with p = 1/2; both tails are equal.
    total = worse + better
    tail = sum(comb(total, k) for k in range(min(worse, better) + 1))
    return min(1.0, 2 * tail / 2**total)


def changes(engine: Result, baseline: Result, *, labeled: bool) -> Changes:
    """Count the samples that changed, and show the worst of them.

    Without labels the baseline is the truth: every change is worse, and there is no p-value.
    """
    found = sorted(engine.changed_from(baseline), key=lambda each: -each.loss)
    worse, better, neither = (
        sum(each.change == change for each in found) for change in get_args(Change)
    )
    return Changes(
        unit=engine.unit,
        samples=len(engine.labels),
        worse=worse,
        better=better,
        neither=neither,
        p_value=sign_test(worse, better) if labeled else None,
        shown=_shown(engine, baseline, found[: _SHOWN[engine.unit]]),
    )


def _shown(engine: Result, baseline: Result, chosen: Sequence[Changed]) -> tuple[SampleView, ...]:
    shown, size = [], 0
    views = engine.views(baseline, [each.index for each in chosen])
    for each, view in zip(chosen, views, strict=True):
        # Stop before the images of this engine exceed the limit; the worst ones come first.
        size += len(view.image)
        if size > _LARGEST:
            break
        shown.append(view.model_copy(update={"change": each.change}))
    return tuple(shown)
