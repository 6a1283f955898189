"""Compute the accuracies of a report, with confidence intervals, from the results of systems."""

from __future__ import annotations

from ..measure.bootstrap import difference_interval, interval
from ..measure.changes import changes
from ..measure.report_data import AccuracyRow, Interval, MetricDifference
from ..measure.result import Result
from .results import SystemRow


def accuracy_row(result: Result, run_by: str, *, labeled: bool) -> AccuracyRow:
    """Return the measures of one system with their intervals. ``run_by``: the runtime it ran in."""
    rows = result.rows()
    intervals: dict[str, Interval] = {
        name: bounds
        for name, statistic in result.statistics.items()
        if (bounds := interval(rows, statistic)) is not None
    }
    return AccuracyRow.model_validate(
        {
            **result.shares(labeled=labeled),
            "intervals": intervals,
            "samples": len(result.labels),
            "run_by": run_by,
        }
    )


def differences(engine: Result, baseline: Result) -> tuple[MetricDifference, ...]:
    """Return the engine's measures minus the baseline's; the first one decides the verdict."""
    ours, theirs = engine.rows(), baseline.rows()  # one row of counts per image
    return tuple(
        MetricDifference(
            measure=name,
            # Counts are summed first: the measure of all images is not a mean over images.
            value=float(statistic(ours.sum(0)) - statistic(theirs.sum(0))),
            interval=difference_interval(ours, theirs, statistic),
        )
        for name, statistic in engine.statistics.items()
    )


def scored(
    row: SystemRow, result: Result, baseline: Result | None, *, run_by: str, labeled: bool
) -> SystemRow:
    """Return the row with its accuracy and, for an engine, the changes from the baseline."""
    update: dict[str, object] = {"accuracy": accuracy_row(result, run_by, labeled=labeled)}
    if row.kind == "engine" and baseline is not None:
        update["differences"] = differences(result, baseline)
        update["changes"] = changes(result, baseline, labeled=labeled)
    return row.model_copy(update=update)
