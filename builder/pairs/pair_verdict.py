"""Whether a pair is within the budget: what the labels show, and the agreement where they cannot.

``measure/points_lost.py`` has the verdicts. The lines of a pair may differ from those of the models
themselves by as many points as the budget. Without labels, this agreement decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...engines.manifest import PointsInterval
from ...measure.end_to_end_result import EndToEndResult
from ...measure.points_lost import Verdict, images_needed, points_interval, verdict_of


@dataclass(frozen=True, kw_only=True)
class PairVerdict:
    """The end-to-end accuracy of a pair against that of both models themselves."""

    hmean: float
    """End-to-end hmean, a share."""
    baseline: float
    """That of the models themselves."""
    interval: PointsInterval | None
    """95 % interval of the loss; None for fewer than 8 images."""
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
    interval, loss = points_interval(ours, theirs, labeled=True), 100 * (theirs.value - ours.value)
    known = interval if labeled else None
    verdict = verdict_of(
        loss,
        known,
        100 * (1 - agreeing.value),
        budget=budget,
        allowed_disagreement=budget,
    )
    return PairVerdict(
        hmean=ours.value,
        baseline=theirs.value,
        interval=interval,
        agreement=agreeing.value,
        verdict=verdict,
        images_needed=(
            images_needed(loss, known, budget, len(own.scenes)) if verdict == "unsure" else None
        ),
    )
