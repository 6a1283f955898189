"""Find out how many steps a Loop takes, before it runs.

A condition is a conjunction. The terms that depend only on counters and constants are computed step
by step; they state the largest number of steps. All other terms may end the loop earlier: a decoder
stops at the end-of-text symbol, for example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from ..graph import constant, name_of, not_none
from .loops import Carried, NoRecurrenceError, body_of, carried_values, itself

_MOST_STEPS = 2048
"""Loops with more steps are refused: an OCR model reads or writes at most some hundred symbols."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How often a loop runs."""

    count: int
    """The largest number of steps."""
    ends_early: bool
    """Whether values that the loop computes can end it before."""


class _UnknownError(Exception):
    """A value depends on more than counters and constants."""


def _terms(value: ir.Value) -> list[ir.Value]:
    """Split a condition at its And nodes."""
    value = itself(value)
    node = value.producer()
    if node is None or node.op_type != "And":
        return [value]
    return [term for each in node.inputs for term in _terms(not_none(each))]


class _Slice:
    """The part of a loop that computes one value from counters and constants.

    Raises _UnknownError if the value depends on anything else.
    """

    def __init__(self, loop: ir.Node, value: ir.Value) -> None:
        self._body = body_of(loop)
        self._carried = {each[1]: each for each in carried_values(loop)}
        self._nodes: dict[ir.Node, None] = {}
        self._states: dict[ir.Value, Carried] = {}
        self._constants: dict[str, npt.NDArray] = {}
        self._seen = set[ir.Value]()
        self._visit(value)
        self._result = value

    def _visit(self, value: ir.Value) -> None:
        todo = [value]
        for each in todo:  # the loop appends to the list
            array, node = constant(each), each.producer()
            if each in self._seen:
                continue
            self._seen.add(each)
            if array is not None:
                self._constants[name_of(each)] = array
            elif each in self._carried:
                start, _, after, _ = self._carried[each]
                if constant(start) is None:
                    raise _UnknownError
                self._states[each] = self._carried[each]
                todo.append(after)
            elif node is not None and node.graph is self._body:
                self._nodes[node] = None
                todo += [given for given in node.inputs if given is not None]
            elif each not in self._body.inputs[:2]:
                raise _UnknownError

    def values(self, limit: int) -> list[bool]:
        """Return the value after each step, until it is false or ``limit`` steps are done."""
        step, states = self._body.inputs[0], self._states
        nodes = [ir.to_proto(node) for node in self._body if node in self._nodes]
        results = [name_of(value) for value in (self._result, *(s[2] for s in states.values()))]
        entries = [*self._body.inputs[:2], *states]
        graph = onnx.helper.make_graph(
            nodes,
            "steps",
            [onnx.helper.make_empty_tensor_value_info(name_of(value)) for value in entries],
            [onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(results)],
            [onnx.numpy_helper.from_array(a, name) for name, a in self._constants.items()],
        )
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
        evaluator = ReferenceEvaluator(proto)
        feeds = {name_of(value): constant(state[0]) for value, state in states.items()}
        feeds[name_of(self._body.inputs[1])] = np.array(True)
        found = list[bool]()
        while len(found) < limit and all(found[-1:]):
            feeds[name_of(step)] = np.array(len(found), np.int64)
            answers = dict(zip(dict.fromkeys(results), evaluator.run(None, feeds), strict=True))
            found.append(bool(answers[results[0]]))
            after = [answers[name] for name in results[1:]]
            feeds.update(zip(map(name_of, states), after, strict=True))
        return found


def _limit_of(loop: ir.Node) -> int:
    """Return the limit that a Loop states; one more than the most steps if it states none."""
    if loop.inputs[0] is None:
        return _MOST_STEPS + 1
    limit = constant(loop.inputs[0])
    if limit is None:
        raise NoRecurrenceError("its number of steps depends on the image")
    return min(int(limit.item()), _MOST_STEPS + 1)


def steps_of(loop: ir.Node) -> Steps:
    """Return the number of steps of a Loop.

    Raises:
        NoRecurrenceError: it is not known, or too large.
    """
    body, count, unknown = body_of(loop), _limit_of(loop), 0
    begins = constant(loop.inputs[1])
    if begins is not None and not begins.any():
        return Steps(count=0, ends_early=False)
    terms: Sequence[ir.Value] = _terms(body.outputs[0])
    for term in terms:
        if term is body.inputs[1]:
            continue
        try:
            values = _Slice(loop, term).values(count)
        except _UnknownError:
            unknown += 1
            continue
        # After the first false value the loop ends, so it has taken that many steps.
        count = min(count, len(values))
    if count > _MOST_STEPS:
        raise NoRecurrenceError(
            "its number of steps depends on the image"
            if unknown
            else f"it has more than {_MOST_STEPS} steps"
        )
    is_open = begins is None and loop.inputs[1] is not None
    return Steps(count=count, ends_early=bool(unknown) or is_open)
