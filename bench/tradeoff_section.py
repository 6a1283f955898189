"""Speed against loss of all engines of one model: a table and a plot."""

from __future__ import annotations

from ..engines.points_text import loss_text, signed_points
from ..ocr.metrics.metric import METRICS
from ..report.plots import TradeOff, tradeoff_plot
from ..report.sections import Plot, Section, Table, table_section
from .deployment import is_within, loss_of, milliseconds_of, winner
from .results import ModelReport, SystemRow
from .summary import metric_of


def tradeoff_section(model: ModelReport) -> Section | None:
    """Return speed and loss of each engine; None if no engine was timed and compared."""
    table = tradeoff_table(model)
    if not table.rows:
        return None
    points = [
        f"{cells[0]}: {cells[1]} ms, {loss_text(loss)}, {cells[-1] or 'slower'}"
        for cells, (_, _, loss) in zip(table.rows, _measured(model), strict=True)
    ]
    words = f"Scatter plot of points lost against milliseconds. {'; '.join(points)}."
    return table_section(table, Plot(draw=lambda: _plot(model), words=words))


def _measured(model: ModelReport) -> list[tuple[SystemRow, float, float]]:
    """Return the engines with time and loss, the fastest first."""
    rows = [(row, milliseconds_of(model, row), loss_of(row)) for row in model.engines]
    known = [(row, time, loss) for row, time, loss in rows if time is not None and loss is not None]
    return sorted(known, key=lambda each: each[1])


def tradeoff_table(model: ModelReport) -> Table:
    """Return one row per engine that was timed and compared with the model."""
    best, base = winner(model), _baseline(model)
    time_of_base = milliseconds_of(model, base) if base is not None else None
    rows = []
    for row, time, loss in _measured(model):
        result = "deploy" if row is best else "" if is_within(model, row) else "over budget"
        speedup = "-" if time_of_base is None else f"{time_of_base / time:.2f}x"
        allowed = model.allowed(row)
        limit = "-" if allowed is None else f"{allowed:g}"
        rows.append((row.label, f"{time:.2f}", speedup, signed_points(loss), limit, result))
    return Table(
        title="Speed and loss",
        header=("system", "ms per image", "speedup", "points lost", "allowed", "result"),
        rows=tuple(rows),
        key="result",
        good="deploy",
    )


def _baseline(model: ModelReport) -> SystemRow | None:
    return next((row for row in model.systems if row.kind == "baseline"), None)


def _plot(model: ModelReport) -> str:
    best, base = winner(model), _baseline(model)
    points = [
        TradeOff(
            label=model.short_label(row),
            x=time,
            loss=loss,
            is_within=is_within(model, row),
            is_chosen=row is best,
        )
        for row, time, loss in _measured(model)
    ]
    if base is not None and (time := milliseconds_of(model, base)) is not None:
        points.append(TradeOff(label=base.label, x=time, loss=0.0, is_within=True))
    allowed = {model.allowed(row) for row in model.engines}
    # One line in the plot, and only if all engines have the same budget.
    limit = allowed.pop() if len(allowed) == 1 else None
    title = METRICS[metric_of(model)].title
    return tradeoff_plot(points, "ms per image", f"points of {title} lost", limit)
