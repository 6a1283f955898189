"""What to tell who reads no table: is an engine as accurate as its model, and how sure is that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..measure.bootstrap import LEVEL
from ..measure.report_data import Changes, MetricDifference
from ..ocr.metrics.metric import METRICS, MetricName
from .results import ModelReport, PipelineSpeed, Report, SystemRow

Level = Literal["good", "unsure", "worse"]

_DECIDES: dict[str, MetricName] = {
    "detector": "hmean",
    "recognizer": "cer",
    "end-to-end": "e2e_hmean",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Three lines on one engine. ``level``: whether it may be used in the model's place."""

    label: str
    level: Level
    speed: str
    verdict: str
    figures: str
    sureness: str


def summaries(report: Report) -> list[Summary]:
    """Return a summary of each engine; detector and recognizer together come first."""
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
        sureness=" ".join(filter(None, (_sureness(model, row), changes_sentence(row.changes)))),
    )


def _speed(model: ModelReport, row: SystemRow) -> str:
    if row.pipeline:
        return _pipeline_speed(model, row.pipeline[0])
    if not row.latencies:
        return ""
    ratio = model.speedup(row, model.batches[0])
    if ratio is None:
        return f"{row.latencies[0].p50:.1f} ms"
    return f"{ratio:.1f} times as fast as the model it came from"


def _pipeline_speed(model: ModelReport, own: PipelineSpeed) -> str:
    base = next((r.pipeline[0] for r in model.systems if r.kind == "baseline" and r.pipeline), None)
    if base is None:
        return f"{own.throughput:.1f} images per second"
    return f"{own.throughput / base.throughput:.1f} times as many images per second"


def points_lost(difference: MetricDifference) -> tuple[float, float, float]:
    """Return the points lost, and the bounds of their interval; without one, no bounds."""
    sign = -100 * METRICS[difference.measure].sign
    if difference.interval is None:
        return sign * difference.value, float("-inf"), float("inf")
    low, high = sorted((sign * difference.interval.low, sign * difference.interval.high))
    return sign * difference.value, low, high


def _verdict(model: ModelReport, row: SystemRow) -> tuple[Level, str]:
    if row.accuracy is None:
        return "unsure", "Its accuracy was not measured."
    if not row.differences or row.changes is None:
        return "unsure", "There is no model to compare it with."
    if not row.changes.changed:
        same = "The same as the model on every sample"
        if _is_coarse(model, row.accuracy.samples):
            return "unsure", f"{same}, but of only {_samples(row)}."
        return "good", f"{same}."
    difference = row.differences[0]
    if difference.interval is None:
        return "unsure", f"Only {_samples(row)}: too few to tell."
    _, low, high = points_lost(difference)
    if model.accuracy_against == "model":
        return _agreement(model.allowed_loss, low, high)
    level, verdict = _comparison(model.allowed_loss, low, high)
    if level == "good" and _is_coarse(model, row.accuracy.samples):
        return "unsure", (
            f"Only {_samples(row)}: one of them gone wrong would be more than the "
            f"{model.allowed_loss:g} points allowed."
        )
    return level, verdict


def _is_coarse(model: ModelReport, samples: int) -> bool:
    """Whether one word in so many is more than may be lost.

    A bootstrap of samples of which none got worse knows of no loss, however few they are.
    """
    allowed = model.allowed_loss
    return model.unit == "words" and allowed is not None and 100 / samples > allowed


def _comparison(allowed: float | None, low: float, high: float) -> tuple[Level, str]:
    """The verdict by the bounds of the points lost: a test of non-inferiority where one can be."""
    if high < 0:
        return "good", "More accurate than the model."
    if low > 0:
        if allowed is None:
            return "worse", "Less accurate than the model."
        if high <= allowed:
            return "good", f"A little less accurate than the model; {allowed:g} points are allowed."
        how = "by more than" if low > allowed else "perhaps by more than"
        return "worse", f"Less accurate than the model, {how} the {allowed:g} points allowed."
    if allowed is None:
        return "unsure", f"No loss is shown, but up to {high:.2f} points cannot be ruled out."
    if high <= allowed:
        return "good", (
            f"As accurate as the model: a loss of more than {allowed:g} points is ruled out."
        )
    return "unsure", (
        f"No loss is shown, but up to {high:.2f} points cannot be ruled out with so few samples; "
        f"{allowed:g} are allowed."
    )


def _agreement(allowed: float | None, low: float, high: float) -> tuple[Level, str]:
    if allowed is None:
        return "unsure", "Not always the same as the model."
    if high <= allowed:
        return "good", f"Differs from the model by less than the {allowed:g} points allowed."
    how = "by more than" if low > allowed else "perhaps by more than"
    level: Level = "worse" if low > allowed else "unsure"
    return level, f"Differs from the model {how} the {allowed:g} points allowed."


def _figures(model: ModelReport, row: SystemRow) -> str:
    if row.accuracy is None:
        return ""
    measure = _DECIDES[model.role]
    own = getattr(row.accuracy, measure)
    against = " with the model's output as the truth" if model.accuracy_against == "model" else ""
    base = next((r.accuracy for r in model.systems if r.kind == "baseline" and r.accuracy), None)
    if base is None or not row.differences:
        return f"{METRICS[measure].title} {100 * own:.2f}{against}."
    theirs, change = getattr(base, measure), row.differences[0].value
    return (
        f"{METRICS[measure].title} {100 * own:.2f} against {100 * theirs:.2f}{against}, "
        f"{signed(change)} points."
    )


def _samples(row: SystemRow) -> str:
    assert row.accuracy is not None
    unit = row.changes.unit if row.changes else "samples"
    return f"{row.accuracy.samples} {unit}"


def _sureness(model: ModelReport, row: SystemRow) -> str:
    if row.changes is None or not row.differences:
        return ""
    if not row.changes.changed:
        # Clopper and Pearson's bound for none in n; a bootstrap of nothing says nothing.
        most = 100 * (1 - (1 - LEVEL) ** (1 / max(1, row.changes.samples)))
        return (
            f"None of {_samples(row)} changed, so with 95 % confidence less than {most:.2g} % of "
            f"{row.changes.unit} like these do."
        )
    interval = row.differences[0].interval
    if interval is None:
        return ""
    return (
        f"With 95 % confidence the difference is between {signed(interval.low)} and "
        f"{signed(interval.high)} points, on {_samples(row)} like these."
    )


def changes_sentence(changes: Changes | None) -> str:
    """Return how many samples changed and which way, and how likely that is by chance."""
    if changes is None or not changes.changed:
        return ""
    text = f"{changes.changed} of {changes.samples} {changes.unit} changed"
    if changes.p_value is None:
        return f"{text}."
    rest = f", {changes.neither} neither" if changes.neither else ""
    p_value = "p < 0.001" if changes.p_value < 0.001 else f"p = {changes.p_value:.2g}"
    split = f"{changes.worse} worse, {changes.better} better{rest}"
    return f"{text}: {split} (so uneven by chance: {p_value})."


def signed(share: float) -> str:
    """Return a share as points with a sign; what rounds to nothing has a plus."""
    return f"{100 * share + 0.0:+.2f}".replace("-0.00", "+0.00")
