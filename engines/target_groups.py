"""Groups of targets of which a build keeps one engine: a named target, or all that ``auto`` tries.

``auto`` stands for every target that can build and run an engine of the requested precision on this
machine. If only one can, ``auto`` means that target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError, unknown
from .base import Backend, BuildSettings
from .manifest import Precision
from .targets import backend, target_names

AUTO = "auto"
"""The name of the group with every target that can run on this machine."""


@dataclass(frozen=True, kw_only=True)
class TargetGroup:
    """Targets of which one gets the bundle."""

    name: str
    """The target as it was requested: the name of a target, or ``auto``."""
    members: tuple[Backend, ...]
    """One target, or several that are compared."""

    @property
    def is_compared(self) -> bool:
        """Whether there are several targets to compare."""
        return len(self.members) > 1


def target_groups(
    names: Sequence[str], precision: Precision, settings: BuildSettings
) -> list[TargetGroup]:
    """Return one group for each requested target.

    Raises:
        UserError: no target is requested, there is no such target, a target does not support the
            precision, or ``auto`` is requested together with a target that it tries.
        TargetMissingError: a named target cannot build on this machine.
    """
    if not names:
        raise UserError("no target is requested; give auto, or the names of targets")
    groups = []
    for name in dict.fromkeys(names):  # each name once
        if name not in (AUTO, *target_names()):
            raise UserError(unknown("target", name, [AUTO, *target_names()]))
        if name == AUTO:
            groups.append(TargetGroup(name=AUTO, members=_candidates(precision, settings)))
            continue
        target = backend(name)
        target.check_can_build()
        # A target may silently run a precision as another one, so it is checked before the build.
        target.check_precision(precision)
        groups.append(TargetGroup(name=name, members=(target,)))
    named = [group.name for group in groups]
    twice = [
        member.name
        for group in groups
        if group.name == AUTO
        for member in group.members
        if member.name in named
    ]
    if twice:
        raise UserError(
            f"target auto already tries {', '.join(twice)}; name auto alone, or name only the "
            "targets that you want"
        )
    return groups


def _candidates(precision: Precision, settings: BuildSettings) -> tuple[Backend, ...]:
    """Return the targets that can build and run engines of a precision here.

    Raises:
        UserError: there is none; states what each target can compute in.
    """
    usable = [target for target in map(backend, target_names()) if _is_usable(target, settings)]
    able = [each for each in usable if precision in (*each.precisions, "best")]
    if not able:
        known = "; ".join(f"{each.name}: {', '.join(each.precisions)}" for each in usable)
        raise UserError(
            f"no target that runs on this machine computes in {precision}; available: {known}"
        )
    return tuple(able)


def _is_usable(target: Backend, settings: BuildSettings) -> bool:
    found = target.availability()
    return found.can_build and found.can_run and target.can_run(settings)
