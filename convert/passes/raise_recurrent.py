"""Loops over time -> LSTM, GRU or RNN.

    Loop(x; body = one step)   ->  Squeeze(LSTM(x))      the same for Scan
    LSTM(x, .., zeros, zeros)  ->  LSTM(x)

A loop is recognized by what one step of it does, see ``cells``. One that is none of them stays.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import constant, is_read, name_of, new_initializer, shape_of, take_over, typed_like
from ..outcome import Outcome, Skip
from ..recurrent.cells import Cell, cell_of
from ..recurrent.loops import NoRecurrenceError, Recurrence, recurrence_of
from ..recurrent.step import Step
from .fold_constants import fold_constants

RECURRENT = ("LSTM", "GRU", "RNN")
_FIRST_STATE = 5
"""Index of an op's initial_h."""


def _cell(model: ir.Model, found: Recurrence) -> tuple[Cell, tuple[int, ...]]:
    """Recognize the cell; return it and which state is its h, and its c."""
    step = Step(model, found)
    kinds = [kind for kind, _ in step.taps]
    width = shape_of(found.sequence)[2]
    units = [shape_of(state.start)[-1] for state in found.states]
    orders = [(0,)] if len(units) == 1 else [(0, 1), (1, 0)]
    for order in orders if len(units) < 3 else []:

        def ordered(x: np.ndarray, *states: np.ndarray, order: tuple[int, ...] = order) -> tuple:
            after, taps = step(x, *(states[i] for i in order))
            return [after[i] for i in order], taps

        if (cell := cell_of(ordered, kinds, width, units)) is not None:
            if not step.gives_only(order[0], width, units):
                raise NoRecurrenceError("it gives more than its hidden state")
            return cell, order
    raise NoRecurrenceError("a step of it is no LSTM, GRU or RNN cell")


def _asked(model: ir.Model, found: Recurrence) -> tuple[Cell, tuple[int, ...]]:
    """Like :func:`_cell`; a body that cannot be run on rows of its own is none."""
    try:
        return _cell(model, found)
    except NoRecurrenceError:
        raise
    except Exception as error:  # NumPy and onnx.reference raise anything
        raise NoRecurrenceError(f"a step of it cannot be run by itself: {error}") from None


def _start(graph: ir.Graph, state: ir.Value) -> tuple[list[ir.Node], ir.Value | None]:
    """Return the initial state as the ops take it, (1, N, H); None for zeros."""
    array = constant(state)
    if array is not None and not array.any():
        return [], None
    if array is not None:
        return [], new_initializer(graph, array[None], f"{name_of(state)}_start")
    axes = new_initializer(graph, np.array([0], np.int64), "axes")
    node = ir.node("Unsqueeze", [state, axes])
    typed_like(node.outputs[0], state, (1, *shape_of(state)))
    return [node], node.outputs[0]


def _replace(model: ir.Model, found: Recurrence, cell: Cell, order: tuple[int, ...]) -> None:
    graph, name = model.graph, name_of(found.sequence)
    steps, batch, _ = shape_of(found.sequence)
    size = cell.recurrent.shape[1]
    states = [found.states[i] for i in order]
    made, starts = list[ir.Node](), list[ir.Value | None]()
    for state in states:
        nodes, start = _start(graph, state.start)
        made += nodes
        starts.append(start)
    arrays = (cell.weights, cell.recurrent, cell.bias)
    weights = [new_initializer(graph, a[None], f"{name}_{cell.op_type}") for a in arrays]
    node = ir.node(
        cell.op_type,
        [found.sequence, *weights, *([None, *starts] if any(starts) else [])],
        attributes={"hidden_size": size, **cell.attributes},
        num_outputs=1 + len(states),
        name=found.loop.name,
    )
    typed_like(node.outputs[0], found.sequence, (steps, 1, batch, size))
    for value in node.outputs[1:]:
        typed_like(value, found.sequence, (1, batch, size))
    made.append(node)
    first, second = (new_initializer(graph, np.array([axis], np.int64), "axes") for axis in (0, 1))
    pairs: list[tuple[ir.Value, ir.Value, ir.Value, tuple[int, ...]]] = [
        (out, node.outputs[0], second, (steps, batch, size)) for _, out in found.results
    ]
    for state, value in zip(states, node.outputs[1:], strict=True):
        if is_read(state.final):
            pairs.append((state.final, value, first, (batch, size)))
    for old, value, axes, shape in pairs:
        squeeze = ir.node("Squeeze", [value, axes])
        typed_like(squeeze.outputs[0], found.sequence, shape)
        made.append(squeeze)
        take_over(old, squeeze.outputs[0])
    graph.insert_after(found.loop, made)
    graph.remove(found.loop, safe=True)


def _raise_loop(model: ir.Model, loop: ir.Node) -> Skip | None:
    try:
        found = recurrence_of(model, loop)
        cell, order = _asked(model, found)
    except NoRecurrenceError as reason:
        return Skip(value=name_of(loop.outputs[0]), reason=str(reason))
    _replace(model, found, cell, order)
    return None


def _drop_zero_states(node: ir.Node) -> bool:
    starts = [v for v in node.inputs[_FIRST_STATE : _FIRST_STATE + 2] if v is not None]
    arrays = [constant(value) for value in starts]
    if not starts or any(array is None or array.any() for array in arrays):
        return False
    for index in range(_FIRST_STATE, min(len(node.inputs), _FIRST_STATE + 2)):
        node.replace_input_with(index, None)
    return True


def _raise_next_loop(model: ir.Model, left: dict[ir.Node, Skip]) -> bool:
    """Raise the first loop that can be raised; note why those before it cannot."""
    for node in [n for n in model.graph if n.op_type in ("Loop", "Scan")]:
        skip = _raise_loop(model, node)
        if skip is None:
            return True
        left[node] = skip
    return False


def raise_recurrent(model: ir.Model) -> Outcome:
    """Raise loops, and drop initial states of zeros."""
    changed, skipped = 0, dict[ir.Node, Skip]()
    while _raise_next_loop(model, skipped):
        changed += 1
        skipped.clear()
        fold_constants(model)  # only now is the shape of what stands behind it known
    for node in [n for n in model.graph if n.op_type in RECURRENT]:
        changed += _drop_zero_states(node)
    return Outcome(changed=changed, skipped=tuple(skipped.values()))
