"""Free the batch axis of a Loop: of the values that it carries, and of the nodes in its body.

    Loop(T, , constant (2, H))  ->  Loop(T, , Expand(constant, N))      the initial states
    Loop(2, , x; body of x[t])  ->  Loop(N, , x; body of x[t])          x (2, ..): tf.map_fn

The loop must be closed (see ``closed_loops``): its body reads its own inputs and constants only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Shape, array_of, attribute, constant, graph_of, name_of, shape_of
from ..node_builder import NodeBuilder
from .loop_bodies import lift_initializers, rename_made
from .loops import body_of, carried_values, counts, through_views

Expanded = Callable[[NodeBuilder, ir.Value, npt.NDArray, int], ir.Value]
"""(builder, constant, one slice of it, batch axis) -> the constant at any batch size."""


class BatchWalk(Protocol):
    """The walk of ``passes/free_batch``, as far as loops need it."""

    batch: int
    other: int
    """Another batch size."""
    shapes: dict[ir.Value, Shape]
    """Shapes at the other batch size."""

    def batch_size(self) -> ir.Value:
        """Return the batch size of the image, (1,)."""

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


def _runs_per_image(walk: BatchWalk, loop: ir.Node) -> bool:
    """Whether a loop reads image t of a batch in step t, as tf.map_fn does."""
    body, steps = body_of(loop), array_of(loop.inputs[0])
    if int(steps) != walk.batch:
        return False
    batches = [v for start, v, _, _ in carried_values(loop) if walk.axis(start) == 0]
    counters = {body.inputs[0], *(v for _, v, after, _ in carried_values(loop) if counts(v, after))}
    return any(
        node.op_type == "Gather"
        and attribute(node, "axis", 0) == 0
        and any(value in batches for value in node.inputs[:1])
        and through_views(node.inputs[1]) in counters
        for node in body
    )


def free_loop(walk: BatchWalk, loop: ir.Node, expanded: Expanded) -> str | None:
    """Free the batch axis of a closed Loop in place; return why it is not possible, or None."""
    if not any(walk.axis(value) is not None for value in loop.inputs):
        return None
    is_mapped = _runs_per_image(walk, loop)
    _free_inputs(walk, loop, expanded, is_mapped)
    body = body_of(loop)
    for start, inside, _, _ in carried_values(loop):
        if start in walk.shapes:
            walk.shapes[inside] = walk.shapes[start]
    walk.visit(body)
    rename_made(body, f"{name_of(loop.outputs[0])}.batch")
    lift_initializers(body, graph_of(loop))
    return _free_results(walk, loop, is_mapped)


def _free_inputs(walk: BatchWalk, loop: ir.Node, expanded: Expanded, is_mapped: bool) -> None:
    """Let the constants that a loop carries, and perhaps its number of steps, be of any batch."""
    build = NodeBuilder(graph_of(loop))
    for index, value in enumerate(loop.inputs[2:], 2):
        array = constant(value)
        axis = None if array is None else _batch_axis(array, walk.batch)
        if value is not None and array is not None and axis is not None:
            # States of zeros, for example. If this one is none, the check by running fails.
            one = np.take(array, [0], axis)
            loop.replace_input_with(index, expanded(build, value, one, axis))
    if is_mapped:
        loop.replace_input_with(0, build.op("Squeeze", walk.batch_size(), (0,), shape=()))
    build.insert_before(loop)


def _free_results(walk: BatchWalk, loop: ir.Node, is_mapped: bool) -> str | None:
    """Note the shapes of a loop's results at the other batch; return why that is impossible."""
    carried, body = carried_values(loop), body_of(loop)
    for index, (value, out) in enumerate(zip(body.outputs[1:], loop.outputs, strict=True)):
        is_stacked = index >= len(carried)
        if value not in walk.shapes and not (is_stacked and is_mapped):
            continue
        steps = walk.other if is_mapped else shape_of(out)[0]
        ahead = (steps,) if is_stacked else ()
        walk.shapes[out] = (*ahead, *(walk.shapes.get(value) or shape_of(value)))
        if not ahead and walk.shapes.get(carried[index][1]) != walk.shapes[value]:
            return f"the batch axis of {value.name}, which this Loop carries, is not known"
        if len(shape_of(out)) != len(walk.shapes[out]):
            return "the number of axes of a result of this Loop depends on the batch size"
    return None
