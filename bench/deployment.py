"""What to deploy: the fastest engine within its budget, its command, what it costs and gains."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ..measure.latency import EQUAL
from ..ocr.metrics.metric import METRICS
from .results import ModelReport, Report, SystemRow
from .summary import accuracy_of, metric_of, points_lost, signed


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The box at the end of a report."""

    title: str
    lines: tuple[str, ...]
    """For each model: what to deploy, what that gains and what it costs."""
    commands: tuple[str, ...] = ()
    """How to run it: a command for each combination of the winners, if several models have one
    role; none if nothing is to be deployed."""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """The winner among the systems of one model; ``row`` is None if the model itself wins."""

    model: ModelReport
    row: SystemRow | None
    why_not: str = ""


def deployment(report: Report) -> Deployment | None:
    """Return what to deploy; None if no engine was timed."""
    choices = [_choice(model) for model in report.models if _timed(model)]
    if not choices:
        return None
    chosen = [choice for choice in choices if choice.row is not None]
    lines = [_line(choice) for choice in choices]
    if (pair := _pair_line(report, chosen)) is not None:
        lines.append(pair)
    names = " and ".join(choice.row.label for choice in chosen if choice.row)
    return Deployment(
        title=f"Deploy {names}" if names else "Keep the model",
        lines=tuple(lines),
        commands=_commands(choices),
    )


def winner(model: ModelReport) -> SystemRow | None:
    """Return the engine of a model to deploy; None if none is faster and within its budget."""
    return _choice(model).row


def loss_of(row: SystemRow) -> float | None:
    """Return the points that an engine lost; None if that is unknown."""
    return points_lost(row.differences[0])[0] if row.differences else None


def milliseconds_of(model: ModelReport, row: SystemRow) -> float | None:
    """Return the time of one image: at the smallest batch size, or from file to text."""
    if row.pipeline:
        return 1000 / row.pipeline[0].throughput
    if not model.batches or (stats := row.latency(model.batches[0])) is None:
        return None
    return stats.p50 / stats.batch


def is_within(model: ModelReport, row: SystemRow) -> bool:
    """Whether an engine loses at most what its own spec allows, as far as that was measured."""
    loss, allowed = loss_of(row), model.allowed(row)
    return loss is None or allowed is None or loss <= allowed + 1e-9  # 0.5 points are within 0.5


def _timed(model: ModelReport) -> list[tuple[float, SystemRow]]:
    """Return the engines that were timed, the fastest first."""
    times = [(milliseconds_of(model, row), row) for row in model.engines]
    return sorted(
        ((time, row) for time, row in times if time is not None), key=lambda each: each[0]
    )


def _choice(model: ModelReport) -> _Choice:
    timed = _timed(model)
    within = [(time, row) for time, row in timed if is_within(model, row)]
    if not within:
        if not timed:
            return _Choice(model=model, row=None, why_not="no engine can run on this machine")
        least = min((loss for _, row in timed if (loss := loss_of(row)) is not None), default=0.0)
        why = f"every engine loses more than its budget, the best one {least:.2f} points"
        return _Choice(model=model, row=None, why_not=f"{why}; try --precision best")
    # Of engines that are equally fast, the one that loses least.
    equal = [each for each in within if each[0] <= within[0][0] * (1 + EQUAL)]
    time, row = min(equal, key=lambda each: (max(loss_of(each[1]) or 0.0, 0.0), each[0]))
    base = _baseline_time(model)
    if base is not None and time >= base:
        why = f"no engine is faster than the model: {time:.2f} against {base:.2f} ms"
        return _Choice(model=model, row=None, why_not=f"{why}; try --target auto")
    return _Choice(model=model, row=row)


def _baseline_time(model: ModelReport) -> float | None:
    base = next((row for row in model.systems if row.kind == "baseline"), None)
    return milliseconds_of(model, base) if base is not None else None


def _line(choice: _Choice) -> str:
    model, row = choice.model, choice.row
    if row is None:
        return f"{model.name}: keep the model, because {choice.why_not}."
    return f"{row.label}: {_gain(model, row)}; {_cost(model, row)}.{_others(model, row)}"


