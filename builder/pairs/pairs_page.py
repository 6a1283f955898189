"""The page about a pair of models: ``pairs.html``, and the same tables for the terminal."""

from __future__ import annotations

from ...engines.points_text import bounds_text, loss_text, signed_points
from ...ocr.metrics.metric import METRICS
from ...report.page import render
from ...report.plots import TradeOff, tradeoff_plot
from ...report.sections import Plot, Section, Table, table_section
from .pairs_report import PairRow, PairsReport, VariantRow
from .pairs_texts import VERDICTS, lead, texts


def page_of(report: PairsReport) -> str:
    """Return the page as HTML."""
    return render(
        "pairs.html.jinja",
        package=__package__,
        escape=True,
        report=report,
        lead=lead(report),
        texts=texts(report),
        setup=_setup(report),
        sections=[pair_section(report), *map(table_section, variant_tables(report))],
    )


def _setup(report: PairsReport) -> list[str]:
    """Describe the images, the machine and the versions."""
    quartiles = ", ".join(map(str, report.line_widths))
    finder = next(
        row for row in report.variants
        if row.role == "detector" and row.label == report.chosen.detector
    )  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    widths = f"; quartiles of their widths: {quartiles} pixels" if quartiles else ""
    return [
        f"Images: {report.images} in {report.data}, {'labeled' if report.labeled else 'unlabeled'};"
        f" {finder.lines or 0:.1f} lines per image{widths}. Budget: {report.budget:g} points of "
        "end-to-end hmean.",
        f"{report.machine['processor']}, {report.machine['cores']} cores, "
        f"{report.machine['system']}. {versions}.",
    ]


def pair_section(report: PairsReport) -> Section:
    """Return all pairs as a plot and a table."""
    read = [row for row in report.pairs if row.loss is not None]
    points = [
        f"{row.label}: {row.milliseconds:.1f} ms{' predicted' if row.measured is None else ''}, "
        f"{loss_text(row.loss or 0.0)}, {_result(row)}"
        for row in read
    ]
    words = f"Scatter plot of points lost against milliseconds per image. {'; '.join(points)}."
    return Section(
        title="Pairs",
        texts=(
            "The plot shows the pairs that were read. Filled markers: the time was measured on "
            "whole images. Hollow markers: it was predicted, and a measured time may be longer. "
            "The star is the chosen pair. The dashed line is the budget; pairs above it are red.",
        ),
        plot=Plot(draw=lambda: _plot(report, read), words=words),
        tables=(pair_table(report),),
    )


def pair_table(report: PairsReport) -> Table:
    """Return one row per pair, the fastest by prediction first, below the models themselves."""
    base = ("the models themselves", "-", f"{report.baseline:.1f}", "1.00x", "+0.00", "-", "100.00")
    rows = [(*base, "baseline")]
    for row in report.pairs:
        bounds = row.interval
        speedup = "-" if row.measured is None else f"{report.baseline / row.measured:.2f}x"
        rows.append(
            (
                row.label,
                f"{row.predicted:.1f}",
                "-" if row.measured is None else f"{row.measured:.1f}",
                speedup,
                "-" if row.loss is None else signed_points(row.loss),
                bounds_text(bounds.low, bounds.high) if bounds else "-",
                "-" if row.agreement is None else f"{100 * row.agreement:.2f}",
                _result(row),
            )
        )
    return Table(
        title="Pairs",
        header=(
            *("detector + recognizer", "ms predicted", "ms measured", "speedup", "points lost"),
            *("95 % interval", "agreement", "result"),
        ),
        rows=tuple(rows),
        notes=(
            "Predicted: time of the detector per image, plus lines per image times the time of the "
            "recognizer per line, plus the time to decode the file and to cut out the lines. "
            "Measured: whole images, with one worker, all timed pairs in turns. Points lost: "
            "end-to-end hmean, for which place and text of a line must be right, against the "
            "models themselves. Agreement: end-to-end hmean with the lines of the models "
            "themselves as the ground truth. Not decided: the estimated loss is within the "
            "budget, but the images cannot show that, and the agreement is too low to show it "
            "without labels. Not read: faster pairs are within the budget. A variant that is over "
            "the budget with the exact variant of the other model is in this one pair only.",
        ),
        key="result",
        good="chosen",
    )


def _result(row: PairRow) -> str:
    if row.is_chosen:
        return "chosen"
    return VERDICTS[row.verdict] if row.verdict is not None else "not read"


def variant_tables(report: PairsReport) -> list[Table]:
    """Return the variants of the detector, and those of the recognizer."""
    return [
        _variant_table(
            f"{title}: {name}", unit, [row for row in report.variants if row.role == role]
        )
        for title, name, role, unit in (
            ("Detector", report.detector, "detector", "ms per image"),
            ("Recognizer", report.recognizer, "recognizer", "ms per line"),
        )
    ]


def _variant_table(title: str, unit: str, rows: list[VariantRow]) -> Table:
    metrics = [METRICS[row.metric].title for row in rows if row.metric is not None]
    metric = metrics[0] if metrics else "the metric"
    cells = (
        (
            row.label,
            row.target or "-",
            "-" if row.milliseconds is None else f"{row.milliseconds:.2f}",
            "-" if row.loss is None else signed_points(row.loss),
            "-" if row.disagreement is None else signed_points(row.disagreement),
            row.error or _front_text(row),
        )
        for row in rows
    )
    return Table(
        title=title,
        header=("variant", "target", unit, "points lost", "points different", "result"),
        rows=tuple(cells),
        notes=(
            f"Points lost: {metric} of this model alone, against the model itself. Points "
            "different: the same with the model's own output as the ground truth. A variant is "
            "left out if it is over the budget even with the exact variant of the other model. Of "
            "the others, it is on the front if no other one is at least as good in time, points "
            "lost and points different. Pairs are made of the variants on the front.",
        ),
    )


def _front_text(row: VariantRow) -> str:
    if row.is_dropped:
        return "over budget"
    return "on the front" if row.is_on_front else "another one is better"


def _plot(report: PairsReport, read: list[PairRow]) -> str:
    systems = [
        TradeOff(
            label=row.label,
            x=row.milliseconds,
            loss=row.loss or 0.0,
            is_within=row.verdict != "over",
            is_chosen=row.is_chosen,
            is_predicted=row.measured is None,
        )
        for row in read
    ]
    return tradeoff_plot(systems, "ms per image", "points of end-to-end hmean lost", report.budget)
