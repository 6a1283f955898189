"""When a compressed network is within budget, how it is stated, and which networks are measured."""

from __future__ import annotations

import pytest

from ocr_trt.builder.compression_reason import why_accepted, why_over_budget
from ocr_trt.builder.compression_trials import CompressionTrial, judged
from ocr_trt.builder.path_bisection import CompressionStop, PathBisection
from ocr_trt.compression.greedy_path import PathPoint
from ocr_trt.engines.manifest import OcrMetric, PointsInterval

METRIC = OcrMetric(
    name="hmean", engine=0.9, baseline=0.9, samples=20, labeled=True, engine_run_by="x"
)


def trial(lost: float, high: float | None, agreement: float) -> CompressionTrial:
    return CompressionTrial(
        kept_flops=0.5,
        distance=0.1,
        metric=METRIC.model_copy(update={"engine": 0.9 - lost / 100}),
        interval=None if high is None else PointsInterval(low=lost - 1.1, high=high),
        agreement=agreement,
    )


@pytest.mark.parametrize(
    ("lost", "high", "agreement", "expected"),
    [
        (0.1, 0.4, 0.5, (True, True)),  # the samples can tell
        (0.1, 1.5, 0.99, (True, False)),  # they cannot, but the agreement is high
        (0.1, 1.5, 0.98, (False, False)),  # 2 points of disagreement, 1.25 are allowed
        (0.1, None, 0.99, (True, False)),
        (0.6, 0.9, 1.0, (True, False)),  # the samples cannot tell a loss of 0.6 from one of 0.4
        (0.6, None, 1.0, (False, False)),  # without an interval, the estimate decides
        (2.0, 2.9, 0.99, (False, False)),  # the whole interval exceeds the budget
    ],
)
def test_rule_of_acceptance(
    lost: float, high: float | None, agreement: float, expected: tuple[bool, bool]
) -> None:
    judgement = judged(trial(lost, high, agreement), 0.5)
    assert (judgement.is_within, judgement.can_tell) == expected
    # An engine in fp32 loses what its network loses, and must keep the budget by the estimate.
    final = judged(trial(lost, high, agreement), 0.5, is_final=True)
    assert final.is_within == (judgement.is_within and lost <= 0.5)


@pytest.mark.parametrize("samples", [1, 2, 3, 20])
@pytest.mark.parametrize("labeled", [True, False])
def test_reason_states_what_the_samples_cannot_show(samples: int, labeled: bool) -> None:
    high = None if samples < 8 else 1.5
    own = trial(-0.1, high, 0.999)
    own = own.model_copy(
        update={"metric": own.metric.model_copy(update={"samples": samples, "labeled": labeled})}
    )
    text = "; ".join(why_accepted(own, judged(own, 0.5), 0.5))
    assert "gains 0.10 points of hmean" in text
    assert "0.5 may be lost" in text
    assert ("98.75 %" if labeled else "99.5 %") in text
    assert "the agreement with the model decided: 99.90 %" in text
    assert ("requires 8" in text) == ("at least 8 labeled samples" in text) == (samples < 8)
    assert ("without labels" in text) == ("against the output" in text) == (not labeled)
    over = own.model_copy(update={"metric": own.metric.model_copy(update={"engine": 0.8})})
    text = why_over_budget(over, 0.5)
    assert "loses 10.00 points" in text
    assert ("requires 8" in text) == ("--data" in text) == (samples < 8)


def bisected(allowed: int) -> tuple[PathBisection, list[int]]:
    """Return a bisection of 12 networks of which the first ``allowed`` are within budget."""
    points = [PathPoint(decisions=(), cost=12.0 - n, error=0.0) for n in range(12)]
    tried = list[int]()

    def measure(point: PathPoint) -> CompressionStop:
        number = points.index(point)
        tried.append(number)
        own = trial(0.0 if number < allowed else 9.0, 0.1 if number < allowed else 10.0, 1.0)
        return CompressionStop(point=point, trial=own, judgement=judged(own, 0.5))

    return PathBisection(points, measure), tried


@pytest.mark.parametrize("allowed", range(13))
def test_bisection_finds_the_last_network_within_budget(allowed: int) -> None:
    search, tried = bisected(allowed)
    best = search.best()
    assert (None if best is None else search.points.index(best.point)) == (
        allowed - 1 if allowed else None
    )
    assert len(tried) <= 4


def test_after_a_refusal_less_is_compressed() -> None:
    search, _ = bisected(10)
    found = list[int]()
    while (best := search.best()) is not None:
        found.append(search.points.index(best.point))
        search.refuse(best, "over budget")
    assert found == sorted(found, reverse=True)
    assert found[0] == 9