def _gain(model: ModelReport, row: SystemRow) -> str:
    time, base = milliseconds_of(model, row), _baseline_time(model)
    assert time is not None
    if base is None:
        return f"{time:.2f} ms (the model was not timed)"
    others = [
        f"; at batch {batch}, {ratio:.1f} times"
        for batch in model.batches[1:]
        if (ratio := model.speedup(row, batch)) is not None
    ]
    speed = f"{base / time:.1f} times as fast as the model, {time:.2f} instead of {base:.2f} ms"
    return f"{speed}{''.join(others)}"


def _cost(model: ModelReport, row: SystemRow) -> str:
    if row.accuracy is None:
        return "accuracy not measured, which requires --data DIR"
    measure = metric_of(model)
    title, own = METRICS[measure].title, accuracy_of(row, measure)
    if not row.differences:
        return f"{title} {100 * own:.2f}, not compared with the model"
    allowed = model.allowed(row)
    limit = "" if allowed is None else f", {allowed:g} points may be lost"
    change = signed(row.differences[0].value)
    against = " against the model's own output" if model.accuracy_against == "model" else ""
    return f"{title} {100 * own:.2f}{against} ({change} points{limit})"


def _others(model: ModelReport, chosen: SystemRow) -> str:
    """Return the other engines with the reason why they are not chosen."""
    own = milliseconds_of(model, chosen)
    assert own is not None
    parts = []
    for row in model.engines:
        time, loss = milliseconds_of(model, row), loss_of(row)
        if row is chosen:
            continue
        if time is None:
            parts.append(f"{model.short_label(row)} cannot run here")
        elif not is_within(model, row):
            parts.append(f"{model.short_label(row)} loses {loss:.2f} points")
        else:
            parts.append(f"{model.short_label(row)} takes {time / own:.1f} times as long")
    return f" Not chosen: {', '.join(parts)}." if parts else ""


def _pair_line(report: Report, chosen: Sequence[_Choice]) -> str | None:
    """Return the figures of a detector and a recognizer together, if their pair was measured."""
    pairs = report.end_to_end
    parts = [each for each in chosen if each.model.role in ("detector", "recognizer")]
    labels = [each.model.short_label(each.row) for each in parts if each.row is not None]
    if pairs is None or len(labels) != 2:
        return None
    label = " + ".join(dict.fromkeys(labels))
    pair = next((row for row in pairs.engines if row.label == label), None)
    if pair is None:
        return None
    base = next((row for row in pairs.systems if row.kind == "baseline" and row.pipeline), None)
    speed = ""
    if pair.pipeline:
        own = pair.pipeline[0].throughput
        than = f" instead of {base.pipeline[0].throughput:.1f}" if base else ""
        speed = f"{own:.1f} images per second{than}; "
    return f"Both together, from file to text: {speed}{_cost(pairs, pair)}."


def _commands(choices: Sequence[_Choice]) -> tuple[str, ...]:
    """Return the commands that run the winners, one for each combination of different roles."""
    by_role: dict[str, list[str]] = {}
    for each in choices:
        if each.row and each.row.bundle:
            by_role.setdefault(each.model.role, []).append(each.row.bundle)
    if not by_role:
        return ()
    # Without any detector, each image is one line.
    has_detector = any(each.model.role == "detector" for each in choices)
    return tuple(
        _command(dict(zip(by_role, bundles, strict=True)), has_detector=has_detector)
        for bundles in product(*by_role.values())
    )


def _command(bundles: Mapping[str, str], *, has_detector: bool) -> str:
    """Return the command that runs bundles, by role; a part without a bundle is a placeholder."""
    words = ["ocr-trt", "run", "IMAGE"]
    detector = ["--detector", bundles.get("detector", "DETECTOR_BUNDLE")]
    words += detector if has_detector else ["--lines"]
    words += ["--recognizer", bundles.get("recognizer", "RECOGNIZER_BUNDLE")]
    words += ["--classifier", bundles["classifier"]] if "classifier" in bundles else []
    return shlex.join(words)
