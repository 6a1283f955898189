"""Write a comparison as report.json, report.md and report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..common.files import whole_folder
from ..measure.results import AccuracyRow, Measure
from ..report.page import render
from . import definitions, roofline_words
from .latency_plot import difference_plot, latency_plot
from .load_plot import load_plot
from .load_report import CLOSED_HEADER, OPEN_HEADER, closed_rows, has_load, load_words, open_rows
from .pipeline_report import PIPELINE_HEADER, pipeline_plot, pipeline_rows, pipeline_words
from .results import Breakdown, ModelReport, Report, SystemRow
from .roofline_plot import roofline_plot
from .summary import changes_sentence, signed, summaries

DEFINITIONS = (
    *definitions.TIMES,
    "Detection: ICDAR 2015 protocol, IoU above 0.5, don't-care boxes left out on both sides.",
    "CER: edits per true character. Word accuracy: exact, with case and punctuation; loose: "
    "letters and digits only, any case.",
    "End to end: ICDAR 2015 protocol, task 4.4, without lexicon: a box matched as above counts if "
    "its text is right, in any case; one of !?.:,*\"()·[]/' may be missing at either end; words "
    "without a known text are don't-care.",
    "[low, high]: 95 % confidence intervals, BCa bootstrap (Efron, 1987): whole images are drawn "
    "again with all their words, 5000 times, seed 0. Differences: of an engine and its model on "
    "the same draws. None below 8 images.",
    "p: two-sided exact sign test (on words right or wrong: McNemar's) on the changed samples, as "
    "if each were independent. A word is worse with more edits to the truth, an image with more "
    "words missed and boxes wrong.",
)
FILES = ("report.json", "report.md", "report.html")


def definitions_of(report: Report) -> tuple[str, ...]:
    """Say what the figures of a report mean, those that are in it."""
    rows = [row for model in report.models for row in model.systems]
    competitors = definitions.COMPETITORS if any(row.kind == "competitor" for row in rows) else ()
    load = definitions.LOAD if any(row.load for row in rows) else ()
    whole = report.end_to_end.systems if report.end_to_end else ()
    pipeline = definitions.PIPELINE if any(row.pipeline for row in whole) else ()
    roofs = roofline_words.DEFINITIONS if report.peaks else ()
    return (*DEFINITIONS, *competitors, *load, *pipeline, *roofs)


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def latency_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the latency table: one row per system and batch size."""
    rows = []
    for batch in model.batches:
        for row in model.systems:
            if (stats := row.latency(batch)) is None:
                continue
            ratio = model.speedup(row, batch)
            rows.append(
                [row.label, str(batch)]
                + [_number(v, 2) for v in (stats.p50, stats.p90, stats.p99, stats.mean)]
                + [_number(stats.throughput), f"{stats.variation:.0f} %", str(stats.queries)]
                + ["-" if ratio is None else f"{ratio:.2f}x"]
            )
    return rows


LATENCY_HEADER = (
    *("system", "batch", "p50 ms", "p90 ms", "p99 ms", "mean ms"),
    *("images/s", "variation", "queries", "speed-up"),
)


def accuracy_title(model: ModelReport) -> str:
    """Return what the accuracy table shows."""
    return {
        "labels": "Accuracy, percent",
        "model": "Agreement with the model's own output (no labels), percent",
    }[model.accuracy_against]


def accuracy_header(model: ModelReport) -> tuple[str, ...]:
    """Return the head of the accuracy table of a role."""
    if model.role == "recognizer":
        return (
            *("system", "words", "CER", "difference", "word accuracy", "difference"),
            "loose word accuracy",
        )
    return ("system", "images", "hmean", "difference", "precision", "recall")


def _measured(found: AccuracyRow, measure: Measure) -> str:
    value = _points(getattr(found, measure))
    bounds = found.intervals.get(measure)
    return value if bounds is None else f"{value} [{_points(bounds.low)}, {_points(bounds.high)}]"


