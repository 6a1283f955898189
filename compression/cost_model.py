"""Predict the cost of a graph after several decisions, from measurements of a few graphs.

The cost of an op depends on the share of its FLOPs that remains. The curve of an op is measured in
a few graphs in which all layers were made smaller by the same share, so that the times contain what
the target fuses and reorders. A factored op has a curve of its own, because two ops cost more than
one of the same FLOPs.

    cost of an op that is not factored = dense(read * written)
    cost of a factored op              = factored(first * read + second * written)

``read`` and ``written`` are products over the groups of channels that the op takes part in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .decisions import Decision, Factor
from .op_shares import OpShare

SPLIT = 1.12
"""Cost of two ops relative to one of the same FLOPs, where nothing was measured."""


class Curve:
    """A cost by the share of the work that remains, linear between the points.

    The cost never grows when the share falls: what looks like growth is noise.

    Args:
        points: pairs (share, cost). Costs of equal shares are averaged.
    """

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        same = defaultdict[float, list[float]](list)
        for share, cost in points:
            same[round(share, 6)].append(cost)
        self._shares = sorted(same)
        self._costs = [sum(same[share]) / len(same[share]) for share in self._shares]
        # From the largest share down, so that a noisy point never makes a smaller op dearer.
        for index in reversed(range(len(self._costs) - 1)):
            self._costs[index] = min(self._costs[index], self._costs[index + 1])

    def at(self, share: float) -> float:
        """Return the cost at a share."""
        shares, costs = self._shares, self._costs
        place = bisect_left(shares, share)
        if place == 0:  # below all points: proportional to the smallest one
            return costs[0] * share / shares[0] if shares[0] else costs[0]
        if place == len(shares):  # above all points
            return costs[-1] * share / shares[-1]
        low, high = shares[place - 1], shares[place]
        weight = (share - low) / (high - low)
        return costs[place - 1] * (1 - weight) + costs[place] * weight


@dataclass(frozen=True, kw_only=True)
class OpCost:
    """The curves of one op."""

    dense: Curve
    factored: Curve


def proportional_cost(cost: float) -> OpCost:
    """Return the curves of an op whose cost is proportional to its FLOPs."""
    return OpCost(dense=Curve([(1.0, cost)]), factored=Curve([(1.0, SPLIT * cost)]))


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Predicts costs in the unit of the measurements, such as milliseconds.

    ``rest``: the cost of everything that no decision changes.
    """

    ops: Mapping[str, OpCost]
    rest: float = 0.0
    shares: Mapping[Decision, Mapping[str, OpShare]] = field(default_factory=dict)
    """For each decision that may be taken: the ops that it makes smaller."""

    def cost(self, decisions: Sequence[Decision]) -> float:
        """Return the cost of the whole graph."""
        return self.rest + sum(self.op_costs(self.ops, decisions).values())

    def op_costs(self, names: Iterable[str], decisions: Sequence[Decision]) -> dict[str, float]:
        """Return the costs of some ops after decisions on layers and groups, each at most once."""
        read, written = defaultdict[str, float](lambda: 1.0), defaultdict[str, float](lambda: 1.0)
        parts = dict[str, OpShare]()
        for decision in decisions:
            for name, share in self.shares[decision].items():
                if isinstance(decision, Factor) and share.first is not None:
                    parts[name] = share
                else:
                    read[name] *= share.read
                    written[name] *= share.written
        return {
            name: _op_cost(self.ops[name], read[name], written[name], parts.get(name))
            for name in names
            if name in self.ops
        }

    def affected(self, decision: Decision) -> Iterable[str]:
        """Return the ops that a decision makes smaller."""
        return self.shares[decision].keys()


def _op_cost(op: OpCost, read: float, written: float, parts: OpShare | None) -> float:
    if parts is None or parts.first is None:
        return op.dense.at(read * written)
    return op.factored.at(parts.first * read + parts.second * written)
