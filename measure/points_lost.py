"""The points that a system loses against its baseline: their interval, and what a budget allows.

The loss is measured on a sample of all images, so it is known up to an interval only.

* ``shown``: the estimated loss and its whole 95 % interval are within the budget.
* ``agrees``: the estimated loss is within the budget, but the interval is not, so the samples
  cannot tell. The output is then compared with that of the baseline. A loss is at most about as
  large as this disagreement, and usually far smaller, because few differences are errors. So the
  system is accepted if the disagreement is within a limit of its own.
* ``unsure``: the samples cannot tell, and the disagreement exceeds its limit.
* ``over``: the estimated loss is over the budget.
"""

from __future__ import annotations

import math
from typing import Literal

from ..engines.manifest import PointsInterval
from ..ocr.metrics.metric import METRICS, MetricName
from .bootstrap import difference_interval
from .report_data import Interval
from .result import Result

Verdict = Literal["shown", "agrees", "unsure", "over"]
_ROUNDING_POINTS = 1e-9
"""Tolerance for binary rounding: a loss of 0.5 points is within 0.5."""


def points_interval(result: Result, baseline: Result, *, labeled: bool) -> PointsInterval | None:
    """Return the 95 % interval of the points lost; None if there are too few samples.

    The metric is the first one of ``Result.statistics``. ``labeled``: False if the output of the
    baseline is the truth.
    """
    own = result if labeled else result.judged_by(baseline)
    other = baseline if labeled else baseline.judged_by(baseline)
    name, statistic = next(iter(own.statistics.items()))
    found = difference_interval(own.rows(), other.rows(), statistic)
    return None if found is None else as_points_lost(found, name)


def as_points_lost(difference: Interval, metric: MetricName) -> PointsInterval:
    """Return the interval of the points lost from that of result minus baseline, a share."""
    # A loss is positive, whether higher or lower values are better. + 0.0: not -0.0.
    sign = -100 * METRICS[metric].sign
    ends = [sign * end + 0.0 for end in (difference.low, difference.high)]
    return PointsInterval(low=min(ends), high=max(ends))


def verdict_of(
    loss: float,
    interval: PointsInterval | None,
    disagreement: float,
    *,
    budget: float,
    allowed_disagreement: float,
) -> Verdict:
    """Return the verdict.

    Args:
        loss: estimated points lost. If another measurement follows, the caller may pass a lower
            bound, so that only a certain loss is over the budget.
        interval: of the loss; None: unknown.
        disagreement: points of difference to the output of the baseline.
        budget: points that may be lost.
        allowed_disagreement: points of difference that are allowed if the samples cannot tell.
    """
    if loss > budget + _ROUNDING_POINTS:
        return "over"
    if interval is not None and interval.high <= budget + _ROUNDING_POINTS:
        return "shown"
    return "agrees" if disagreement <= allowed_disagreement + _ROUNDING_POINTS else "unsure"


def images_needed(
    loss: float, interval: PointsInterval | None, budget: float, images: int
) -> int | None:
    """Return about how many images would show that a loss is within the budget.

    None if no number would: the loss is the budget, or its interval is unknown. The width of an
    interval shrinks with the square root of the number of images.
    """
    margin = budget - loss
    if margin <= 0 or interval is None:
        return None
    return math.ceil(images * ((interval.high - loss) / margin) ** 2)