def _difference(row: SystemRow, measure: Measure) -> str:
    found = next((each for each in row.differences if each.measure == measure), None)
    if found is None:
        return "-"
    if found.interval is None:
        return signed(found.value)
    low, high = found.interval.low, found.interval.high
    return f"{signed(found.value)} [{signed(low)}, {signed(high)}]"


def _accuracy_cells(model: ModelReport, row: SystemRow) -> list[str]:
    found = row.accuracy
    assert found is not None
    start = [row.label, str(found.samples)]
    if model.role == "recognizer":
        measures: tuple[Measure, ...] = ("cer", "word_accuracy")
        rest = [_points(found.loose_word_accuracy)]
    elif model.role == "detector":
        measures, rest = ("hmean",), [_points(found.precision), _points(found.recall)]
    else:
        measures, rest = ("e2e_hmean",), [_points(found.e2e_precision), _points(found.e2e_recall)]
    pairs = [(_measured(found, name), _difference(row, name)) for name in measures]
    return [*start, *(cell for pair in pairs for cell in pair), *rest]


def accuracy_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the accuracy table, in percent, with confidence intervals."""
    return [_accuracy_cells(model, row) for row in model.systems if row.accuracy]


def breakdown_header(breakdown: Breakdown) -> tuple[str, ...]:
    """Return the head of a table by kind of sample."""
    return (breakdown.by, breakdown.unit, *breakdown.columns)


def breakdown_rows(breakdown: Breakdown) -> list[list[str]]:
    """Return the cells of a table by kind of sample, in percent."""
    return [[row.name, str(row.samples), *map(_points, row.shares)] for row in breakdown.strata]


def latency_words(model: ModelReport) -> str:
    """Say what the plot of latencies shows."""
    told = [f"{r[0]} at batch {r[1]}: {r[2]} ms" for r in latency_rows(model)]
    return f"Bar chart of median latencies. {'; '.join(told)}."


def difference_words(model: ModelReport) -> str:
    """Say what the plot of differences shows."""
    told = [
        f"{row.label}: {_difference(row, row.differences[0].measure)} points"
        for row in model.systems
        if row.differences
    ]
    return f"Differences to the model, with 95 % confidence intervals. {'; '.join(told)}."


def _render(name: str, report: Report, *, escape: bool) -> str:
    return render(
        name,
        package=__package__,
        escape=escape,
        report=report,
        definitions=definitions_of(report),
        latency_header=LATENCY_HEADER,
        latency_rows=latency_rows,
        accuracy_header=accuracy_header,
        accuracy_title=accuracy_title,
        accuracy_rows=accuracy_rows,
        breakdown_header=breakdown_header,
        breakdown_rows=breakdown_rows,
        changes_sentence=changes_sentence,
        summaries=summaries(report),
        latency_plot=latency_plot,
        latency_words=latency_words,
        has_load=has_load,
        closed_header=CLOSED_HEADER,
        closed_rows=closed_rows,
        open_header=OPEN_HEADER,
        open_rows=open_rows,
        load_plot=load_plot,
        load_words=load_words,
        difference_plot=difference_plot,
        difference_words=difference_words,
        pipeline_header=PIPELINE_HEADER,
        pipeline_rows=pipeline_rows,
        pipeline_plot=pipeline_plot,
        pipeline_words=pipeline_words,
        roofline_plot=roofline_plot,
        roofs=roofline_words,
    )


def without_images(report: Report) -> dict[str, Any]:
    """Return the report as plain data for JSON, without the samples it shows."""
    data = report.model_dump(mode="json")
    for model in (*data["models"], data["end_to_end"] or {}):
        model.pop("worst", None)
        for row in model.get("systems", ()):
            (row["changes"] or {}).pop("shown", None)
    return data


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the three files into a new folder, or replace those of an older report.

    Raises:
        OutputError: the folder cannot be written, or holds something else.
    """
    with whole_folder(folder, own=FILES) as scratch:
        (scratch / FILES[0]).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
        (scratch / FILES[1]).write_text(_render("report.md.jinja", report, escape=False), "utf-8")
        (scratch / FILES[2]).write_text(_render("report.html.jinja", report, escape=True), "utf-8")
    return [folder / name for name in FILES]
