"""Count the nodes that a graph has once the calls of its functions are inlined.

Functions that call each other twice double the number of nodes at every level: 1 KB of text can
describe 10^12 nodes. So nodes are counted before any library inlines them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from .limits import COUNTED_UP_TO


@dataclass(kw_only=True)
class Body:
    """The content of a function or graph, without what it calls."""

    nodes: int = 0
    edges: int = 0
    """Inputs and outputs of the nodes."""
    depth: int = 0
    """Inner graphs within each other."""
    calls: Counter[Hashable] = field(default_factory=Counter)
    """How often it calls each function, by the function's key."""


class RecursiveCallError(Exception):
    """A function calls itself, directly or through others. The argument is its key."""


def inlined(bodies: Mapping[Hashable, Body]) -> dict[Hashable, Body]:
    """Return each body with the numbers that it has after inlining; calls stay as they are.

    A call of an unknown function counts as one node. Takes time proportional to the number of
    functions and of different calls.

    Raises:
        RecursiveCallError: a function calls itself.
    """
    done, active = dict[Hashable, Body](), set[Hashable]()
    for root in bodies:
        todo = [root]
        while todo:  # a stack instead of recursion: calls may be nested deeper than Python's stack
            key = todo[-1]
            if key in done:
                todo.pop()
                continue
            body = bodies[key]
            missing = [each for each in body.calls if each in bodies and each not in done]
            if missing:
                active.add(key)
                for each in active.intersection(missing):  # active: the functions that called it
                    raise RecursiveCallError(each)
                todo += missing
                continue
            active.discard(key)
            done[todo.pop()] = _with_calls(body, done)
    return done


def _with_calls(body: Body, done: Mapping[Hashable, Body]) -> Body:
    """Add the numbers of the functions that a body calls."""
    called = [(done[key], count) for key, count in body.calls.items() if key in done]
    # A call is a node itself, which its function replaces.
    nodes = body.nodes + sum(count * (each.nodes - 1) for each, count in called)
    edges = body.edges + sum(count * each.edges for each, count in called)
    return Body(
        nodes=min(nodes, COUNTED_UP_TO),
        edges=min(edges, COUNTED_UP_TO),
        depth=body.depth + max((each.depth + 1 for each, _ in called), default=0),
        calls=body.calls,
    )
