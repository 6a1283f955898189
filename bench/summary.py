"""A verdict on each engine: whether it is as accurate as its model, and with what confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..engines.points_text import signed_points
from ..measure.bootstrap import LEVEL
from ..measure.pipeline_speed import PipelineSpeed
from ..measure.points_lost import as_points_lost
from ..measure.report_data import Changes, MetricDifference
from ..ocr.metrics.metric import METRICS, MetricName
from .results import ModelReport, Report, SystemRow

Level = Literal["good", "unsure", "worse"]

# The metric that decides the verdict, by role.
_DECIDES: dict[str, MetricName] = {
    "detector": "hmean",
    "recognizer": "cer",
    "classifier": "accuracy",
    "end-to-end": "e2e_hmean",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The verdict on one engine. ``level``: whether the engine can replace the model."""

    label: str
    level: Level
    speed: str
    verdict: str
    figures: str
    confidence: str


def summaries(report: Report) -> list[Summary]:
    """Return a summary of each engine; pairs of detector and recognizer come first."""
    # End to end first: that is what the user of both engines gets.
    parts = report.parts if report.end_to_end is None else (report.end_to_end, *report.models)
    return [
        _summary(model, row) for model in parts for row in model.systems if row.kind == "engine"
    ]


def _summary(model: ModelReport, row: SystemRow) -> Summary:
    level, verdict = _verdict(model, row)
    return Summary(
        label=row.label if model.role != "end-to-end" else f"{row.label}, end to end",
        level=level,
        speed=_speed(model, row),
        verdict=verdict,
        figures=_figures(model, row),
        confidence=" ".join(filter(None, (_confidence(model, row), changes_sentence(row.changes)))),
    )


def metric_of(model: ModelReport) -> MetricName:
    """Return the metric that decides the verdict."""
    return _DECIDES[model.role]


def accuracy_of(row: SystemRow, measure: MetricName) -> float:
    """Return a metric of a system whose accuracy was measured, 0..1."""
    return float(getattr(row.accuracy, measure))


def _speed(model: ModelReport, row: SystemRow) -> str:
    if row.pipeline:
        return _pipeline_speed(model, row.pipeline[0])
    if not row.latencies:
        return ""
    ratio = model.speedup(row, model.batches[0])
    if ratio is None:
        return f"{row.latencies[0].p50:.1f} ms"
    return f"{ratio:.1f} times as fast as the model"


def _pipeline_speed(model: ModelReport, own: PipelineSpeed) -> str:
    base = next((r.pipeline[0] for r in model.systems if r.kind == "baseline" and r.pipeline), None)
    if base is None:
        return f"{own.throughput:.1f} images per second"
    return f"{own.throughput / base.throughput:.1f} times as many images per second as the model"


def points_lost(difference: MetricDifference) -> tuple[float, float, float]:
    """Return the points lost, and the bounds of their interval: infinite if there is none."""
    # A loss is positive. The sign of a metric is 1 if higher is better.
    sign = -100 * METRICS[difference.measure].sign
    if difference.interval is None:
        return sign * difference.value, float("-inf"), float("inf")
    bounds = as_points_lost(difference.interval, difference.measure)
    return sign * difference.value, bounds.low, bounds.high


def _verdict(model: ModelReport, row: SystemRow) -> tuple[Level, str]:
    if row.accuracy is None:
        return "unsure", "Its accuracy was not measured."
    if not row.differences or row.changes is None:
        return "unsure", "There is no model to compare it with."
    if not row.changes.changed:
        same = "Identical to the model on"
        if _is_coarse(model, row):
            return "unsure", f"{same} {_samples(row)}, which are too few for certainty."
        return "good", f"{same} every sample."
    difference = row.differences[0]  # of the measure that decides
    if difference.interval is None:
        return "unsure", f"{_samples(row)} are too few for a verdict."
    lost, low, high = points_lost(difference)
    allowed = model.allowed(row)
    if model.accuracy_against == "model":
        return _agreement(allowed, low, high)
    level, verdict = _comparison(allowed, lost, low, high)
    if level == "good" and _is_coarse(model, row):
        return "unsure", (
            f"{_samples(row)} are too few: one more wrong result would exceed the allowed loss of "
            f"{allowed:g} points."
        )
    return level, verdict


