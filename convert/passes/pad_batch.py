"""Let a graph that computes a fixed batch of B images accept one image.

    x (B, ...) -> f -> y (B, ...)   ->   x (1, ...) -> Expand -> f -> Slice -> y (1, ...)

Expand copies the image B times, and Slice keeps the result of the first copy.

Termination: the function runs once.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import name_of, shape_of, static_shape, transfer_name
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip


def pad_batch(model: ir.Model) -> Outcome:
    """Accept one image, and run it as a whole batch."""
    (image,), (result,) = model.graph.inputs, model.graph.outputs
    shape, found = shape_of(image), static_shape(result)
    if found is None or found[0] != shape[0]:
        reason = f"the output has the shape {found}, expected {shape[0]} images at its first axis"
        return Outcome(changed=0, skipped=(Skip(value=name_of(result), reason=reason),))
    users, build = list(image.uses()), NodeBuilder(model.graph)
    copies = build.op("Expand", image, shape, shape=shape)  # (1, C, H, W) -> (B, C, H, W)
    for node, index in users:
        node.replace_input_with(index, copies)
    build.insert_behind(image)
    image.shape = ir.Shape([1, *shape[1:]])
    starts, ends, axes = np.array([0]), np.array([1]), np.array([0])
    # (B, ...) -> (1, ...)
    first = build.op("Slice", result, starts, ends, axes, shape=(1, *found[1:]))
    transfer_name(result, first, "_copies")
    model.graph.outputs[0] = first
    model.graph.extend(build.nodes)
    return Outcome(changed=1)
