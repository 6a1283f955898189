"""Check a report, alone or against an older one, by rules such as ``latency>1.1x,cer>+0.2``.

A rule states what must not happen: a measure, ``<`` or ``>``, and a limit. The limit ``1.1x`` is a
multiple of the older value, ``+0.2`` or ``-0.5`` is a distance from the older value, and a plain
number is the limit itself. Rules on times apply to all batch sizes if the limit is a multiple, and
otherwise to batch 1. ``throughput@16<200`` applies to batch 16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..common.json_files import read_model
from ..errors import InputFileError, UserError
from .results import ModelReport, Report, SystemRow

LATENCIES = ("latency", "p90", "p99", "throughput")
"""In milliseconds (latency is the median) and images per second."""
ACCURACIES = (
    *("hmean", "precision", "recall", "word_accuracy", "loose_word_accuracy", "cer", "accuracy"),
    *("e2e_hmean", "e2e_precision", "e2e_recall"),
)
"""In percent, 0..100."""
MEASURES = (*LATENCIES, "speedup", *ACCURACIES)
_MAX_REPORT_BYTES = 1 << 28  # a report contains images

# A measure, an optional "@" and batch size, "<" or ">", and a limit: "1.1x", "+0.2" or "88".
_RULE = re.compile(
    r"(?P<measure>\w+)(@(?P<batch>\d{1,4}))?\s*(?P<sign>[<>])\s*"
    r"(?P<by>[+-]?)(?P<number>\d{1,9}(\.\d{1,9})?)(?P<x>x?)"
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition that an engine must not meet. ``text``: as the user wrote it."""

    text: str
    measure: str
    is_above: bool
    kind: Literal["times", "plus", "absolute"]
    number: float
    batch: int | None = None
    """The only batch size that the rule applies to; None: all."""

    @property
    def is_relative(self) -> bool:
        """Whether its limit depends on an older report."""
        return self.kind != "absolute"

    def limit(self, old: float | None) -> float:
        """Return the limit of the measure, given its older value."""
        if self.kind == "absolute":
            return self.number
        assert old is not None
        return old * self.number if self.kind == "times" else old + self.number

    def is_broken(self, new: float, old: float | None) -> bool:
        """Whether a value is beyond the limit."""
        return new > self.limit(old) if self.is_above else new < self.limit(old)


@dataclass(frozen=True, kw_only=True)
class RuleCheck:
    """One rule applied to one engine.

    ``batch`` is None for accuracies. ``old`` is None if there is no older value.
    """

    model: str
    engine: str
    batch: int | None
    rule: str
    old: float | None
    new: float
    limit: float
    broken: bool


def rules_from_text(text: str) -> tuple[Rule, ...]:
    """Read rules separated by commas.

    Raises:
        UserError: names the part that is not a rule, and what is expected.
    """
    rules = []
    for part in (part.strip() for part in text.split(",")):
        match = _RULE.fullmatch(part)
        if match is None or (match["by"] and match["x"]):
            raise UserError(
                f"--fail-on {part!r}: expected a measure, < or >, and a limit, such as "
                "latency>1.1x, cer>+0.2 or hmean<88"
            )
        if match["measure"] not in MEASURES:
            raise UserError(
                f"--fail-on {part!r}: unknown measure {match['measure']!r}; the measures are: "
                f"{', '.join(MEASURES)}"
            )
        rules.append(
            Rule(
                text=part,
                measure=match["measure"],
                is_above=match["sign"] == ">",
                kind="times" if match["x"] else "plus" if match["by"] else "absolute",
                number=float(match["by"] + match["number"]),
                batch=_batch(match),
            )
        )
    return tuple(rules)


def _batch(match: re.Match[str]) -> int | None:
    if match["batch"]:
        if match["measure"] in ACCURACIES:
            raise UserError(
                f"--fail-on {match[0]!r}: accuracies have no batch size; remove @ and the number"
            )
        return int(match["batch"])
    # A multiple applies to every batch size; a number or a distance applies to batch 1.
    return None if match["x"] or match["measure"] in ACCURACIES else 1


def load_report(path: Path) -> Report:
    """Read a report.json.

    Raises:
        InputFileError: the file cannot be read, or is not a report of bench.
    """
    try:
        return read_model(path, Report, limit=_MAX_REPORT_BYTES)
    except InputFileError as error:
        raise InputFileError(f"{error}; give a report.json that ocr-trt bench wrote") from None