def _is_coarse(model: ModelReport, row: SystemRow) -> bool:
    """Whether one wrong word more, among so few, would exceed the allowed loss.

    A bootstrap cannot detect such a loss: if no sample became worse, no resample is worse.
    """
    allowed = model.allowed(row)
    if model.unit == "images" or allowed is None or row.accuracy is None:
        return False
    return 100 / row.accuracy.samples > allowed


def _comparison(allowed: float | None, lost: float, low: float, high: float) -> tuple[Level, str]:
    """Return the verdict by the points lost and their bounds.

    With an allowed loss, this is a test of non-inferiority.
    """
    # The whole interval is on one side of 0: the change is significant.
    if high < 0:
        return "good", "More accurate than the model."
    if low > 0:
        if allowed is None:
            return "worse", "Less accurate than the model."
        if high <= allowed:
            return (
                "good",
                f"Less accurate than the model, but within the allowed {allowed:g} points.",
            )
        how = "by more than" if low > allowed else "possibly by more than"
        return "worse", f"Less accurate than the model, {how} the allowed {allowed:g} points."
    if allowed is not None and high <= allowed:
        return "good", (
            f"As accurate as the model: a loss of more than {allowed:g} points is ruled out."
        )
    is_over = allowed is not None and lost > allowed
    limit = "" if allowed is None or is_over else f"; {allowed:g} points are allowed"
    possible = f"with this many samples, up to {high:.2f} points are possible{limit}."
    if lost < 0.005:
        return "unsure", f"No points lost in these samples, but {possible}"
    # Never "no loss": in these samples there is one, although it may be chance.
    over = f", more than the allowed {allowed:g}" if is_over else ""
    return "unsure", f"Lost {lost:.2f} points{over}, which may be chance: {possible}"


def _agreement(allowed: float | None, low: float, high: float) -> tuple[Level, str]:
    """Return the verdict without labels, where every difference from the model is a loss."""
    if allowed is None:
        return "unsure", "Differs from the model on some samples."
    if high <= allowed:
        return "good", f"Differs from the model by less than the allowed {allowed:g} points."
    how = "by more than" if low > allowed else "possibly by more than"
    level: Level = "worse" if low > allowed else "unsure"
    return level, f"Differs from the model {how} the allowed {allowed:g} points."


def _figures(model: ModelReport, row: SystemRow) -> str:
    if row.accuracy is None:
        return ""
    measure = metric_of(model)
    own = accuracy_of(row, measure)
    against = " (truth: the model's output)" if model.accuracy_against == "model" else ""
    base = next((r.accuracy for r in model.systems if r.kind == "baseline" and r.accuracy), None)
    if base is None or not row.differences:
        return f"{METRICS[measure].title} {100 * own:.2f}{against}."
    theirs, change = getattr(base, measure), row.differences[0].value
    return (
        f"{METRICS[measure].title} {100 * own:.2f}{against}; the model has {100 * theirs:.2f} "
        f"(difference {signed(change)} points)."
    )


def _samples(row: SystemRow) -> str:
    assert row.accuracy is not None
    unit = row.changes.unit if row.changes else "samples"
    return f"{row.accuracy.samples} {unit}"


def _confidence(model: ModelReport, row: SystemRow) -> str:
    if row.changes is None or not row.differences:
        return ""
    if not row.changes.changed:
        # The bound of Clopper and Pearson for 0 of n: a bootstrap of no changes has no width.
        bound = 100 * (1 - (1 - LEVEL) ** (1 / max(1, row.changes.samples)))
        return (
            f"None of {_samples(row)} changed: with 95 % confidence, less than {bound:.2g} % of "
            f"similar {row.changes.unit} change."
        )
    interval = row.differences[0].interval
    if interval is None:
        return ""
    return (
        f"With 95 % confidence, the difference is between {signed(interval.low)} and "
        f"{signed(interval.high)} points ({_samples(row)})."
    )


def changes_sentence(changes: Changes | None) -> str:
    """State how many samples became worse and better, and how likely such a split is by chance."""
    if changes is None or not changes.changed:
        return ""
    text = f"{changes.changed} of {changes.samples} {changes.unit} changed"
    if changes.p_value is None:
        return f"{text}."
    rest = f", {changes.neither} neither worse nor better" if changes.neither else ""
    p_value = "p < 0.001" if changes.p_value < 0.001 else f"p = {changes.p_value:.2g}"
    split = f"{changes.worse} worse, {changes.better} better{rest}"
    return f"{text}: {split} (sign test: {p_value})."


def signed(share: float) -> str:
    """Return a share as points with a sign; a value that rounds to 0 has a plus."""
    return signed_points(100 * share)
