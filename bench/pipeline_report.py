"""The whole pipeline's speed in a report: table, image, words."""

from __future__ import annotations

from ..pipeline.clock import STAGES, Stage
from ..report.plots import INK, WIDTH, plain_axes, svg_text
from .results import ModelReport, PipelineSpeed, SystemRow

_NAMES: dict[Stage, str] = {
    "load": "decode",
    "prepare": "prepare",
    "detect": "detect",
    "boxes": "boxes",
    "crop": "crop",
    "fit": "fit lines",
    "recognize": "recognize",
    "text": "CTC",
}
_COLORS = (
    *("#bdbdbd", "#9ecae1", "#2171b5", "#6baed6"),
    *("#c7e9c0", "#fdd0a2", "#d94801", "#fdae6b"),
)
PIPELINE_HEADER = (
    *("system", "workers", "images/s", "speed-up", "ms"),
    *(_NAMES[stage] for stage in STAGES),
)


def _speeds(model: ModelReport) -> list[tuple[SystemRow, PipelineSpeed]]:
    return [(row, speed) for row in model.systems for speed in row.pipeline]


def pipeline_rows(model: ModelReport) -> list[list[str]]:
    """Return the cells of the table: a row per system and number of workers."""
    base = next((s for row, s in _speeds(model) if row.kind == "baseline"), None)
    return [
        [
            *(row.label, str(speed.workers), f"{speed.throughput:.2f}"),
            "-" if base is None else f"{speed.throughput / base.throughput:.2f}x",
            *(
                (f"{1000 / speed.throughput:.1f}", *(f"{speed.stages[s]:.1f}" for s in STAGES))
                if speed.stages
                else ("-",) * (1 + len(STAGES))
            ),
        ]
        for row, speed in _speeds(model)
    ]


def pipeline_plot(model: ModelReport) -> str:
    """Draw where the time of an image goes, a bar per system, as SVG text."""
    from matplotlib.figure import Figure

    shown = [(row, speed) for row, speed in _speeds(model) if speed.stages][::-1]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.4 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    left = [0.0] * len(shown)
    for stage, color in zip(STAGES, _COLORS, strict=True):
        parts = [speed.stages[stage] for _, speed in shown]
        axes.barh(range(len(shown)), parts, left=left, color=color, label=_NAMES[stage])
        left = [start + part for start, part in zip(left, parts, strict=True)]
    axes.set_yticks(range(len(shown)), [row.label for row, _ in shown])
    axes.set_xlabel("ms per image", color=INK, fontsize=10)
    figure.legend(loc="outside upper left", ncols=4, fontsize=9, frameon=False, labelcolor=INK)
    plain_axes(axes)
    return svg_text(figure)


def pipeline_words(model: ModelReport) -> str:
    """Say what the plot shows."""
    told = [
        f"{row.label}: "
        + ", ".join(f"{_NAMES[stage]} {speed.stages[stage]:.1f} ms" for stage in STAGES)
        for row, speed in _speeds(model)
        if speed.stages
    ]
    return f"Stacked bars of the time per image by stage. {'; '.join(told)}."
