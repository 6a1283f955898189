"""The verdict on an engine follows from its numbers and their confidence intervals."""

from __future__ import annotations

from typing import Any

import pytest

from ocr_trt.bench.results import ModelReport, Report, SystemRow
from ocr_trt.bench.summary import changes_sentence, signed, summaries
from ocr_trt.measure.latency import LatencySettings, stats_from_times
from ocr_trt.measure.pipeline_speed import PipelineSpeed
from ocr_trt.measure.report_data import AccuracyRow, Changes, Interval, MetricDifference


def report(
    low: float | None, high: float = 0.0, *, changed: int = 9, allowed: float | None = 0.5,
    role: Any = "detector", against: Any = "labels", samples: int = 50,
) -> Report:  # fmt: skip
    """One engine at about 90 %; ``low``, ``high``: the interval of its difference in points."""
    measure: Any = {"detector": "hmean", "recognizer": "cer", "end-to-end": "e2e_hmean"}[role]
    bounds = None if low is None else Interval(low=low / 100, high=high / 100)
    value = 0.0 if low is None else (low + high) / 200
    base = AccuracyRow.model_validate({measure: 0.9, "samples": samples, "run_by": "x"})
    own = AccuracyRow.model_validate({measure: 0.9 + value, "samples": samples, "run_by": "x"})
    engine = SystemRow(
        label="engine",
        kind="engine",
        latencies=(stats_from_times([10.0] * 3, 1),) if role != "end-to-end" else (),
        accuracy=own,
        differences=(MetricDifference(measure=measure, value=value, interval=bounds),),
        changes=Changes(
            unit="words" if role == "recognizer" else "images", samples=samples, worse=changed,
            better=0, neither=0, p_value=0.5,
        ),
    )  # fmt: skip
    model = ModelReport(
        name="m", role=role, input_shape=(3, 64, 64), allowed_loss=allowed,
        accuracy_against=against, systems=(
            SystemRow(
                label="tf", kind="baseline", accuracy=base,
                latencies=(stats_from_times([40.0] * 3, 1),),
            ),
            engine,
        ),
    )  # fmt: skip
    common = {"machine": {}, "versions": {}, "settings": LatencySettings(), "data": "d"}
    if role == "end-to-end":
        return Report(**common, models=(), end_to_end=model)
    return Report(**common, models=(model,))


@pytest.mark.parametrize(
    ("example", "level", "verdict"),
    [
        (report(0.1, 0.4), "good", "More accurate than the model"),
        (report(-0.4, 0.3), "good", "As accurate as the model"),
        (report(-0.6, 0.3), "unsure", "Lost 0.15 points, which may be chance"),
        (report(-0.6, 0.3), "unsure", "up to 0.60 points are possible; 0.5 points are allowed"),
        (report(-4.24, 0.1), "unsure", "Lost 2.07 points, more than the allowed 0.5, which may be"),
        (report(-0.6, 0.8), "unsure", "No points lost in these samples, but"),
        (report(-0.4, -0.1), "good", "within the allowed 0.5 points"),
        (report(-0.9, -0.1), "worse", "possibly by more than the allowed 0.5"),
        (report(-0.9, -0.7), "worse", ", by more than the allowed 0.5"),
        (report(-0.1, 0.6, role="recognizer"), "unsure", "up to 0.60 points are"),
        (report(0.6, 0.8, role="recognizer"), "worse", ", by more than the allowed 0.5"),
        (report(-0.6, -0.2, role="recognizer", samples=500), "good", "More accurate"),
        (report(-0.6, 0.2, role="recognizer"), "unsure", "50 words are too few"),
        (report(-0.4, 0.3, role="end-to-end", allowed=None), "unsure", "up to 0.40 points"),
        (report(-0.4, -0.3, role="end-to-end", allowed=None), "worse", "Less accurate"),
        (report(0.0, 0.0, changed=0), "good", "on every sample"),
        (report(None), "unsure", "50 images are too few"),
        (report(-0.4, -0.1, against="model"), "good", "less than the allowed 0.5 points"),
        (report(-0.9, -0.1, against="model"), "unsure", "possibly by more than"),
        (report(-0.9, -0.7, against="model"), "worse", "model by more than"),
    ],
)
def test_verdict_follows_the_interval(example: Report, level: str, verdict: str) -> None:
    (summary,) = summaries(example)
    assert summary.level == level
    assert verdict in summary.verdict


def test_summary_states_figures_and_confidence() -> None:
    (summary,) = summaries(report(-0.6, 0.4))
    assert summary.speed == "4.0 times as fast as the model"
    assert summary.figures == "hmean 89.90; the model has 90.00 (difference -0.10 points)."
    for fact in ("between -0.60 and +0.40 points", "9 of 50 images changed", "9 worse, 0 better"):
        assert fact in summary.confidence


def test_unchanged_samples_have_an_upper_bound() -> None:
    """The bound for 0 of 50 is 5.8 % (Clopper and Pearson, one-sided)."""
    (summary,) = summaries(report(0.0, 0.0, changed=0))
    assert "less than 5.8 %" in summary.confidence


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.42, "p = 0.42)"), (0.0234, "p = 0.023)"), (1e-9, "p < 0.001)")],
)
def test_changes_have_a_p_value(p_value: float, text: str) -> None:
    changes = Changes(unit="words", samples=500, worse=9, better=5, neither=2, p_value=p_value)
    sentence = changes_sentence(changes)
    assert sentence.startswith(
        "16 of 500 words changed: 9 worse, 5 better, 2 neither worse nor better ("
    )
    assert text in sentence
    assert changes_sentence(None) == ""


def test_values_that_round_to_0_have_no_minus() -> None:
    assert [signed(x) for x in (-0.00001, 0.0, 0.0051, -0.0051)] == [
        "+0.00", "+0.00", "+0.51", "-0.51",
    ]  # fmt: skip


def test_speed_of_whole_images() -> None:
    example = report(-0.4, 0.1, role="end-to-end")
    assert example.end_to_end is not None
    speeds = [PipelineSpeed(workers=1, images=3, passes=1, throughput=rate) for rate in (2.0, 5.0)]
    rows = tuple(
        row.model_copy(update={"pipeline": (speed,)})
        for row, speed in zip(example.end_to_end.systems, speeds, strict=True)
    )
    timed = example.end_to_end.model_copy(update={"systems": rows})
    (summary,) = summaries(example.model_copy(update={"end_to_end": timed}))
    assert summary.speed == "2.5 times as many images per second as the model"
    alone = timed.model_copy(update={"systems": rows[1:]})
    (summary,) = summaries(example.model_copy(update={"end_to_end": alone}))
    assert summary.speed == "5.0 images per second"
