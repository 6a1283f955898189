"""Change the layout of the graph's input and output: NHWC -> NCHW, time-major -> batch-major.

    x (N,H,W,C) -> f -> y (N,H,W,C)   ->   x (N,C,H,W) -> T -> f -> T' -> y (N,C,H,W)
    f -> y (T,N,C)                    ->   f -> Transpose(1,0,2) -> y (N,T,C)

with T = Transpose(0,2,3,1) and T' = Transpose(0,3,1,2). The graph must have one input and one
output of known shape. tf2onnx usually writes the inverse of T at the start of f and the inverse of
T' at its end, so ``collapse_views`` cancels them. Otherwise T and T' stay, which is correct too.

Termination: each function runs once and adds one node.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import TO_NCHW, TO_NHWC, shape_of, static_shape, transfer_name
from ..node_builder import NodeBuilder
from ..outcome import Outcome

_TO_NTC = (1, 0, 2)


def channel_first_input(model: ir.Model) -> Outcome:
    """Change the input from NHWC to NCHW."""
    (image,) = model.graph.inputs
    shape, users, build = shape_of(image), list(image.uses()), NodeBuilder(model.graph)
    inner = build.op("Transpose", image, shape=shape, perm=TO_NHWC)  # (N, H, W, C)
    for node, index in users:
        node.replace_input_with(index, inner)
    image.shape = ir.Shape([shape[axis] for axis in TO_NCHW])
    build.insert_behind(image)
    return Outcome(changed=1)


def transposed_output(model: ir.Model, perm: tuple[int, ...]) -> Outcome:
    """Transpose the output by ``perm``; its name stays."""
    (result,) = model.graph.outputs
    build = NodeBuilder(model.graph)
    outer = build.transpose(result, perm)
    transfer_name(result, outer, "_before")
    model.graph.outputs[0] = outer
    model.graph.extend(build.nodes)
    return Outcome(changed=1)


def channel_first_output(model: ir.Model) -> Outcome:
    """Change the output from NHWC to NCHW; a map without a channel axis (N, H, W) stays."""
    rank = len(static_shape(model.graph.outputs[0]) or ())
    return transposed_output(model, TO_NCHW) if rank == 4 else Outcome(changed=0)


def batch_first_output(model: ir.Model) -> Outcome:
    """Change the output from (T, N, C) to (N, T, C)."""
    return transposed_output(model, _TO_NTC)
