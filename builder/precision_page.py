"""An engine's precision as data and as a page that people look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..ocr.metrics.metric import METRICS
from ..report.page import render
from .precision_plot import pareto_plot
from .precision_report import PrecisionReport

FILES = ("precision.json", "precision.html")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value + 0.0, form).replace("-0.00", "+0.00")


TRIAL_HEADER = ("what", "FLOPs in int8", "points lost", "distance", "ms", "")
LAYER_HEADER = (
    *("layer", "op", "FLOPs", "range", "dB", "alone", "all but it", "precision", "why not int8"),
)


def trial_rows(report: PrecisionReport) -> Iterable[list[str]]:
    """Return the cells of the table of trials."""
    for row in report.trials:
        word = "taken" if row.chosen else ("" if row.within else "over budget")
        yield [
            row.label,
            f"{100 * row.int8_share:.1f} %",
            _number(row.loss, "+.2f"),
            _number(row.distance, ".2g"),
            _number(row.latency, ".2f"),
            word,
        ]


def layer_rows(report: PrecisionReport) -> Iterable[list[str]]:
    """Return the cells of the table of layers."""
    for row in report.layers:
        yield [
            row.name,
            row.op,
            f"{100 * row.work:.1f} %",
            _number(row.range, ".3g"),
            _number(row.signal_to_noise, ".1f"),
            _number(row.alone, ".1e"),
            _number(row.without, ".1e"),
            row.precision,
            row.why,
        ]


def write_precision(report: PrecisionReport, folder: Path) -> None:
    """Write the data and the page into a folder."""
    (folder / FILES[0]).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    page = render(
        "precision.html.jinja",
        package=__package__,
        escape=True,
        report=report,
        metric=METRICS[report.metric].title,
        plot=pareto_plot(report.trials, METRICS[report.metric].title, report.budget),
        trial_header=TRIAL_HEADER,
        trial_rows=list(trial_rows(report)),
        layer_header=LAYER_HEADER,
        layer_rows=list(layer_rows(report)),
    )
    (folder / FILES[1]).write_text(page, "utf-8")
