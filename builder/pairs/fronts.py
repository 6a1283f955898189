"""Pareto fronts: the choices that no other choice beats in every respect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

_Choice = TypeVar("_Choice")


def pareto_front(
    choices: Sequence[_Choice], costs_of: Callable[[_Choice], tuple[float, ...]]
) -> list[_Choice]:
    """Return the choices that are not dominated, in their order.

    A choice is dominated if another one is no worse in any cost, and better in one of them. Of
    choices that are equal in all costs, the first remains.

    Args:
        choices: the choices.
        costs_of: returns the costs of a choice, such as time and loss; less is better.
    """
    costs = [costs_of(each) for each in choices]

    def is_beaten(index: int) -> bool:
        own = costs[index]
        return any(
            all(a <= b for a, b in zip(other, own, strict=True)) and (other != own or rank < index)
            for rank, other in enumerate(costs)
            if rank != index
        )

    return [each for index, each in enumerate(choices) if not is_beaten(index)]
