"""A per-channel affine map behind Conv, ConvTranspose or MatMul -> its weights and bias.

(W * x + b) . s      ->  (W s) * x + b s         s constant, one value or one per output channel
(W * x + b) + t      ->  W * x + (b + t)         the same for Sub and Div
BatchNormalization   ->  s = scale / sqrt(var + eps),  t = bias - mean s
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.affine import Affine, Array, affine_of
from ..graph import (
    array_of,
    attribute,
    constant,
    has_one_use,
    name_of,
    new_initializer,
    producer,
    shape_of,
    static_shape,
    take_over,
)
from ..outcome import Outcome


def _output_axis(node: ir.Node) -> tuple[int, int] | None:
    """Return the axis of the output channels in the weights and in the output, or None."""
    weights = constant(node.inputs[1])
    shape = static_shape(node.outputs[0])
    if weights is None or shape is None or weights.dtype != np.float32:
        return None
    if node.op_type == "Conv":
        return 0, 1
    if node.op_type == "ConvTranspose" and attribute(node, "group", 1) == 1:
        return 1, 1
    if node.op_type == "MatMul" and weights.ndim == 2:
        return 1, len(shape) - 1
    return None


def _fold_scale(graph: ir.Graph, node: ir.Node, axis: int, scale: Array) -> None:
    weights = array_of(node.inputs[1])
    shape = [1] * weights.ndim
    shape[axis] = -1
    scaled = (weights * scale.reshape(shape)).astype(np.float32)
    node.replace_input_with(1, new_initializer(graph, scaled, name_of(node.inputs[1])))


def _fold_bias(graph: ir.Graph, node: ir.Node, affine: Affine) -> None:
    """Conv only: put the shift into the bias input."""
    old = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = affine.shift + (0 if old is None else old * affine.scale)
    value = new_initializer(graph, bias.astype(np.float32), f"{node.outputs[0].name}_bias")
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, value)


def _fold_one(graph: ir.Graph, node: ir.Node) -> bool:
    """Fold the node behind ``node`` into it, if that can be done."""
    axes, result = _output_axis(node), node.outputs[0]
    if axes is None or not has_one_use(result):
        return False
    ((behind, _),) = result.uses()
    channels = shape_of(result)[axes[1]]
    affine = affine_of(behind, result, axes[1], channels)
    if affine is None:
        return False
    if node.op_type == "MatMul" and affine.shift.any():
        return False  # its bias is an Add of its own, where it stands
    _fold_scale(graph, node, axes[0], affine.scale)
    if node.op_type != "MatMul":
        _fold_bias(graph, node, affine)
    take_over(behind.outputs[0], result)
    graph.remove(behind, safe=True)
    return True


def fold_affine(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    changed = 0
    for node in list(model.graph):
        while producer(node.outputs[0], "Conv", "ConvTranspose", "MatMul") and _fold_one(
            model.graph, node
        ):
            changed += 1
    return Outcome(changed=changed)
