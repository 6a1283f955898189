"""The limits of ``bench --fail-on``: their options, their table, and the error they raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RegressionError, UserError
from .printing import print_table

if TYPE_CHECKING:
    from ..bench.regression import Rule, RuleCheck
    from ..bench.results import Report
    from ..engines.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """The options that set limits."""

    fail_on: Annotated[
        str | None,
        typer.Option(
            help="End with exit code 5 if a rule is broken, such as speedup<0.9x,cer>+0.2: the "
            "speedup is under 0.9 times that in --baseline, or the CER is over 0.2 points higher. "
            "hmean<88 needs no --baseline. Rules for times apply at batch 1, or at batch 16 with "
            "throughput@16<200."
        ),
    ] = None
    baseline: Annotated[
        Path | None, typer.Option(help="An older report.json for --fail-on to compare with.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Rules, and the older report that relative rules compare with."""

    rules: tuple[Rule, ...]
    old: Report | None

    def check_bundles(self, bundles: Sequence[Bundle], *, is_labeled: bool) -> None:
        """Check, before anything is measured, that every rule applies to an engine.

        Raises:
            UserError: names a rule that applies to no engine.
        """
        from ..bench.applicable_rules import check_applicable, check_comparable

        for rule in self.rules:
            check_applicable(rule, bundles, is_labeled=is_labeled)
        if self.old is not None:
            check_comparable(self.rules, bundles, self.old)

    def show(self, new: Report, checks: Sequence[RuleCheck]) -> None:
        """Print which rules hold and which are broken."""
        if not checks:
            return
        header = ("engine", "must not be", "before", "now", "limit", "result")
        print_table("Rules", header, [_row(check) for check in checks])
        if self.is_of_another_machine(new):
            print(
                "note: the older report is from another machine or other versions, so its times "
                "may not be comparable"
            )

    def is_of_another_machine(self, new: Report) -> bool:
        """Whether the older report's times cannot be compared with those of ``new``."""
        from ..bench.regression import same_machine

        return self.old is not None and not same_machine(new, self.old)


def limits_from(options: LimitOptions, *, has_data: bool) -> Limits:
    """Parse the rules and read the older report.

    Raises:
        UserError: a rule cannot be parsed, or needs an option that was not given.
        InputFileError: the older report cannot be read.
    """
    if options.fail_on is None and options.baseline is None:
        return Limits(rules=(), old=None)
    from ..bench.regression import ACCURACIES, load_report, rules_from_text

    rules = rules_from_text(options.fail_on) if options.fail_on is not None else ()
    accuracy = next((rule.text for rule in rules if rule.measure in ACCURACIES), None)
    if accuracy is not None and not has_data:
        raise UserError(f"--fail-on {accuracy!r} needs images: --data DIR")
    relative = next((rule.text for rule in rules if rule.is_relative), None)
    if relative is not None and options.baseline is None:
        raise UserError(f"--fail-on {relative!r} needs an older report: --baseline report.json")
    # Otherwise, --baseline would have no effect.
    if options.baseline is not None and relative is None:
        raise UserError("--baseline needs a rule that uses it, such as --fail-on 'speedup<0.9x'")
    return Limits(rules=rules, old=load_report(options.baseline) if options.baseline else None)


def fail_if_broken(checks: Sequence[RuleCheck]) -> None:
    """End with exit code 5 if a rule is broken.

    Raises:
        RegressionError: names the broken rules.
    """
    broken = [check for check in checks if check.broken]
    if broken:
        raise RegressionError(
            f"{'; '.join(map(_sentence, broken))}. If this is intended, keep this report as the "
            "new baseline or change --fail-on"
        )


def _name(check: RuleCheck) -> str:
    return check.engine if check.batch is None else f"{check.engine} at batch {check.batch}"


def _row(check: RuleCheck) -> tuple[str, ...]:
    old = "-" if check.old is None else f"{check.old:.2f}"
    word = "broken" if check.broken else "holds"
    return _name(check), check.rule, old, f"{check.new:.2f}", f"{check.limit:.2f}", word


def _sentence(check: RuleCheck) -> str:
    older = "" if check.old is None else f", {check.old:.2f} before"
    return f"{_name(check)}: {check.rule}: {check.new:.2f}{older}, the limit is {check.limit:.2f}"
