"""Interpret an ONNX Loop or Scan as a recurrence over a sequence.

    for t in 0 .. T-1:  states, y[t] = step(x[t], states)

tf2onnx turns a ``tf.while_loop`` over a TensorArray, of TensorFlow 1 and 2, into such a Loop, and
TensorFlow 1's ``dynamic_rnn`` into a Scan. See docs/decisions/0010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..analysis.regions import evaluate, nodes_between, positions, submodel
from ..graph import (
    attribute,
    constant,
    is_read,
    name_of,
    not_none,
    producer,
    shape_of,
    static_shape,
)

_TURNS = (
    *("scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"),
)
"""Attributes of a Scan that are all 0 if it goes forward along axis 0."""
_VIEWS = ("Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast")


@dataclass(frozen=True, kw_only=True)
class State:
    """A float value (N, H) that is carried from step to step."""

    start: ir.Value
    """Before the first step."""
    inside: ir.Value
    """In the body, before a step."""
    after: ir.Value
    """In the body, after a step."""
    final: ir.Value
    """The output of the loop, after the last step."""


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """A Loop or Scan over a sequence."""

    loop: ir.Node
    body: ir.Graph
    counters: tuple[ir.Value, ...]
    """Values in the body that equal t."""
    sequence: ir.Value
    """x (T, N, K)."""
    step_input: ir.Value
    """x[t] in the body, (N, K)."""
    states: tuple[State, ...]
    results: tuple[tuple[ir.Value, ir.Value], ...]
    """(y[t] in the body, the loop's stacked output), for each output that is used."""


class NoRecurrenceError(Exception):
    """A loop cannot be interpreted as a recurrence; the text states why."""


def body_of(loop: ir.Node) -> ir.Graph:
    """Return the body of a Loop or Scan."""
    return loop.attributes["body"].as_graph()


Carried = tuple[ir.Value | None, ir.Value, ir.Value, ir.Value]
"""A carried value: (start, inside, after, final) as in :class:`State`."""


def carried_values(loop: ir.Node) -> list[Carried]:
    """Return all carried values of a Loop or Scan."""
    # A Loop has (limit, condition) in front of the carried values, its body (step, condition), and
    # the body returns a condition too. A Scan has the sequences behind the carried values.
    ahead, given = (2, 1) if loop.op_type == "Loop" else (0, 0)
    count = len(loop.inputs) - ahead - attribute(loop, "num_scan_inputs", 0)
    body = body_of(loop)
    parts = (
        loop.inputs[ahead : ahead + count],
        body.inputs[ahead : ahead + count],
        body.outputs[given : given + count],
        loop.outputs[:count],
    )
    return list(zip(*parts, strict=True))


def lift_invariants(loop: ir.Node) -> None:
    """Replace carried values that never change, in the body, by their start values."""
    for start, inside, after, _ in carried_values(loop):
        if itself(after) is inside and start is not None:
            for node, index in list(inside.uses()):
                node.replace_input_with(index, start)


def counts(inside: ir.Value, after: ir.Value) -> bool:
    """Whether a carried value grows by one at each step."""
    add = producer(itself(after), "Add")
    if add is None or not any(value is inside for value in add.inputs):
        return False
    steps = [constant(value) for value in add.inputs if value is not inside]
    return len(steps) == 1 and steps[0] is not None and steps[0].size == 1 and steps[0].item() == 1


def through_views(value: ir.Value | None) -> ir.Value | None:
    """Skip the views and casts that a value goes through."""
    while (node := producer(value, *_VIEWS)) is not None:
        value = node.inputs[0]
    return value


def _sequence_read(body: ir.Graph, counters: Sequence[ir.Value]) -> tuple[ir.Value, ir.Value]:
    """Return the sequence and the body's value x[t]."""
    # A Gather along axis 0 of a value from outside, at the counter.
    reads = [
        node
        for node in body
        if node.op_type == "Gather"
        and attribute(node, "axis", 0) == 0
        and any(through_views(node.inputs[1]) is counter for counter in counters)
        and not_none(node.inputs[0]).graph is not body
    ]
    if len(reads) != 1:
        raise NoRecurrenceError(f"it reads {len(reads)} sequences by its counter, expected one")
    read = reads[0].outputs[0]
    index_rank = len(not_none(reads[0].inputs[1]).shape or ())
    if index_rank == 1:  # x[t : t + 1], of which the body must drop the first axis
        uses = list(read.uses())
        if len(uses) != 1 or uses[0][0].op_type not in ("Squeeze", "Reshape"):
            raise NoRecurrenceError("it reads slices of the sequence, expected one step at a time")
        read = uses[0][0].outputs[0]
    return not_none(reads[0].inputs[0]), read


def _check_steps(model: ir.Model, loop: ir.Node, counters: Sequence[ir.Value], steps: int) -> None:
    """Check that the loop ends after exactly the sequence's last step."""
    body, limit, begins = body_of(loop), constant(loop.inputs[0]), constant(loop.inputs[1])
    if (loop.inputs[0] is not None and limit is None) or (
        loop.inputs[1] is not None and (begins is None or not begins)
    ):
        raise NoRecurrenceError("its number of steps is not known before it starts")
    # A Loop ends after its limit, or when its condition becomes false.
    most, again = None if limit is None else int(limit.item()), itself(body.outputs[0])
    if most is not None and most < steps:
        raise NoRecurrenceError(f"it ends after {most} of the {steps} steps of its sequence")
    always = again is body.inputs[1] or bool((fixed := constant(again)) is not None and fixed)
    if most == steps and always:
        return
    nodes = nodes_between(counters, again, positions(body))
    if nodes is None:
        raise NoRecurrenceError("its last step depends on the values that it computes")
    # The condition depends on the counters alone: compute it for each step.
    read = [c for c in counters if any(c in node.inputs for node in nodes)]
    for value in read:
        value.shape = ir.Shape(()) if value.shape is None else value.shape
    proto = submodel(model, read, again, nodes)
    for step in range(steps):
        feeds = {name_of(c): np.full(shape_of(c), step, dtype_of(c)) for c in read}
        goes_on = evaluate(proto, feeds)
        is_last = step + 1 == steps
        if goes_on is None or (bool(goes_on) == is_last and not (is_last and most == steps)):
            raise NoRecurrenceError(f"it does not end after the {steps} steps of its sequence")


def dtype_of(value: ir.Value) -> np.dtype:
    """Return the NumPy type of a value's elements, which must be known."""
    assert value.dtype is not None
    return value.dtype.numpy()


def itself(value: ir.Value) -> ir.Value:
    """Skip an Identity, which exporters write in front of the outputs of a body."""
    node = producer(value, "Identity")
    return value if node is None else not_none(node.inputs[0])


def recurrence_of(model: ir.Model, loop: ir.Node) -> Recurrence:
    """Interpret a Loop or Scan as a recurrence.

    Raises:
        NoRecurrenceError: it is no recurrence, or one of a form that is not supported.
    """
    lift_invariants(loop)
    body, carried = body_of(loop), carried_values(loop)
    is_scan = loop.op_type == "Scan"
    counters, states = _divided(carried)
    if is_scan:
        sequence, step_input = _scanned(loop, len(carried))
    else:
        counters.insert(0, body.inputs[0])
        sequence, step_input = _sequence_read(body, counters)
    shape = static_shape(sequence)
    if shape is None or len(shape) != 3:
        raise NoRecurrenceError(f"its sequence has shape {sequence.shape}, expected (T, N, K)")
    for state in states:
        begin_shape = static_shape(state.start)
        if begin_shape is None or len(begin_shape) != 2 or begin_shape[0] != shape[1]:
            raise NoRecurrenceError(f"its state has shape {state.start.shape}, expected (N, H)")
    if any(v.dtype != ir.DataType.FLOAT for v in (sequence, *(s.start for s in states))):
        raise NoRecurrenceError("it does not compute in float32")
    if not is_scan:
        _check_steps(model, loop, counters, shape[0])
    # The body of a Loop returns its condition first.
    behind = len(carried) + (not is_scan)
    stacked = zip(body.outputs[behind:], loop.outputs[len(carried) :], strict=True)
    return Recurrence(
        loop=loop,
        body=body,
        counters=tuple(counters),
        sequence=sequence,
        step_input=step_input,
        states=tuple(states),
        results=tuple((itself(value), out) for value, out in stacked if is_read(out)),
    )


def _divided(carried: Sequence[Carried]) -> tuple[list[ir.Value], list[State]]:
    """Divide the carried values into counters and states."""
    counters, states = list[ir.Value](), list[State]()
    # A value that grows by 1 per step is a counter; one that never changes is neither.
    for start, inside, after, final in carried:
        if itself(after) is inside:
            continue
        begin = constant(start)
        if counts(inside, after) and (begin is None or begin.size == 1):
            if begin is None or begin.item() != 0 or is_read(final):
                raise NoRecurrenceError(
                    "its counter does not start at 0, or is read after the loop"
                )
            inside.shape = ir.Shape(begin.shape)
            counters.append(inside)
        else:
            states.append(
                State(start=not_none(start), inside=inside, after=itself(after), final=final)
            )
    return counters, states


def _scanned(scan: ir.Node, carried: int) -> tuple[ir.Value, ir.Value]:
    """Return the sequence and the body's value x[t] of a Scan that goes forward along axis 0."""
    turned = [name for name in _TURNS if any(attribute(scan, name, ()))]
    if turned or attribute(scan, "num_scan_inputs") != 1:
        count, other = attribute(scan, "num_scan_inputs"), ", ".join(turned) or "none"
        raise NoRecurrenceError(
            f"it reads {count} sequences; axes or directions that differ from forward along axis "
            f"0: {other}; expected one sequence, forward along axis 0"
        )
    return not_none(scan.inputs[carried]), body_of(scan).inputs[carried]
