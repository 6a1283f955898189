"""Accuracies of all systems of one model as sections of the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..measure.points_lost import as_points_lost
from ..measure.report_data import AccuracyRow, SampleView
from ..ocr.metrics.metric import METRICS
from ..report.plots import INK, new_plot, plain_axes, svg_text, with_default_style
from ..report.sections import Figure, Plot, Section, Table, table_section
from .results import Breakdown, ModelReport, SystemRow
from .summary import changes_sentence, signed

_TITLES = {
    "labels": "Accuracy, percent",
    "model": "Agreement with the model's own output (no labels), percent",
}
_COLUMNS = {
    "detector": {"hmean": "hmean", "precision": "precision", "recall": "recall"},
    "recognizer": {
        "CER": "cer",
        "word accuracy": "word_accuracy",
        "loose word accuracy": "loose_word_accuracy",
    },
    "classifier": {"accuracy": "accuracy"},
    "end-to-end": {"hmean": "e2e_hmean", "precision": "e2e_precision", "recall": "e2e_recall"},
}
"""By role: the name of a column, and the field of ``AccuracyRow`` that it shows."""
_CHANGES = {"worse": "worse", "better": "better", "neither": "neither worse nor better"}
_COLORS_OF_BOXES = "Green: words to find. Red: detected boxes. Gray: don't-care regions."


def accuracy_section(model: ModelReport) -> Section | None:
    """Return the accuracies with confidence intervals; None if none was measured."""
    table = accuracy_table(model)
    if not table.rows:
        return None
    differences = [
        f"{row.label}: {_difference(row, row.differences[0].measure)} points"
        for row in model.systems
        if row.differences
    ]
    text = f"Differences from the model, with 95 % confidence intervals. {'; '.join(differences)}."
    return table_section(table, Plot(draw=lambda: difference_plot(model), words=text))


def accuracy_table(model: ModelReport) -> Table:
    """Return one row per system whose accuracy was measured, in percent."""
    columns = _COLUMNS[model.role]
    header = [model.unit]
    # Only metrics have a difference from the model; other measures have one column.
    for name, measure in columns.items():
        header += [name, "difference"] if measure in METRICS else [name]
    return Table(
        title=_TITLES[model.accuracy_against],
        header=("system", *header),
        rows=tuple(
            (row.label, str(row.accuracy.samples), *_cells(row, row.accuracy, columns.values()))
            for row in model.systems
            if row.accuracy
        ),
    )


def _cells(row: SystemRow, accuracy: AccuracyRow, measures: Iterable[str]) -> Iterator[str]:
    for measure in measures:
        value, bounds = _points(getattr(accuracy, measure)), accuracy.intervals.get(measure)
        yield (
            value if bounds is None else f"{value} [{_points(bounds.low)}, {_points(bounds.high)}]"
        )
        if measure in METRICS:
            yield _difference(row, measure)


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _difference(row: SystemRow, measure: str) -> str:
    difference = next((each for each in row.differences if each.measure == measure), None)
    if difference is None:
        return "-"
    if difference.interval is None:
        return signed(difference.value)
    low, high = difference.interval.low, difference.interval.high
    return f"{signed(difference.value)} [{signed(low)}, {signed(high)}]"


def breakdown_section(breakdown: Breakdown) -> Section:
    """Return measures by kind of sample, in percent."""
    return table_section(
        Table(
            title=f"By {breakdown.by}, percent",
            header=(breakdown.by, breakdown.unit, *breakdown.columns),
            rows=tuple(
                (row.name, str(row.samples), *map(_points, row.shares)) for row in breakdown.strata
            ),
        )
    )


def change_sections(model: ModelReport) -> Iterator[Section]:
    """Yield a section per engine: how many samples changed, and the worst of them."""
    for row in model.systems:
        if row.changes is None or not row.changes.changed:
            continue
        # `changes` limits the number of samples that are shown.
        shown, hidden = len(row.changes.shown), row.changes.changed - len(row.changes.shown)
        yield Section(
            title=f"Samples that changed with {row.label}",
            texts=(changes_sentence(row.changes),),
            figures=tuple(map(_figure, row.changes.shown)),
            figures_text=" ".join(
                (
                    *((_COLORS_OF_BOXES,) if row.changes.unit == "images" else ()),
                    *((f"The {shown} worst are shown; {hidden} more are not.",) if hidden else ()),
                )
            ),
        )


def worst_section(model: ModelReport) -> Section | None:
    """Return the samples with the largest errors of one engine; None if there are none."""
    if not model.worst:
        return None
    return Section(
        title=f"Samples with the largest errors of {model.worst_of}",
        figures=tuple(_figure(sample, with_change=False) for sample in model.worst),
        figures_text=_COLORS_OF_BOXES if model.role == "detector" else "",
    )


def _figure(sample: SampleView, *, with_change: bool = True) -> Figure:
    lines = (("truth", sample.truth), ("model", sample.baseline), ("engine", sample.engine))
    return Figure(
        image=sample.image,
        name=sample.caption,
        lines=lines,
        label=_CHANGES[sample.change] if with_change else "",
        level=sample.change if with_change else "",
    )


@with_default_style
def difference_plot(model: ModelReport) -> str:
    """Draw by how many points each engine is better than the model, with its interval.

    Returns "" if there is no interval.
    """
    # Reversed: matplotlib draws from the bottom up. The first difference decides the verdict.
    shown = [(r, r.differences[0]) for r in model.systems if r.differences][::-1]
    bounded = [(row, d, d.interval) for row, d in shown if d.interval is not None]
    if not bounded:
        return ""
    figure, axes = new_plot(0.8 + 0.36 * len(bounded))
    axes.axvline(0, color=INK, linewidth=1)
    if model.allowed_loss is not None:
        axes.axvline(-model.allowed_loss, color="#cf222e", linewidth=1, linestyle="--")
    for place, (_, difference, bounds) in enumerate(bounded):
        lost, sign = as_points_lost(bounds, difference.measure), METRICS[difference.measure].sign
        ends = (-lost.high, -lost.low)
        axes.plot(ends, [place, place], color="#2171b5", linewidth=3, solid_capstyle="butt")
        axes.plot([100 * sign * difference.value], [place], "o", color="#2171b5", markersize=8)
    axes.set_yticks(range(len(bounded)), [model.short_label(row) for row, _, _ in bounded])
    axes.set_ylim(-0.6, len(bounded) - 0.4)
    limit = "" if model.allowed_loss is None else "; dashed: allowed loss"
    axes.margins(x=0.1)
    plain_axes(axes, f"points better than the model{limit}")
    return svg_text(figure)
