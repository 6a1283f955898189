"""A per-channel affine map in front of Conv, ConvTranspose or MatMul -> its weights and bias.

    W * (x . s)      ->  (W s) * x
    W * (x . s + t)  ->  (W s) * (x + t / s)          what is padded with is zero on both sides
    W * (x + t)      ->  W * x + (b + sum of W t)     Conv that pads nothing

Left alone where the weights would come near the smallest numbers of float16.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.affine import Affine, Array, affine_of
from ..analysis.regions import dynamic_inputs
from ..graph import (
    array_of,
    attribute,
    constant,
    has_one_use,
    name_of,
    new_initializer,
    shape_of,
    static_shape,
    the,
    typed_like,
)
from ..outcome import Outcome, Skip

_LEAST = 2.0**-10
"""The largest weight must not be below; float16 is exact to 2^-24 there."""


def _weighs(node: ir.Node) -> bool:
    weights = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul") or weights is None:
        return False
    is_plain = node.op_type != "MatMul" or weights.ndim == 2
    return is_plain and weights.dtype == np.float32 and static_shape(node.inputs[0]) is not None


def _above(node: ir.Node, value: ir.Value) -> tuple[ir.Node, ir.Value, Affine] | None:
    """Return the affine op that makes ``value`` for ``node`` alone, what it reads, and its map."""
    above = value.producer()
    if above is None or not has_one_use(value) or not (entries := dynamic_inputs(above)):
        return None
    shape = shape_of(node.inputs[0])
    axis = len(shape) - 1 if node.op_type == "MatMul" else 1
    if static_shape(entries[0]) != shape:
        return None
    affine = affine_of(above, entries[0], axis, shape[axis])
    return None if affine is None else (above, entries[0], affine)


def _scaled(node: ir.Node, scale: Array) -> Array:
    """Return the weights, each times the scale of the channel that it reads."""
    weights = array_of(node.inputs[1]).astype(np.float64)
    if node.op_type == "Conv":  # (O, C / groups, ...)
        groups = attribute(node, "group", 1)
        per_group = scale.reshape(groups, 1, -1)
        rows = np.broadcast_to(per_group, (groups, len(weights) // groups, per_group.shape[-1]))
        return weights * rows.reshape(*weights.shape[:2], *[1] * (weights.ndim - 2))
    return weights * scale.reshape(-1, *[1] * (weights.ndim - 1))  # (C, O, ...)


def _pads(node: ir.Node) -> bool:
    free = attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return not free or any(attribute(node, "pads", ()))


def _add_shift(graph: ir.Graph, node: ir.Node, shift: Array) -> None:
    """Put what a constant input gives into the bias of a Conv."""
    weights = _scaled(node, shift)
    bias = weights.reshape(len(weights), -1).sum(1)
    if len(node.inputs) > 2 and (old := constant(node.inputs[2])) is not None:
        bias = bias + old
    node.resize_inputs(3)
    name = f"{node.outputs[0].name}_bias"
    node.replace_input_with(2, new_initializer(graph, bias.astype(np.float32), name))


def _has_free_bias(node: ir.Node) -> bool:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return node.op_type == "Conv" and (bias is None or constant(bias) is not None)


def _scale_weights(graph: ir.Graph, node: ir.Node, scale: Array) -> bool:
    weights = _scaled(node, scale)
    if not np.isfinite(weights).all() or np.abs(weights).max() < _LEAST:
        return False
    name = name_of(node.inputs[1])
    node.replace_input_with(1, new_initializer(graph, weights.astype(np.float32), name))
    return True


def _fold_one(graph: ir.Graph, node: ir.Node) -> bool | Skip:
    """Fold what stands in front of ``node`` into it; False if nothing does."""
    found = _above(node, the(node.inputs[0]))
    if found is None:
        return False
    above, source, affine = found
    if not affine.shift.any():
        if not _scale_weights(graph, node, affine.scale):
            return Skip(value=name_of(node.outputs[0]), reason="its weights would be too small")
        node.replace_input_with(0, source)
    elif _has_free_bias(node) and not _pads(node) and (affine.scale == 1).all():
        _add_shift(graph, node, affine.shift)
        node.replace_input_with(0, source)
    else:
        return _push_scale(graph, node, found)
    graph.remove(above, safe=True)
    return True


def _push_scale(graph: ir.Graph, node: ir.Node, found: tuple[ir.Node, ir.Value, Affine]) -> bool:
    """W * (x . s + t) -> (W s) * (x + t / s)."""
    above, middle, outer = found
    further = _above(node, middle)
    if further is None or above.op_type not in ("Add", "Sub") or (outer.scale != 1).any():
        return False
    first, source, inner = further
    if inner.shift.any() or not inner.scale.all() or not _scale_weights(graph, node, inner.scale):
        return False
    rank = len(shape_of(source))
    behind = 0 if node.op_type == "MatMul" else rank - 2
    shift = (outer.shift / inner.scale).astype(np.float32).reshape(-1, *[1] * behind)
    add = ir.node("Add", [source, new_initializer(graph, shift, f"{above.name}_shift")])
    typed_like(add.outputs[0], above.outputs[0])
    graph.insert_after(above, [add])
    node.replace_input_with(0, add.outputs[0])
    graph.remove([above, first], safe=True)
    return True


def fold_scale(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    changed, skipped = 0, list[Skip]()
    for node in [node for node in model.graph if _weighs(node)]:
        while folded := _fold_one(model.graph, node):
            if isinstance(folded, Skip):
                skipped.append(folded)
                break
            changed += 1
    return Outcome(changed=changed, skipped=tuple(skipped))
