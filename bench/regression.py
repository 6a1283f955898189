"""Whether a comparison is worse than an older one, by rules such as ``latency>1.1x,cer>+0.2``.

A rule says what must not be: a measure, ``<`` or ``>``, and a limit. ``1.1x`` is a multiple of the
older value, ``+0.2`` or ``-0.5`` its distance from it, and a plain number is the limit itself.
Times are held against multiples at all batch sizes, against numbers at batch 1;
``throughput@16<200`` is that of batch 16.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..errors import InputFileError, UserError
from .results import ModelReport, Report, SystemRow

LATENCIES = ("latency", "p90", "p99", "throughput")
"""Milliseconds (latency: the median), and pictures per second."""
ACCURACIES = ("hmean", "precision", "recall", "word_accuracy", "loose_word_accuracy", "cer")
"""Points, 0..100."""
MEASURES = (*LATENCIES, "speedup", *ACCURACIES)
LARGEST_REPORT = 1 << 28  # bytes; it has pictures in it

_RULE = re.compile(
    r"(?P<measure>\w+)(@(?P<batch>\d{1,4}))?\s*(?P<sign>[<>])\s*"
    r"(?P<by>[+-]?)(?P<number>\d{1,9}(\.\d{1,9})?)(?P<x>x?)"
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must not be. ``text``: as it was given."""

    text: str
    measure: str
    is_above: bool
    kind: Literal["times", "plus", "absolute"]
    number: float
    batch: int | None = None
    """The only one it speaks of."""

    @property
    def is_relative(self) -> bool:
        """Whether it needs an older report."""
        return self.kind != "absolute"

    def limit(self, old: float | None) -> float:
        """Return what the measure must not pass, given its older value."""
        if self.kind == "absolute":
            return self.number
        assert old is not None
        return old * self.number if self.kind == "times" else old + self.number

    def is_broken(self, new: float, old: float | None) -> bool:
        """Whether a value is past the limit."""
        return new > self.limit(old) if self.is_above else new < self.limit(old)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule on one engine. ``batch`` is None for accuracies; ``old`` if nothing was compared."""

    model: str
    engine: str
    batch: int | None
    rule: str
    old: float | None
    new: float
    limit: float
    broken: bool


def rules_from_text(text: str) -> tuple[Rule, ...]:
    """Read rules that stand between commas.

    Raises:
        UserError: says which is none, and what there is.
    """
    found = []
    for part in (part.strip() for part in text.split(",")):
        match = _RULE.fullmatch(part)
        if match is None or (match["by"] and match["x"]):
            raise UserError(
                f"--fail-on {part!r}: expected a measure, < or >, and a limit, such as "
                "latency>1.1x, cer>+0.2 or hmean<88"
            )
        if match["measure"] not in MEASURES:
            raise UserError(
                f"--fail-on {part!r}: no measure {match['measure']!r}; there are: "
                f"{', '.join(MEASURES)}"
            )
        found.append(
            Rule(
                text=part,
                measure=match["measure"],
                is_above=match["sign"] == ">",
                kind="times" if match["x"] else "plus" if match["by"] else "absolute",
                number=float(match["by"] + match["number"]),
                batch=_batch(match),
            )
        )
    return tuple(found)


def _batch(match: re.Match[str]) -> int | None:
    if match["batch"]:
        return int(match["batch"])
    return None if match["x"] or match["measure"] in ACCURACIES else 1


def load_report(path: Path) -> Report:
    """Read a report.json.

    Raises:
        InputFileError: it is none.
    """
    try:
        if path.stat().st_size > LARGEST_REPORT:
            raise InputFileError(f"{path}: over {LARGEST_REPORT >> 20} MiB")
        return Report.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputFileError(
            f"{path}: no report of ocr-trt bench: {place}: {first['msg']}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: cannot be read as a report: {error}") from None


def check_rules(new: Report, old: Report | None, rules: Sequence[Rule]) -> tuple[Check, ...]:
    """Hold all engines of a report against rules.

    Engines are told by their model's name and their own. One that the older report has not is held
    against absolute rules alone.

    Raises:
        UserError: a rule says nothing about any engine, so it could never be broken.
    """
    checks: list[Check] = []
    for rule in rules:
        found = list(_checks(new, old, rule))
        if not found:
            where = "both reports" if rule.is_relative else "the report"
            raise UserError(
                f"--fail-on {rule.text!r}: {rule.measure} was not measured of any engine in {where}"
            )
        checks += found
    return tuple(checks)


def _checks(new: Report, old: Report | None, rule: Rule) -> Iterator[Check]:
    older = dict(_engines(old)) if old else {}
    for key, (model, row) in _engines(new):
        before = older.get(key)
        for batch, value in _values(model, row, rule.measure):
            if rule.batch not in (None, batch):
                continue
            past = dict(_values(*before, rule.measure)).get(batch) if before else None
            if past is not None and batch is None:
                _check_samples(model, row, before, rule)
            if rule.is_relative and past is None:
                continue
            yield Check(
                model=model.name,
                engine=row.label,
                batch=batch,
                rule=rule.text,
                old=past,
                new=value,
                limit=rule.limit(past),
                broken=rule.is_broken(value, past),
            )


def _check_samples(
    model: ModelReport, row: SystemRow, before: tuple[ModelReport, SystemRow] | None, rule: Rule
) -> None:
    """Refuse to compare accuracies on different samples."""
    assert before is not None
    old_model, old_row = before
    assert row.accuracy is not None
    assert old_row.accuracy is not None
    found = (row.accuracy.samples, model.accuracy_against)
    past = (old_row.accuracy.samples, old_model.accuracy_against)
    if rule.is_relative and found != past:
        raise UserError(
            f"--fail-on {rule.text!r}: {row.label} was measured on {found[0]} samples against "
            f"{found[1]}, and in the older report on {past[0]} against {past[1]}"
        )


def _engines(
    report: Report,
) -> Iterator[tuple[tuple[str, str], tuple[ModelReport, SystemRow]]]:
    for model in report.models:
        for row in model.systems:
            if row.kind == "engine":
                yield (model.name, row.label), (model, row)


def _values(model: ModelReport, row: SystemRow, measure: str) -> Iterator[tuple[int | None, float]]:
    """Yield (batch, value); batch is None for accuracies, which are in points."""
    if measure in ACCURACIES:
        share = getattr(row.accuracy, measure) if row.accuracy else None
        if share is not None:
            yield None, 100 * share
        return
    for stats in row.latencies:
        if measure == "speedup":
            value = model.speedup(row, stats.batch)
        else:
            value = getattr(stats, "p50" if measure == "latency" else measure)
        if value is not None:
            yield stats.batch, value


def same_machine(new: Report, old: Report) -> bool:
    """Whether times of two reports can be compared at all."""
    return new.machine == old.machine and new.versions == old.versions
