"""From the original graph to the smallest one, in steps of the least error per cost saved.

Each layer or group of channels has a few options. The path starts with none of them. A step gives
one layer or group a smaller option: the one whose additional error per saved cost is least. So the
decisions of a point are those of the point before it, with one added or replaced. Layers of a
pruned group may be factored, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cost_model import CostModel
from .decisions import Decision, Factor

CHANNEL_FACTOR = 4.0
"""Errors of pruned groups add up to 3.5 to 5 times the sum of the single errors. Those of factored
layers add up to about the sum (docs/compression.md)."""
_LEAST_SAVED = 1e-3
"""Share of the whole cost that a step must save; less is noise of the measurement."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A decision, and the error that it causes alone."""

    decision: Decision
    error: float
    """Distance of the output from that of the original graph, ``OcrRole.output_distance``."""

    @property
    def place(self) -> tuple[str, str]:
        """The layer or the group that it is about; a graph has one decision for each place."""
        return place_of(self.decision)

    @property
    def expected_error(self) -> float:
        """What it adds to the error of a graph with other decisions."""
        single = max(0.0, self.error)
        return single if isinstance(self.decision, Factor) else CHANNEL_FACTOR * single


@dataclass(frozen=True, kw_only=True)
class PathPoint:
    """The decisions at one point of the path, with the predicted cost and error."""

    decisions: tuple[Decision, ...]
    cost: float
    error: float


def place_of(decision: Decision) -> tuple[str, str]:
    """Return what a decision is about: its kind, and the name of its layer or group."""
    name = decision.layer if isinstance(decision, Factor) else decision.group
    return decision.kind, name


def greedy_path(options: Sequence[Option], model: CostModel) -> tuple[PathPoint, ...]:
    """Return the points of the path; the first one has no decisions.

    Equal inputs give equal paths: of steps that are equally good, the one whose place has the
    first name is taken.
    """
    taken: dict[tuple[str, str], Option] = {}
    points = [PathPoint(decisions=(), cost=model.cost(()), error=0.0)]
    least = _LEAST_SAVED * points[0].cost
    ordered = sorted(options, key=lambda each: (each.place, each.error))
    saved = {id(option): _saved(option, taken, model) for option in ordered}
    while True:
        steps = [
            ((option.expected_error - _error(taken, option.place)) / saved[id(option)], n)
            for n, option in enumerate(ordered)
            if saved[id(option)] >= least
        ]
        if not steps:
            return tuple(points)
        chosen = ordered[min(steps)[1]]
        taken[chosen.place] = chosen
        decisions = tuple(each.decision for each in taken.values())
        error = sum(each.expected_error for each in taken.values())
        points.append(PathPoint(decisions=decisions, cost=model.cost(decisions), error=error))
        changed = set(model.affected(chosen.decision))
        for option in ordered:
            # Only options that share an op with the chosen one can save another amount now.
            if option.place == chosen.place or changed & set(model.affected(option.decision)):
                saved[id(option)] = _saved(option, taken, model)


def is_worthwhile(decision: Decision, model: CostModel) -> bool:
    """Return whether a decision alone saves enough to be a step of a path."""
    names = model.affected(decision)
    before, after = model.op_costs(names, []), model.op_costs(names, [decision])
    return sum(before.values()) - sum(after.values()) >= _LEAST_SAVED * model.cost([])


def _error(taken: dict[tuple[str, str], Option], place: tuple[str, str]) -> float:
    return taken[place].expected_error if place in taken else 0.0


def _saved(option: Option, taken: dict[tuple[str, str], Option], model: CostModel) -> float:
    """Return the cost that an option saves now; negative if the place has a smaller option."""
    known = taken.get(option.place)
    if known is option:
        return 0.0
    # Both options of a place may change ops, such as the one that is replaced.
    names = {*model.affected(option.decision)}
    names |= {*model.affected(known.decision)} if known is not None else set()
    before = [each.decision for each in taken.values()]
    after = [each.decision for each in taken.values() if each is not known] + [option.decision]
    costs = model.op_costs(names, before), model.op_costs(names, after)
    return sum(costs[0].values()) - sum(costs[1].values())
