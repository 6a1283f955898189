"""Replace loops over time by LSTM, GRU or RNN.

    Loop(x; body = one step)   ->  Squeeze(LSTM(x))      the same for Scan
    LSTM(x, .., zeros, zeros)  ->  LSTM(x)

A loop is recognized by what one step of it computes, see ``recurrent.cells``. A loop with any other
step stays.

Ends because the number of loops falls with each rewrite.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..fixpoint import RewriteBudget
from ..graph import constant, is_read, name_of, nodes_of, replace_keeping_name, shape_of
from ..node_builder import NodeBuilder, Operand
from ..outcome import Outcome, Skip
from ..recurrent.cells import Cell, cell_of
from ..recurrent.closed_loops import is_closed
from ..recurrent.loops import NoRecurrenceError, Recurrence, recurrence_of
from ..recurrent.step_function import StepFunction
from .fold_constants import fold_constants

RECURRENT = ("LSTM", "GRU", "RNN")
_FIRST_STATE = 5
"""Input index of initial_h; initial_c of an LSTM is the next."""


def _cell(model: ir.Model, found: Recurrence) -> tuple[Cell, tuple[int, ...]]:
    """Recognize the cell; return it, and which states of the loop are its h and its c.

    Raises:
        NoRecurrenceError: the step is none of the known cells.
    """
    step = StepFunction(model, found)
    kinds = [kind for kind, _ in step.taps]
    width = shape_of(found.sequence)[2]
    units = [shape_of(state.start)[-1] for state in found.states]
    orders = [(0,)] if len(units) == 1 else [(0, 1), (1, 0)]  # which state of an LSTM is h
    # More than two states are no known cell.
    for order in orders if len(units) < 3 else []:

        def ordered(x: np.ndarray, *states: np.ndarray, order: tuple[int, ...] = order) -> tuple:
            after, taps = step(x, *(states[i] for i in order))
            return [after[i] for i in order], taps

        if (cell := cell_of(ordered, kinds, width, units)) is not None:
            if not step.returns_only_state(order[0], width, units):
                raise NoRecurrenceError("it returns more than its hidden state")
            return cell, order
    raise NoRecurrenceError("its step is not an LSTM, GRU or RNN cell")


def _checked_cell(model: ir.Model, found: Recurrence) -> tuple[Cell, tuple[int, ...]]:
    """Call :func:`_cell`, and turn every other error into NoRecurrenceError."""
    try:
        return _cell(model, found)
    except NoRecurrenceError:
        raise
    except Exception as error:  # NumPy and onnx.reference raise anything
        raise NoRecurrenceError(f"its step cannot be run separately: {error}") from None


def _start(build: NodeBuilder, state: ir.Value) -> Operand:
    """Return an initial state (N, H) as the ops read it, (1, N, H); None for zeros."""
    array = constant(state)
    if array is None:
        return build.op("Unsqueeze", state, (0,), shape=(1, *shape_of(state)))
    return array[None] if array.any() else None


def _replace(model: ir.Model, found: Recurrence, cell: Cell, order: tuple[int, ...]) -> None:
    graph, build = model.graph, NodeBuilder(model.graph)
    steps, batch, _ = shape_of(found.sequence)
    size = cell.recurrent.shape[1]
    states = [found.states[i] for i in order]
    starts = [_start(build, state.start) for state in states]
    # Zeros are the default of the op, so inputs of zeros are left out.
    has_starts = any(start is not None for start in starts)
    # Inputs: x (T, N, K), W (1, G H, K), R (1, G H, H), B (1, 2 G H), no lengths, states (1, N, H).
    weights = [array[None] for array in (cell.weights, cell.recurrent, cell.bias)]
    stacked, *finals = build.ops(
        cell.op_type,
        found.sequence,
        *weights,
        *([None, *starts] if has_starts else []),
        shapes=[(steps, 1, batch, size), *[(1, batch, size)] * len(states)],
        attributes={"hidden_size": size, **cell.attributes},
    )
    first, second = build.constant((0,)), build.constant((1,))  # the axis of the one direction
    new = [
        (out, build.op("Squeeze", stacked, second, shape=(steps, batch, size)))
        for _, out in found.results
    ]
    new += [
        (state.final, build.op("Squeeze", value, first, shape=(batch, size)))
        for state, value in zip(states, finals, strict=True)
        if is_read(state.final)
    ]
    for old, value in new:
        replace_keeping_name(old, value)
    build.insert_after(found.loop)
    graph.remove(found.loop, safe=True)


def _raise_loop(model: ir.Model, loop: ir.Node) -> Skip | None:
    try:
        found = recurrence_of(model, loop)
        cell, order = _checked_cell(model, found)
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
    """Replace the first loop that is a known cell; record why the loops before it are not."""
    for node in nodes_of(model, "Loop", "Scan"):
        if is_closed(node):  # it was tried before it was closed
            continue
        skip = _raise_loop(model, node)
        if skip is None:
            return True
        left[node] = skip
    return False


def raise_recurrent(model: ir.Model) -> Outcome:
    """Replace loops, and drop initial states of zeros."""
    skipped, budget = dict[ir.Node, Skip](), RewriteBudget("raise_recurrent", model.graph)
    while _raise_next_loop(model, skipped):
        budget.spend("Loop or Scan -> LSTM, GRU or RNN", f"{len(model.graph)} nodes")
        skipped.clear()
        fold_constants(model)  # only now are the shapes behind the loop known
    changed = budget.spent
    for node in nodes_of(model, *RECURRENT):
        changed += _drop_zero_states(node)
    return Outcome(changed=changed, skipped=tuple(skipped.values()))
