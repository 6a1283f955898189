"""The page about an engine's precision: ``precision.html``, beside the data in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..engines.manifest import TargetTrial
from ..engines.points_text import signed_points
from ..ocr.metrics.metric import METRICS
from ..report.page import render
from ..report.plots import TradeOff, tradeoff_plot
from ..report.sections import Plot, Section, Table, table_section
from .compression_section import compression_sections
from .precision_report import PrecisionReport, TrialRow

FILES = ("precision.json", "precision.html")
_DISTANCES = {
    "hmean": "1 - soft IoU of the probability maps",
    "cer": "KL divergence of the classes per time step, in nats",
    "accuracy": "KL divergence of the classes per crop, in nats",
}


def write_precision(report: PrecisionReport, folder: Path) -> None:
    """Write the data and the page into a folder."""
    (folder / FILES[0]).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    sections = [trial_section(report)] if report.trials else []
    if report.compression is not None:
        title = METRICS[report.metric].title
        sections[:0] = compression_sections(report.compression, title, report.budget)
    if report.targets:
        sections.insert(0, table_section(target_table(report.targets)))
    page = render(
        "precision.html.jinja",
        package=__package__,
        escape=True,
        report=report,
        sections=[*sections, table_section(layer_table(report))],
    )
    (folder / FILES[1]).write_text(page, "utf-8")


def trial_section(report: PrecisionReport) -> Section:
    """Return the candidates that were measured, as plot and table."""
    title = METRICS[report.metric].title
    rows = (
        (
            row.label,
            f"{100 * row.int8_share:.1f} %",
            "-" if row.loss is None else signed_points(row.loss),
            _number(row.distance, ".2g"),
            _number(row.latency, ".2f"),
            "chosen" if row.chosen else ("" if row.within else "over budget"),
        )
        for row in report.trials
    )
    table = Table(
        title="Candidates",
        header=("candidate", "FLOPs in int8", "points lost", "distance", "ms", "result"),
        rows=tuple(rows),
        notes=(
            f"Points lost: loss of {title} against the model; {report.budget:g} are allowed. "
            "Distance: how far the output is from that of the float graph "
            f"({_DISTANCES[report.metric]}); it only ranks the candidates.",
        ),
        key="result",
    )
    plot = Plot(
        draw=lambda: pareto_plot(report.trials, title, report.budget),
        words="Scatter plot of the candidates in the table below: points lost against speed",
    )
    return table_section(table, plot)


def target_table(trials: Sequence[TargetTrial]) -> Table:
    """Return one row per target that was compared, the fastest first."""
    rows = (
        (
            trial.target,
            trial.label or "-",
            _number(trial.latency.engine if trial.latency else None, ".2f"),
            f"{trial.latency.speedup:.2f}x" if trial.latency else "-",
            signed_points(trial.metric.loss) if trial.metric else "-",
            f"{trial.seconds:.1f}",
            trial.error or ("kept" if trial.chosen else "not kept"),
        )
        for trial in trials
    )
    return Table(
        title="Targets",
        header=("target", "precision", "ms", "speedup", "points lost", "seconds", "result"),
        rows=tuple(rows),
        notes=(
            "The targets that can run on the machine of the build. All engines were timed in turns "
            "at batch 1 and the input of the spec. Engines within 2 % of the fastest count as "
            "equally fast; of these, the one that loses least is kept. Seconds: the time in which "
            "each target was built and its accuracy was measured.",
        ),
        key="result",
        good="kept",
    )


def layer_table(report: PrecisionReport) -> Table:
    """Return one row per layer, in the order of the graph."""
    rows = (
        (
            row.name,
            row.op,
            row.layer or "-",
            f"{100 * row.work:.1f} %",
            _number(row.range, ".3g"),
            _number(row.signal_to_noise, ".1f"),
            _number(row.alone, ".1e"),
            _number(row.without, ".1e"),
            row.precision,
            row.why,
        )
        for row in report.layers
    )
    return Table(
        title="Layers",
        header=(
            *("layer", "op", "in the model", "FLOPs", "range", "dB", "alone", "all others"),
            "precision",
            "why not int8",
        ),
        rows=tuple(rows),
        notes=(
            "Layer: the name in the quantized ONNX graph. In the model: the layer's name in Keras "
            "or TensorFlow, or the nearest layer whose name is known. "
            "Range: the largest |x| that the int8 input of the layer represents. dB: signal to "
            "noise of its result, including the noise of all earlier layers. Alone, all "
            "others: distance of the model's output from the float graph's if only this layer is "
            "int8, and if all layers except this one are.",
        ),
        good="int8",
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def pareto_plot(trials: Sequence[TrialRow], metric: str, budget: float) -> str:
    """Draw points lost against latency, or against the share in float if nothing was timed.

    Returns an SVG element; "" if no trial can be drawn.
    """
    is_timed = any(row.latency is not None for row in trials)
    shown = [
        TradeOff(
            label=row.label,
            x=(row.latency or 0.0) if is_timed else 100 * (1 - row.int8_share),
            loss=row.loss,
            is_within=row.within,
            is_chosen=row.chosen,
        )
        for row in trials
        if row.loss is not None and (row.latency is not None or not is_timed)
    ]
    x_label = "ms, median" if is_timed else "% of FLOPs not in int8"
    return tradeoff_plot(shown, x_label, f"points of {metric} lost", budget)
