"""Compression as sections of ``precision.html``: the networks that were tried, and all layers."""

from __future__ import annotations

from collections.abc import Iterator

from ..engines.points_text import bounds_text, signed_points
from ..report.plots import TradeOff, tradeoff_plot
from ..report.sections import Plot, Section, Table, table_section
from .compression_report import CompressedLayer, CompressionReport, CompressionRow


def compression_sections(
    report: CompressionReport, metric: str, budget: float
) -> Iterator[Section]:
    """Yield the sections.

    Args:
        report: the compression.
        metric: the title of the metric whose points are lost.
        budget: points that may be lost.
    """
    if report.trials:
        plot = Plot(
            draw=lambda: front_plot(report, metric, budget),
            words="Scatter plot of the networks in the table below: points lost against cost",
        )
        yield table_section(_trial_table(report, metric, budget), plot)
    if report.layers:
        yield table_section(_layer_table(report))


def _trial_table(report: CompressionReport, metric: str, budget: float) -> Table:
    return Table(
        title="Compressed networks",
        header=(
            *("FLOPs", "decisions", f"expected {report.unit}", "points lost", "95 % interval"),
            *("agreement", "distance", "result"),
        ),
        rows=tuple(_trial_cells(row, report) for row in report.trials),
        notes=(
            f"All networks were measured in fp32. Points lost: loss of {metric} against the model; "
            f"{budget:g} are allowed for compression and precision together. Agreement: the same "
            f"metric with the output of the model as the truth. Expected {report.unit}: predicted "
            "from a few graphs that were timed; the whole network takes "
            f"{_cost(report.whole_cost, report.unit)}.",
        ),
        key="result",
    )


def _trial_cells(row: CompressionRow, report: CompressionReport) -> tuple[str, ...]:
    interval = row.interval
    return (
        f"{100 * row.kept_flops:.1f} %",
        str(row.decisions),
        _cost(row.expected_cost, report.unit),
        signed_points(row.loss),
        "-" if interval is None else bounds_text(*interval),
        f"{100 * row.agreement:.2f} %",
        f"{row.distance:.2g}",
        "chosen" if row.chosen else row.note or ("" if row.within else "over budget"),
    )


def _layer_table(report: CompressionReport) -> Table:
    return Table(
        title="Compression of the layers",
        header=(
            *("layer", "op", "in the model", "FLOPs", "kept", "rank", "channels", "error"),
            *(f"{report.unit} before", f"{report.unit} after"),
        ),
        rows=tuple(_layer_cells(row, report.unit) for row in report.layers),
        notes=(
            f"{report.reason[:1].upper()}{report.reason[1:]}. "
            "FLOPs: share of the whole network. Kept: FLOPs that remain of the layer. Rank: "
            "channels between the two ops of a factored layer. Channels: of the result. Error: "
            "distance of the output of the network if nothing else is compressed. "
            f"{report.unit} after: predicted.",
        ),
    )


def _layer_cells(row: CompressedLayer, unit: str) -> tuple[str, ...]:
    return (
        row.name,
        row.op,
        row.layer or "-",
        f"{100 * row.flops:.1f} %",
        f"{100 * row.kept:.0f} %",
        "-" if row.rank is None else str(row.rank),
        "-" if row.channels is None else f"{row.channels[0]} to {row.channels[1]}",
        "-" if row.error is None else f"{row.error:.1e}",
        _cost(row.cost, unit),
        _cost(row.expected_cost, unit),
    )


def _cost(value: float, unit: str) -> str:
    return f"{value:.2f}" if unit == "ms" else f"{value / 1e6:.1f} M"


def front_plot(report: CompressionReport, metric: str, budget: float) -> str:
    """Draw points lost against the expected cost.

    Returns an SVG element.
    """
    shown = [
        TradeOff(
            label=f"{100 * row.kept_flops:.0f} % of the FLOPs",
            x=row.expected_cost if report.unit == "ms" else row.expected_cost / 1e6,
            loss=row.loss,
            is_within=row.within,
            is_chosen=row.chosen,
        )
        for row in report.trials
    ]
    whole = report.whole_cost if report.unit == "ms" else report.whole_cost / 1e6
    is_whole = not any(row.chosen for row in report.trials)
    shown.append(
        TradeOff(label="not compressed", x=whole, loss=0.0, is_within=True, is_chosen=is_whole)
    )
    unit = "expected ms" if report.unit == "ms" else "MFLOP"
    return tradeoff_plot(shown, unit, f"points of {metric} lost in fp32", budget)
