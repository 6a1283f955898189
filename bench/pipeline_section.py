"""The speed of whole images, from file to text, as a section of the report."""

from __future__ import annotations

from ..measure.pipeline_speed import PipelineSpeed
from ..pipeline.clock import STAGES, Stage
from ..report.plots import INK, new_plot, plain_axes, svg_text, with_default_style
from ..report.sections import Plot, Section, Table, table_section
from .results import ModelReport, SystemRow

# Stages as the report calls them, in the order of the pipeline.
_NAMES: dict[Stage, str] = {
    "load": "decode",
    "prepare": "prepare",
    "detect": "detect",
    "boxes": "boxes",
    "crop": "crop",
    "direction": "direction",
    "fit": "fit lines",
    "recognize": "recognize",
    "text": "CTC",
}
# By stage: gray for decoding, blue for the detector, green for crops, orange for the recognizer.
_COLORS = (
    *("#bdbdbd", "#9ecae1", "#2171b5", "#6baed6"),
    *("#c7e9c0", "#74c476", "#fdd0a2", "#d94801", "#fdae6b"),
)


def pipeline_section(model: ModelReport) -> Section | None:
    """Return how fast whole images are read; None if that was not measured."""
    table = pipeline_table(model)
    if not table.rows:
        return None
    bars = [
        f"{row.label}: "
        + ", ".join(f"{_NAMES[stage]} {speed.stages[stage]:.1f} ms" for stage in STAGES)
        for row, speed in _speeds(model)
        if speed.stages
    ]
    text = f"Stacked bars of the time per image by stage. {'; '.join(bars)}."
    return table_section(table, Plot(draw=lambda: pipeline_plot(model), words=text))


def _speeds(model: ModelReport) -> list[tuple[SystemRow, PipelineSpeed]]:
    return [(row, speed) for row in model.systems for speed in row.pipeline]


def pipeline_table(model: ModelReport) -> Table:
    """Return one row per system and number of workers."""
    base = next((s for row, s in _speeds(model) if row.kind == "baseline"), None)
    rows = (
        (
            *(row.label, str(speed.workers), f"{speed.throughput:.2f}"),
            "-" if base is None else f"{speed.throughput / base.throughput:.2f}x",
            *_stage_cells(speed),
        )
        for row, speed in _speeds(model)
    )
    return Table(
        title="Whole images, ms per image",
        header=(
            *("system", "workers", "images/s", "speedup", "ms"),
            *(_NAMES[stage] for stage in STAGES),
        ),
        rows=tuple(rows),
        key="speedup",
    )


def _stage_cells(speed: PipelineSpeed) -> tuple[str, ...]:
    """Return the time per image, in total and by stage; dashes for several workers."""
    if not speed.stages:
        return ("-",) * (1 + len(STAGES))
    return f"{1000 / speed.throughput:.1f}", *(f"{speed.stages[stage]:.1f}" for stage in STAGES)


@with_default_style
def pipeline_plot(model: ModelReport) -> str:
    """Draw the time of each stage of an image, one bar per system, as SVG."""
    shown = [(row, speed) for row, speed in _speeds(model) if speed.stages][::-1]
    figure, axes = new_plot(1.1 + 0.4 * len(shown))
    left = [0.0] * len(shown)  # where the next stage begins, in ms
    for stage, color in zip(STAGES, _COLORS, strict=True):
        parts = [speed.stages[stage] for _, speed in shown]
        axes.barh(range(len(shown)), parts, left=left, color=color, label=_NAMES[stage])
        left = [start + part for start, part in zip(left, parts, strict=True)]
    axes.set_yticks(range(len(shown)), [row.label for row, _ in shown])
    figure.legend(loc="outside upper left", ncols=4, fontsize=9, frameon=False, labelcolor=INK)
    plain_axes(axes, "ms per image")
    return svg_text(figure)
