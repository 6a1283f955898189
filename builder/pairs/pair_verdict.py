"""Whether a pair is within the budget: what the labels show, and the agreement where they cannot.

The loss of a pair is measured on a sample of all images, so it is known up to an interval only.

* ``shown``: the whole 95 % interval of the loss is within the budget.
* ``agrees``: the estimated loss is within the budget, but the interval is not, so the labels cannot
  tell. The lines of the pair are then compared with those of the baseline. If they differ by no
  more than the budget, the pair is within it even if every difference is an error.
* ``unsure``: the labels cannot tell, and the lines differ by more than the budget.
* ``over``: the estimated loss is over the budget.

Without labels, the agreement decides alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ...measure.bootstrap import difference_interval
from ...measure.detector_result import hmean_of_sums
from ...measure.end_to_end_result import EndToEndResult
from ...measure.report_data import Interval

Verdict = Literal["shown", "agrees", "unsure", "over"]
_ROUNDING_POINTS = 1e-9
"""Tolerance for binary rounding: a loss of 0.5 points is within 0.5."""


@dataclass(frozen=True, kw_only=True)
class PairVerdict:
    """The end-to-end accuracy of a pair against that of both models themselves."""

    hmean: float
    """End-to-end hmean, a share."""
    baseline: float
    """That of the models themselves."""
    interval: Interval | None
    """95 % interval of the loss, in points; None for fewer than 8 images."""
    agreement: float
    """End-to-end hmean with the lines of the models themselves as the ground truth, a share."""
    verdict: Verdict
    images_needed: int | None = None
    """About how many images would show that the pair is within the budget, if ``unsure``."""

    @property
    def loss(self) -> float:
        """Points lost; negative if the pair is better."""
        return 100 * (self.baseline - self.hmean)


def judge_pair(
    own: EndToEndResult, baseline: EndToEndResult, budget: float, *, labeled: bool
) -> PairVerdict:
    """Compare the lines of a pair with those of the models themselves, on the same images.

    Args:
        own: the lines of the pair.
        baseline: the lines of the models themselves.
        budget: points that may be lost.
        labeled: whether the images have labels.
    """
    agreeing, perfect = own.judged_by(baseline), baseline.judged_by(baseline)
    ours, theirs = (own, baseline) if labeled else (agreeing, perfect)
    difference = difference_interval(ours.rows(), theirs.rows(), hmean_of_sums)
    bounds = None
    if difference is not None:  # of hmean; the loss has the opposite sign
        # + 0.0: not -0.0
        low, high = -100 * difference.high + 0.0, -100 * difference.low + 0.0
        bounds = Interval(low=low, high=high)
    loss, high = 100 * (theirs.value - ours.value), bounds.high if bounds else math.inf
    verdict = verdict_of(loss, high if labeled else math.inf, 100 * (1 - agreeing.value), budget)
    return PairVerdict(
        hmean=ours.value,
        baseline=theirs.value,
        interval=bounds,
        agreement=agreeing.value,
        verdict=verdict,
        images_needed=(
            images_needed(loss, high, budget, len(own.scenes)) if verdict == "unsure" else None
        ),
    )


def verdict_of(loss: float, high: float, disagreement: float, budget: float) -> Verdict:
    """Return the verdict; all numbers are points.

    ``high``: the upper end of the interval of the loss; infinite if it is unknown.
    """
    budget += _ROUNDING_POINTS
    if loss > budget:
        return "over"
    if high <= budget:
        return "shown"
    return "agrees" if disagreement <= budget else "unsure"


def images_needed(loss: float, high: float, budget: float, images: int) -> int | None:
    """Return about how many images would show that a loss is within the budget.

    None if no number would: the loss is the budget, or its interval is unknown. The width of an
    interval shrinks with the square root of the number of images.
    """
    margin = budget - loss
    if margin <= 0 or math.isinf(high):
        return None
    return math.ceil(images * ((high - loss) / margin) ** 2)
