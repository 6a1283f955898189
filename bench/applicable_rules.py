"""Check before the measurement that rules of ``--fail-on`` apply to the given bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engines.bundle import Bundle
from ..engines.bundle_source import check_source_trusted
from ..engines.targets import backend
from ..errors import InputFileError, UserError
from ..spec import Role
from .regression import ACCURACIES, Rule, check_engines, check_rules
from .results import Report
from .systems import grouped, labels_of, timed_batches

_LABELS_ONLY = "loose_word_accuracy"
_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("hmean", "precision", "recall"), "detector"),
    "accuracy": "classifier",
}
"""The role that has a measure, if it is not the recognizer."""


def check_comparable(rules: Sequence[Rule], bundles: Sequence[Bundle], old: Report) -> None:
    """Check that an older report has what the rules compare, for all bundles.

    Raises:
        UserError: names what the older report does not have.
    """
    # The older report compared with itself: an error means that it lacks a measure.
    check_rules(old, old, [rule for rule in rules if rule.is_relative])
    for group in grouped(bundles):
        spec = group[0].spec
        shape = (spec.input.channels, *spec.input.size)
        check_engines([(spec.name, shape, label) for label in labels_of(group)], old)


def check_applicable(rule: Rule, bundles: Sequence[Bundle], *, is_labeled: bool) -> None:
    """Check that a rule can apply to an engine of the bundles, as far as is known before a run.

    Raises:
        UserError: states why the rule applies to no engine, or what will be measured.
    """
    is_accuracy = rule.measure in ACCURACIES
    why = _accuracy(rule, bundles, is_labeled) if is_accuracy else _time(rule, bundles)
    if why:
        raise UserError(f"--fail-on {rule.text!r}: the rule applies to no engine here: {why}")


# Both functions return why a rule applies to no engine; "" if it applies.
def _accuracy(rule: Rule, bundles: Sequence[Bundle], is_labeled: bool) -> str:
    roles = sorted(group[0].spec.role for group in grouped(bundles))
    if rule.measure == _LABELS_ONLY and not is_labeled:
        return f"{_LABELS_ONLY} requires images with labels"
    if rule.measure.startswith("e2e_"):
        expected = ["detector", "recognizer"]
        pair = [role for role in roles if role in expected]
        return "" if pair == expected else _mismatch(rule, expected, roles)
    role = _ROLES.get(rule.measure, "recognizer")
    return "" if role in roles else _mismatch(rule, [role], roles)


def _mismatch(rule: Rule, expected: Sequence[str], roles: Sequence[str]) -> str:
    required, given = (" and ".join(f"one {role}" for role in each) for each in (expected, roles))
    return f"{rule.measure} requires {required}; given: {given}"


def _time(rule: Rule, bundles: Sequence[Bundle]) -> str:
    # Plans that run here: a target may be able to build on this machine, but not to run.
    timed = [b for b in bundles if backend(b.manifest.target).can_run_built(b.manifest.settings)]
    if not timed:
        targets = ", ".join(sorted({bundle.manifest.target for bundle in bundles}))
        return f"{targets} cannot run on this machine, so nothing is timed"
    batches = sorted({batch for bundle in timed for batch in timed_batches(bundle.spec)})
    if rule.batch not in (None, *batches):
        return f"batch size {rule.batch} is not timed; timed: {', '.join(map(str, batches))}"
    if rule.measure != "speedup":
        return ""
    models = [b for b in timed if b.spec.source.path.exists()]
    if not models:
        missing = ", ".join(sorted({str(bundle.spec.source.path) for bundle in timed}))
        return f"speedup requires the model, and {missing} does not exist"
    reasons = [_why_not_run(bundle) for bundle in models]
    return "" if "" in reasons else f"speedup requires the model: {reasons[0]}"


def _why_not_run(bundle: Bundle) -> str:
    try:
        check_source_trusted(bundle)
    except InputFileError as error:
        return str(error)
    return ""
