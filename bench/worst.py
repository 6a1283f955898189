"""The samples with the most errors of an engine, as images for the report."""

from __future__ import annotations

from ..measure.report_data import SampleView
from ..measure.result import Result

_SHOWN = {"images": 4, "words": 12}
"""Samples that are shown at most, by unit."""


def worst_samples(engine: Result, baseline: Result | None) -> tuple[SampleView, ...]:
    """Return the worst samples of an engine, worst first, next to the baseline's results."""
    return tuple(engine.views(baseline, engine.worst(_SHOWN[engine.unit])))
