"""The samples whose results differ from the baseline's, and the p-value of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import get_args

from .report_data import Change, Changes, SampleView
from .result import Changed, Result

_MAX_SHOWN = {"images": 6, "words": 40, "crops": 40}
"""Limit of the samples that are shown, by unit."""
_MAX_CHARACTERS = 1 << 20
"""Limit of the characters in the data URIs of one engine's images."""


def sign_test(worse: int, better: int) -> float:
    """Return the two-sided p-value of the exact sign test.

    It is the probability of a split at least as uneven as ``worse`` to ``better`` if both were
    equally likely. For samples that are right or wrong, this is McNemar's exact test ("Note on the
    sampling error of the difference between correlated proportions", Psychometrika 12, 1947).
    """
    # The number of worse samples is binomial with p = 1/2, so both tails are equal.
    total = worse + better
    tail = sum(comb(total, k) for k in range(min(worse, better) + 1))
    return min(1.0, 2 * tail / 2**total)


def changes(engine: Result, baseline: Result, *, labeled: bool) -> Changes:
    """Count the samples that changed, and show the worst of them.

    Without labels, the baseline's output is the truth: every change is worse, so there is no
    p-value.
    """
    changed = sorted(engine.changed_from(baseline), key=lambda each: -each.loss)
    worse, better, neither = (
        sum(each.change == change for each in changed) for change in get_args(Change)
    )
    return Changes(
        unit=engine.unit,
        samples=len(engine.labels),
        worse=worse,
        better=better,
        neither=neither,
        p_value=sign_test(worse, better) if labeled else None,
        shown=_shown(engine, baseline, changed[: _MAX_SHOWN[engine.unit]]),
    )


def _shown(engine: Result, baseline: Result, chosen: Sequence[Changed]) -> tuple[SampleView, ...]:
    shown, size = [], 0
    views = engine.views(baseline, [each.index for each in chosen])
    for each, view in zip(chosen, views, strict=True):
        # Stop before the images exceed the limit. The worst samples come first, so they are kept.
        size += len(view.image)
        if size > _MAX_CHARACTERS:
            break
        shown.append(view.model_copy(update={"change": each.change}))
    return tuple(shown)
