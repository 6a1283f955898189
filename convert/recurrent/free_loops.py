"""Free the batch axis of a Loop: of the values that it carries, and of the nodes in its body.

    Loop(T, , constant (2, H))  ->  Loop(T, , Expand(constant, N))      the initial states

The loop must be closed (see ``closed_loops``): its body reads its own inputs and constants only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Shape, array_of, constant, graph_of, name_of, shape_of
from ..node_builder import NodeBuilder
from .loop_bodies import lift_initializers, rename_made
from .loops import body_of, carried_values

Expanded = Callable[[NodeBuilder, ir.Value, npt.NDArray, int], ir.Value]
"""(builder, constant, one slice of it, batch axis) -> the constant at any batch size."""


class BatchWalk(Protocol):
    """The walk of ``passes/free_batch``, as far as loops need it."""

    batch: int
    shapes: dict[ir.Value, Shape]
    """Shapes at another batch size."""

    def axis(self, value: ir.Value | None) -> int | None:
        """Return the axis that holds the batch."""

    def visit(self, graph: ir.Graph) -> None:
        """Free the batch of all nodes of a graph, in order."""


def _batch_axis(array: npt.NDArray, batch: int) -> int | None:
    """Return the first axis of that size along which all slices are equal."""
    for axis, size in enumerate(array.shape):
        if size == batch and (array == np.take(array, [0], axis)).all():
            return axis
    return None


def free_loop(walk: BatchWalk, loop: ir.Node, expanded: Expanded) -> str | None:
    """Free the batch axis of a closed Loop in place; return why it is not possible, or None."""
    if not any(walk.axis(value) is not None for value in loop.inputs):
        return None
    build, body = NodeBuilder(graph_of(loop)), body_of(loop)
    for index, value in enumerate(loop.inputs[2:], 2):
        array = constant(value)
        axis = None if array is None else _batch_axis(array, walk.batch)
        if value is not None and array is not None and axis is not None:
            # States of zeros, for example. If this one is none, the check by running fails.
            one = np.take(array, [0], axis)
            loop.replace_input_with(index, expanded(build, value, one, axis))
    build.insert_before(loop)
    carried = carried_values(loop)
    for start, inside, _, _ in carried:
        if start in walk.shapes:
            walk.shapes[inside] = walk.shapes[start]
    walk.visit(body)
    rename_made(body, f"{name_of(loop.outputs[0])}.batch")
    lift_initializers(body, graph_of(loop))
    steps = int(array_of(loop.inputs[0]))
    for index, (value, out) in enumerate(zip(body.outputs[1:], loop.outputs, strict=True)):
        if value not in walk.shapes:
            continue
        ahead = () if index < len(carried) else (steps,)
        walk.shapes[out] = (*ahead, *walk.shapes[value])
        if not ahead and walk.shapes.get(carried[index][1]) != walk.shapes[value]:
            return f"the batch axis of {value.name}, which this Loop carries, is not known"
        if len(shape_of(out)) != len(walk.shapes[out]):
            return "the number of axes of a result of this Loop depends on the batch size"
    return None
