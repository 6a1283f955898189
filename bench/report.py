"""Write a comparison as report.json, report.md and report.html."""

from __future__ import annotations

from pathlib import Path

from ..output import whole_folder
from .page import render
from .plots import latency_plot
from .results import ModelReport, Report, SystemRow

DEFINITIONS = (
    "Latency: wall-clock time of one query, from handing over the input to having the output.",
    "Systems take turns in one run, of a quarter of a second or an eighth of the duration, three "
    "queries at least; the first query of a turn is not counted.",
    "Percentiles as trtexec takes them: number max(n - 1 - int((1 - p/100) n), 0) of n sorted "
    "values; no p99 below 100 queries.",
    "Throughput: pictures per second of time spent in queries. Speed-up: ratio of the medians.",
    "Detection: ICDAR 2015 protocol, IoU above 0.5, don't-care boxes left out on both sides.",
    "CER: edits per true character. Word accuracy: exact, with case and punctuation; loose: "
    "letters and digits only, any case.",
)
FILES = ("report.json", "report.md", "report.html")


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
    *("pictures/s", "variation", "queries", "speed-up"),
)


def accuracy_title(model: ModelReport) -> str:
    """Return what the accuracy table shows."""
    return {
        "labels": "Accuracy, percent",
        "model": "Agreement with the model's own output (no labels), percent",
    }[model.accuracy_against]


def accuracy_header(model: ModelReport) -> tuple[str, ...]:
    """Return the head of the accuracy table of a role."""
    if model.role == "detector":
        return ("system", "precision", "recall", "hmean", "samples")
    return ("system", "word accuracy", "loose", "CER", "samples")


def _accuracy_cells(model: ModelReport, row: SystemRow) -> list[str]:
    found = row.accuracy
    assert found is not None
    values = (
        (found.precision, found.recall, found.hmean)
        if model.role == "detector"
        else (found.word_accuracy, found.loose_word_accuracy, found.cer)
    )
    return [row.label, *map(_points, values), str(found.samples)]


def accuracy_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the accuracy table, in percent."""
    return [_accuracy_cells(model, row) for row in model.systems if row.accuracy]


def _render(name: str, report: Report, *, escape: bool) -> str:
    return render(
        name,
        escape=escape,
        report=report,
        definitions=DEFINITIONS,
        latency_header=LATENCY_HEADER,
        latency_rows=latency_rows,
        accuracy_header=accuracy_header,
        accuracy_title=accuracy_title,
        accuracy_rows=accuracy_rows,
        latency_plot=latency_plot,
    )


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
