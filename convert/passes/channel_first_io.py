"""NHWC input and output -> NCHW.

    x (N,H,W,C) -> f -> y (N,H,W,C)   becomes   x (N,C,H,W) -> T -> f -> T' -> y (N,C,H,W)

with T = Transpose(0,2,3,1) and T' = Transpose(0,3,1,2). tf2onnx has put the inverse of T at the
start of f and the inverse of T' at its end, so ``collapse_views`` cancels them; where it does not,
they stay, and the graph still means the same. A time-major sequence output (T,N,C) becomes (N,T,C)
in the same way.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import static_shape, typed_like
from ..outcome import Outcome

_TO_NHWC, _TO_NCHW, _TO_NTC = (0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 2)


def channel_first_input(model: ir.Model) -> Outcome:
    """Let the graph take NCHW; it must take NHWC so far."""
    (image,) = model.graph.inputs
    shape = static_shape(image)
    assert shape is not None
    transpose = ir.node("Transpose", [image], attributes={"perm": _TO_NHWC})
    inner = typed_like(transpose.outputs[0], image, shape)
    for node, index in list(image.uses()):
        if node is not transpose:
            node.replace_input_with(index, inner)
    image.shape = ir.Shape([shape[i] for i in _TO_NCHW])
    model.graph.insert_before(model.graph[0], [transpose])
    return Outcome(changed=1)


def transposed_output(model: ir.Model, perm: tuple[int, ...]) -> Outcome:
    """Let the graph return its output transposed by ``perm``."""
    (result,) = model.graph.outputs
    shape = static_shape(result)
    assert shape is not None
    transpose = ir.node("Transpose", [result], attributes={"perm": perm})
    outer = typed_like(transpose.outputs[0], result, [shape[i] for i in perm])
    outer.name, result.name = result.name, f"{result.name}_before"
    model.graph.outputs[0] = outer
    model.graph.append(transpose)
    return Outcome(changed=1)


def channel_first_output(model: ir.Model) -> Outcome:
    """Let the graph return NCHW; a map without a channel axis (N, H, W) stays."""
    rank = len(static_shape(model.graph.outputs[0]) or ())
    return transposed_output(model, _TO_NCHW) if rank == 4 else Outcome(changed=0)


def batch_first_output(model: ir.Model) -> Outcome:
    """Let the graph return (N, T, C); it must return (T, N, C) so far."""
    return transposed_output(model, _TO_NTC)