def check_rules(new: Report, old: Report | None, rules: Sequence[Rule]) -> tuple[RuleCheck, ...]:
    """Apply rules to all engines of a report.

    Engines of two reports match by the name of the model, its input shape and their label.

    Raises:
        UserError: a rule applies to no engine, so it could never be broken; or an engine cannot be
            compared, because the older report does not have it or used other samples.
    """
    checks: list[RuleCheck] = []
    if old is not None:
        # If the older report has no end-to-end part, only the models are compared.
        own = new if old.end_to_end else new.model_copy(update={"end_to_end": None})
        check_engines(_engines(own), old)
    for rule in rules:
        rule_checks = list(_checks(new, old, rule))
        if not rule_checks:
            where = "both reports" if rule.is_relative else "the report"
            at = "" if rule.batch is None else f" at batch {rule.batch}"
            raise UserError(
                f"--fail-on {rule.text!r}: {rule.measure} was not measured{at} for any engine in "
                f"{where}"
            )
        checks += rule_checks
    return tuple(checks)


def _checks(new: Report, old: Report | None, rule: Rule) -> Iterator[RuleCheck]:
    # Engines of both reports match by their key; a new engine has no older values.
    older = _engines(old) if old else {}
    for key, (model, row) in _engines(new).items():
        before = older.get(key)
        for batch, value in _values(model, row, rule.measure):
            if rule.batch not in (None, batch):
                continue
            past = dict(_values(*before, rule.measure)).get(batch) if before else None
            # No batch: an accuracy, comparable only on the same samples in the same runtime.
            if old and before and past is not None and batch is None and rule.is_relative:
                _check_samples(rule, (new, model, row), (old, *before))
            if rule.is_relative and past is None:
                continue
            yield RuleCheck(
                model=model.name,
                engine=row.label,
                batch=batch,
                rule=rule.text,
                old=past,
                new=value,
                limit=rule.limit(past),
                broken=rule.is_broken(value, past),
            )


def _stable(label: str) -> str:
    """Return a label without the precision that ``best`` chose: each build may choose another."""
    return re.sub(r" best \((int8|fp16|bf16|fp32)\)", " best", label)


EngineKey = tuple[str, tuple[int, int, int], str]
"""Identifies an engine: the model's name, its input (C, H, W) and the engine's label."""
_Engines = dict[EngineKey, tuple[ModelReport, SystemRow]]


def _engines(report: Report) -> _Engines:
    engines: _Engines = {}
    for model in report.parts:
        for row in model.systems:
            key = (model.name, model.input_shape, _stable(row.label))
            if row.kind == "engine" and engines.setdefault(key, (model, row)) != (model, row):
                raise UserError(
                    f"--baseline: two engines of a report have the label {row.label!r}; leave one "
                    "of them out"
                )
    return engines


def check_engines(keys: Iterable[EngineKey], old: Report) -> None:
    """Check that an older report has the engines that will be compared with it.

    Raises:
        UserError: it does not have one of them; names those that it has.
    """
    older = _engines(old)
    for name, shape, label in keys:
        if (name, shape, _stable(label)) not in older:
            known = ", ".join(repr(key[2]) for key in older) or "none"
            raise UserError(
                f"--baseline: the older report has no {label!r} of {name!r} at {shape}; it has "
                f"{known}. Measure the older report again, or leave the engine out"
            )


def _check_samples(
    rule: Rule,
    new: tuple[Report, ModelReport, SystemRow],
    old: tuple[Report, ModelReport, SystemRow],
) -> None:
    """Refuse to compare accuracies on different samples, or of different runtimes."""
    descriptions = []
    for report, model, row in (new, old):
        assert row.accuracy is not None
        data = f", SHA-256 {report.data_sha256[:12]}" if report.data_sha256 else ""
        descriptions.append(
            f"on {row.accuracy.samples} samples against {model.accuracy_against}{data}, run by "
            f"{_stable(row.accuracy.run_by)}"
        )
    if descriptions[0] != descriptions[1]:
        raise UserError(
            f"--fail-on {rule.text!r}: {new[2].label} was measured {descriptions[0]}, but in the "
            f"older report {descriptions[1]}; measure the older report again"
        )


def _values(model: ModelReport, row: SystemRow, measure: str) -> Iterator[tuple[int | None, float]]:
    """Yield (batch, value); batch is None for accuracies, which are in percent."""
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
    """Whether times of two reports can be compared."""
    return new.machine == old.machine and new.versions == old.versions
