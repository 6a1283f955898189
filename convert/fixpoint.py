"""A budget of rewrites: rules that undo each other end in an error in place of an endless loop."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from ..errors import ConversionError

_LEAST, _PER_NODE = 1000, 20
"""Rewrites that any pass may make, and those that it may make in addition for each node."""
_RECENT = 12
"""Number of rewrites that an error reports: the last ones, which repeat."""


class RewriteBudget:
    """Counts the rewrites of one pass.

    Every pass ends for a reason that its docstring states. The budget reports a pass for which that
    reason does not hold.
    """

    def __init__(self, name: str, graph: ir.Graph) -> None:
        self._name, self._limit = name, _LEAST + _PER_NODE * len(graph)
        self.spent = 0
        """The number of rewrites so far."""
        self._recent = list[str]()

    def spend(self, rule: str, place: str) -> None:
        """Count a rewrite by ``rule``; ``place``: the value or node that it replaced.

        Raises:
            ConversionError: the budget is spent; names the rules that fired last, and the place.
        """
        self.spent += 1
        self._recent = [*self._recent[1 - _RECENT :], rule]
        if self.spent <= self._limit:
            return
        fired = Counter(self._recent).most_common()
        rules = ", ".join(f"{rule} ({count} of the last {_RECENT})" for rule, count in fired)
        raise ConversionError(
            f"{self._name} did not finish after {self.spent} rewrites of the graph; the last one "
            f"was at {place}. Rules that fired: {rules}. Please report this model; until then, end "
            "it before this node (output.name in the spec)"
        )
