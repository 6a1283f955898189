"""The limits that ``bench --fail-on`` sets: what is shown of them, and when they fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RegressionError, UserError
from .console import print_table

if TYPE_CHECKING:
    from ..bench.regression import Rule, RuleCheck
    from ..bench.results import Report
    from ..engines.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Rules, and the older report they may speak of."""

    rules: tuple[Rule, ...]
    old: Report | None

    def check_bundles(self, bundles: Sequence[Bundle], *, is_labeled: bool) -> None:
        """Find, before anything is measured, the rules that say nothing about any engine.

        Raises:
            UserError: says which, and why as far as it can be told.
        """
        from ..bench.suited import check_comparable, check_suited

        for rule in self.rules:
            check_suited(rule, bundles, is_labeled=is_labeled)
        if self.old is not None:
            check_comparable(self.rules, bundles, self.old)

    def check(self, new: Report) -> tuple[RuleCheck, ...]:
        """Hold a report against the rules.

        Raises:
            UserError: a rule says nothing about any engine.
        """
        from ..bench.regression import check_rules

        return check_rules(new, self.old, self.rules)

    def show(self, new: Report, checks: Sequence[RuleCheck]) -> None:
        """Print what came of the rules."""
        if not checks:
            return
        header = ("engine", "must not be", "before", "now", "limit", "")
        print_table("Rules", header, [_row(check) for check in checks])
        if self.is_of_another_machine(new):
            print("note: the older report is of another machine or of other versions")

    def is_of_another_machine(self, new: Report) -> bool:
        """Whether times of the older report say little about this one."""
        from ..bench.regression import same_machine

        return self.old is not None and not same_machine(new, self.old)


def gate_from(fail_on: str | None, baseline: Path | None, *, has_data: bool) -> Gate:
    """Read the options; find what cannot be checked before anything is measured.

    Raises:
        UserError: a rule is none, or what it speaks of is not given.
        InputFileError: the older report is none.
    """
    from ..bench.regression import ACCURACIES, load_report, rules_from_text

    rules = rules_from_text(fail_on) if fail_on is not None else ()
    accuracy = next((rule.text for rule in rules if rule.measure in ACCURACIES), None)
    if accuracy is not None and not has_data:
        raise UserError(f"--fail-on {accuracy!r} needs images: --data DIR")
    relative = next((rule.text for rule in rules if rule.is_relative), None)
    if relative is not None and baseline is None:
        raise UserError(f"--fail-on {relative!r} needs an older report: --baseline report.json")
    if baseline is not None and relative is None:
        raise UserError("--baseline needs a rule that uses it, such as --fail-on 'speedup<0.9x'")
    return Gate(rules=rules, old=load_report(baseline) if baseline else None)


def fail_if_broken(checks: Sequence[RuleCheck]) -> None:
    """End with exit code 5 if a rule is broken.

    Raises:
        RegressionError: says which.
    """
    broken = [check for check in checks if check.broken]
    if broken:
        raise RegressionError(
            f"{'; '.join(map(_sentence, broken))}. If that is meant to be, keep this report as the "
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
