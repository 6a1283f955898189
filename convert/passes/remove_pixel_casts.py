"""Remove the Round and Cast that turn float pixels into integers and back.

    Cast<float>(f(Cast<uint8>(Round(image))))  ->  f(image)

where f only moves values (Transpose, Reshape, Slice, ...). Both sides are equal for images from
files, whose pixels are whole numbers from 0 to 255. (``pipeline`` refuses a spec that scales them.)

Termination: each Cast is visited once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import attribute, consumers, name_of, nodes_of, not_none, producer, replace_value
from ..outcome import Outcome, Skip

_MOVES = ("Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
_WHOLE = (ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.INT16)
_FLOAT = ir.DataType.FLOAT


def _reach(graph: ir.Graph, pixels: ir.Value) -> tuple[list[ir.Value], list[ir.Node]] | ir.Node:
    """Follow pixels to the casts to float.

    Returns the values on the way and the casts, or the first node that needs integers.
    """
    # The loop appends to the list that it reads.
    moved, casts = [pixels], list[ir.Node]()
    for value in moved:
        for node in consumers(value):
            if node.graph is not graph:  # it is in a branch or a loop
                return node
            if node.op_type == "Cast" and attribute(node, "to") == _FLOAT:
                casts.append(node)
            elif node.op_type in _MOVES and node.inputs[0] is value:
                moved.append(node.outputs[0])
            else:
                return node
    return moved, casts


def remove_pixel_casts(model: ir.Model) -> Outcome:
    """Remove every such pair of casts behind the input."""
    (image,) = model.graph.inputs
    skipped, changed = list[Skip](), 0
    for cast in nodes_of(model, "Cast"):
        rounded = producer(cast.inputs[0], "Round")
        pixels = cast.outputs[0]
        if rounded is None or rounded.inputs[0] is not image or pixels.dtype not in _WHOLE:
            continue
        found = _reach(model.graph, pixels)
        if isinstance(found, ir.Node) or any(value.is_graph_output() for value in found[0]):
            user = found.op_type if isinstance(found, ir.Node) else "the output"
            skipped.append(Skip(value=name_of(pixels), reason=f"{user} requires integers"))
            continue
        moved, casts = found
        # The values stay numbers from 0 to 255; only their type changes to float.
        for value in moved:
            value.type = ir.TensorType(_FLOAT)
        for node in casts:
            replace_value(node.outputs[0], not_none(node.inputs[0]))
        replace_value(pixels, image)
        model.graph.remove([*casts, cast], safe=True)
        if not consumers(rounded.outputs[0]):
            model.graph.remove(rounded, safe=True)
        changed += 1
    return Outcome(changed=changed, skipped=tuple(skipped))
