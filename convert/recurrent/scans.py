"""Replace a Scan that goes forward along axis 0 by a Loop that gathers each step.

Scan(s, x; body(s, x[t]))  ->  Loop(T, , s; body(t, , s) with Gather(x, t))
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import (
    attribute,
    graph_of,
    new_initializer,
    not_none,
    replace_keeping_name,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from .loop_bodies import replace_inside
from .loops import NoRecurrenceError, body_of, carried_values


def loop_from_scan(scan: ir.Node) -> ir.Node:
    """Replace a Scan by a Loop, and return the Loop.

    Raises:
        NoRecurrenceError: it goes along other axes, or the length is not known.
    """
    count = attribute(scan, "num_scan_inputs")
    turns = ("input_axes", "input_directions", "output_axes", "output_directions")
    body, carried = body_of(scan), carried_values(scan)
    sequences = scan.inputs[len(carried) :]
    shapes = [static_shape(value) for value in sequences]
    if any(any(attribute(scan, f"scan_{name}", ())) for name in turns) or len(shapes) != count:
        raise NoRecurrenceError("it is a Scan along an axis other than 0, or backward")
    if any(shape is None for shape in shapes):
        raise NoRecurrenceError("the length of its sequences is not known")
    step = ir.Value(name=f"{scan.outputs[0].name}.step", type=ir.TensorType(ir.DataType.INT64))
    flag = ir.Value(
        name=f"{scan.outputs[0].name}.going",
        type=ir.TensorType(ir.DataType.BOOL),
        shape=ir.Shape(()),
    )
    step.shape = ir.Shape(())
    build = NodeBuilder(body, shapes=False)
    for value, inner in zip(sequences, list(body.inputs[len(carried) :]), strict=True):
        part = build.op("Gather", not_none(value), step, axis=0, dtype=not_none(value).dtype)
        replace_inside(body, inner, part)
    if len(body):
        body.insert_before(body[0], build.nodes)
    entries, results = list(body.inputs[: len(carried)]), list(body.outputs)
    body.inputs.clear()
    body.inputs.extend([step, flag, *entries])
    body.outputs.clear()
    body.outputs.extend([flag, *results])
    steps = new_initializer(graph_of(scan), np.array(shape_of(sequences[0])[0], np.int64), "steps")
    node = ir.node(
        "Loop",
        [steps, None, *scan.inputs[: len(carried)]],
        {"body": body},
        num_outputs=len(scan.outputs),
        name=scan.name,
    )
    graph_of(scan).insert_before(scan, node)
    for old, new in zip(scan.outputs, node.outputs, strict=True):
        new.type, new.shape = old.type, old.shape
        replace_keeping_name(old, new)
    graph_of(scan).remove(scan, safe=True)
    return node
