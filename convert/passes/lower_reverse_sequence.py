"""Write a reversal of sequences with lengths of their own as a gather.

    y = ReverseSequence(x, n)  ->  y = GatherElements(x, index)    along time

with index[b, t] = n[b] - 1 - t for t < n[b], else t. OpenVINO refuses lengths that exceed the
sequence, TensorRT's parser refuses a free batch. Here a length is at most the length T of the
sequence. Lengths that are constant and equal T are left to ``raise_directions``.

Termination: each rewrite removes a ReverseSequence.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import along_axis, attribute, constant_input, nodes_of, not_none, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome


def _lower(graph: ir.Graph, node: ir.Node) -> bool:
    x, lengths = map(not_none, node.inputs)
    shape, fixed = static_shape(x), constant_input(node, 1)
    # ONNX: the time axis is 0 and the batch axis 1, unless the attributes state the opposite.
    time, batch = attribute(node, "time_axis", 0), attribute(node, "batch_axis", 1)
    if shape is None or (fixed is not None and (fixed == shape[time]).all()):
        return False
    build, steps = NodeBuilder(graph), shape[time]
    others = tuple(axis for axis in range(len(shape)) if axis != batch)
    wide = tuple(shape[axis] if axis == batch else 1 for axis in range(len(shape)))
    plane = tuple(shape[a] if a in (batch, time) else 1 for a in range(len(shape)))
    count = build.op("Unsqueeze", lengths, others, shape=wide)  # (1, N, 1) for a (T, N, C)
    count = build.op("Min", count, np.int64(steps))
    step = along_axis(np.arange(steps), time, len(shape))  # (T, 1, 1)
    turned = build.op("Sub", count, step + 1, shape=plane)  # (T, N, 1)
    is_behind = build.op("Less", turned, np.int64(0), dtype=ir.DataType.BOOL)
    index = build.op("Where", is_behind, step, turned, shape=plane, dtype=ir.DataType.INT64)
    index = build.op("Expand", index, shape, shape=shape)
    build.replace([node], build.op("GatherElements", x, index, axis=time))
    return True


def lower_reverse_sequence(model: ir.Model) -> Outcome:
    """Lower every ReverseSequence whose lengths are not those of whole sequences."""
    graph, nodes = model.graph, nodes_of(model, "ReverseSequence")
    return Outcome(changed=sum(_lower(graph, node) for node in nodes))
