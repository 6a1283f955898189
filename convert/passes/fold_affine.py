"""Fold a per-channel affine map behind Conv, ConvTranspose or MatMul into weights and bias.

    (W * x + b) . s      ->  (W s) * x + b s         s constant, one value or one per output channel
    (W * x + b) + t      ->  W * x + (b + t)         the same for Sub and Div
    BatchNormalization   ->  s = scale / sqrt(var + eps),  t = bias - mean s

The weights must be constant float32, and the map must be the only reader of the layer's result. A
MatMul has no bias, so only a scale is folded into it.

Ends because each fold removes a node and adds none.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.affine import Affine, Array, affine_of
from ..fixpoint import RewriteBudget
from ..graph import (
    along_axis,
    array_of,
    attribute,
    constant_input,
    has_one_use,
    name_of,
    replace_keeping_name,
    set_constant_input,
    shape_of,
    static_shape,
)
from ..outcome import Outcome


def _output_axis(node: ir.Node) -> tuple[int, int] | None:
    """Return the axis of the output channels in the weights and in the output, or None."""
    weights = constant_input(node, 1)
    shape = static_shape(node.outputs[0])
    if weights is None or shape is None or weights.dtype != np.float32:
        return None
    if node.op_type == "Conv":  # weights (O, C / groups, ...)
        return 0, 1
    if node.op_type == "ConvTranspose" and attribute(node, "group", 1) == 1:  # weights (C, O, ...)
        return 1, 1
    if node.op_type == "MatMul" and weights.ndim == 2:  # weights (C, O)
        return 1, len(shape) - 1
    return None


def _fold_scale(node: ir.Node, axis: int, scale: Array) -> None:
    weights = array_of(node.inputs[1])
    scaled = weights * along_axis(scale, axis, weights.ndim)
    set_constant_input(node, 1, scaled.astype(np.float32))


def _fold_bias(node: ir.Node, affine: Affine) -> None:
    """Set the bias of a Conv or ConvTranspose: b -> b s + t."""
    old = constant_input(node, 2)
    bias = affine.shift + (0 if old is None else old * affine.scale)
    set_constant_input(node, 2, bias.astype(np.float32))


def _fold_one(graph: ir.Graph, node: ir.Node) -> bool:
    """Fold the reader of ``node`` into it; return whether that was possible."""
    axes, result = _output_axis(node), node.outputs[0]
    if axes is None or not has_one_use(result):
        return False
    ((behind, _),) = result.uses()
    affine = affine_of(behind, result, axes[1], shape_of(result)[axes[1]])
    if affine is None:
        return False
    if node.op_type == "MatMul" and affine.shift.any():
        return False  # the Add behind it stays
    _fold_scale(node, axes[0], affine.scale)
    if node.op_type != "MatMul":
        _fold_bias(node, affine)
    replace_keeping_name(behind.outputs[0], result)
    graph.remove(behind, safe=True)
    return True


def fold_affine(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    budget = RewriteBudget("fold_affine", model.graph)
    for node in list(model.graph):
        while _fold_one(model.graph, node):
            budget.spend(f"fold into {node.op_type}", name_of(node.outputs[0]))
    return Outcome(changed=budget.spent)
