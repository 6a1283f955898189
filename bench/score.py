"""From what engines found to the measures of the report, and how sure each is."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..measure.accuracy import DetectorResult, EndToEndResult, RecognizerResult, Result
from ..measure.bootstrap import Measure as MeasureOfSums
from ..measure.bootstrap import Sums, difference_interval, interval
from ..measure.changes import changes
from ..measure.results import AccuracyRow, Difference, Interval, Measure
from .results import SystemRow


def hmean(sums: Sums) -> Sums:
    """2 matched / (detected + truth), of sums (..., 3); 1 where there is nothing on either side."""
    matched, boxes = sums[..., 0], sums[..., 1] + sums[..., 2]
    return np.where(boxes > 0, 2 * matched / np.maximum(boxes, 1), 1.0)


def cer(sums: Sums) -> Sums:
    """Edits per true character, of sums (..., 4); 0 or 1 where no character is true."""
    edits, characters = sums[..., 0], sums[..., 1]
    return np.where(characters > 0, edits / np.maximum(characters, 1), (edits > 0).astype(float))


def word_accuracy(sums: Sums) -> Sums:
    """Share of exact readings, of sums (..., 4)."""
    return sums[..., 2] / np.maximum(sums[..., 3], 1)


def measures_of(result: Result) -> dict[Measure, MeasureOfSums]:
    """Return the measures that have intervals; the first decides."""
    if isinstance(result, RecognizerResult):
        return {"cer": cer, "word_accuracy": word_accuracy}
    return {"e2e_hmean" if isinstance(result, EndToEndResult) else "hmean": hmean}


def rows_of(result: Result) -> Sums:
    """Return a row per image: matched, detected, truth; or edits, characters, exact, words."""
    if isinstance(result, DetectorResult):
        counts = [(c.matched, c.detected, c.truth) for c in result.counts]
        return np.array(counts, np.float64).reshape(-1, 3)
    images: dict[object, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for index, crop in enumerate(result.crops):
        edits = result.edits(index)
        for place, number in enumerate((edits, len(crop.text), int(edits == 0), 1)):
            images[crop.path][place] += number
    return np.array(list(images.values()), np.float64).reshape(-1, 4)


def accuracy_row(result: Result, run_by: str, *, labeled: bool) -> AccuracyRow:
    """Return the measures of one system, with their intervals. ``run_by``: what ran it."""
    rows = rows_of(result)
    intervals: dict[str, Interval] = {
        name: found
        for name, measure in measures_of(result).items()
        if (found := interval(rows, measure)) is not None
    }
    if isinstance(result, RecognizerResult):
        texts = result.score
        return AccuracyRow(
            word_accuracy=texts.word_accuracy,
            loose_word_accuracy=result.loose_word_accuracy if labeled else None,
            cer=texts.cer,
            intervals=intervals,
            samples=texts.count,
            run_by=run_by,
        )
    boxes = result.score
    prefix = "e2e_" if isinstance(result, EndToEndResult) else ""
    shares = {f"{prefix}{name}": getattr(boxes, name) for name in ("precision", "recall", "hmean")}
    return AccuracyRow.model_validate(
        {**shares, "intervals": intervals, "samples": len(result.scenes), "run_by": run_by}
    )


def differences(engine: Result, baseline: Result) -> tuple[Difference, ...]:
    """Return the engine's measures minus the baseline's; the first is the one that decides."""
    ours, theirs = rows_of(engine), rows_of(baseline)
    return tuple(
        Difference(
            measure=name,
            value=float(measure(ours.sum(0)) - measure(theirs.sum(0))),
            interval=difference_interval(ours, theirs, measure),
        )
        for name, measure in measures_of(engine).items()
    )


def scored(
    row: SystemRow, result: Result, baseline: Result | None, *, run_by: str, labeled: bool
) -> SystemRow:
    """Return the row with its accuracy, and an engine's with what changed from the baseline."""
    update: dict[str, object] = {"accuracy": accuracy_row(result, run_by, labeled=labeled)}
    if row.kind == "engine" and baseline is not None:
        update["differences"] = differences(result, baseline)
        update["changes"] = changes(result, baseline, labeled=labeled)
    return row.model_copy(update=update)
