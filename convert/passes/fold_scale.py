"""Fold a per-channel affine map in front of Conv, ConvTranspose or MatMul into weights and bias.

    W * (x . s)      ->  (W s) * x
    W * (x . s + t)  ->  (W s) * (x + t / s)          padding stays correct: it adds zeros to both
    W * (x + t)      ->  W * x + (b + sum of W t)     only for a Conv without padding

The weights must be constant float32, and the layer must be the only reader of the map's result. The
map stays if the new weights would come near the smallest numbers of float16.

Ends because each fold removes a node more than it adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..analysis.affine import Affine, Array, affine_of
from ..analysis.regions import dynamic_inputs
from ..fixpoint import RewriteBudget
from ..graph import (
    array_of,
    attribute,
    constant_input,
    has_one_use,
    input_of,
    name_of,
    not_none,
    set_constant_input,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip

_LEAST = 2.0**-10
"""Lower limit of a layer's largest |weight|: float16 has no finer steps than 2^-24."""


@dataclass(frozen=True, kw_only=True)
class _Mapped:
    """An affine map: ``node`` computes ``affine(source)``."""

    node: ir.Node
    source: ir.Value
    affine: Affine


def _has_weights(node: ir.Node) -> bool:
    weights = constant_input(node, 1)
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul") or weights is None:
        return False
    is_plain = node.op_type != "MatMul" or weights.ndim == 2
    return is_plain and weights.dtype == np.float32 and static_shape(node.inputs[0]) is not None


def _mapped(layer: ir.Node, value: ir.Value) -> _Mapped | None:
    """Read ``value`` as an affine map per input channel of ``layer``, its only reader."""
    above = value.producer()
    if above is None or not has_one_use(value) or not (entries := dynamic_inputs(above)):
        return None
    shape = shape_of(layer.inputs[0])
    axis = len(shape) - 1 if layer.op_type == "MatMul" else 1
    if static_shape(entries[0]) != shape:
        return None
    affine = affine_of(above, entries[0], axis, shape[axis])
    return None if affine is None else _Mapped(node=above, source=entries[0], affine=affine)


def _scaled(layer: ir.Node, scale: Array) -> Array:
    """Return the weights, each times the scale of the input channel that it multiplies."""
    weights = array_of(layer.inputs[1]).astype(np.float64)
    if layer.op_type == "Conv":  # (O, C / groups, ...)
        groups = attribute(layer, "group", 1)
        per_group = scale.reshape(groups, 1, -1)  # (groups, 1, C / groups)
        rows = np.broadcast_to(per_group, (groups, len(weights) // groups, per_group.shape[-1]))
        return weights * rows.reshape(*weights.shape[:2], *[1] * (weights.ndim - 2))
    return weights * scale.reshape(-1, *[1] * (weights.ndim - 1))  # (C, O, ...)


def _pads(layer: ir.Node) -> bool:
    free = attribute(layer, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return not free or any(attribute(layer, "pads", ()))


def _add_shift(layer: ir.Node, shift: Array) -> None:
    """Add the layer's response to a constant input ``shift`` (C,) to the bias of a Conv.

    Without padding that response is the same at every pixel: the sum of weights times shift.
    """
    weights = _scaled(layer, shift)
    bias = weights.reshape(len(weights), -1).sum(1)  # (O, everything else) -> (O,)
    if (old := constant_input(layer, 2)) is not None:
        bias = bias + old
    set_constant_input(layer, 2, bias.astype(np.float32))


def _has_free_bias(layer: ir.Node) -> bool:
    is_free = input_of(layer, 2) is None or constant_input(layer, 2) is not None
    return layer.op_type == "Conv" and is_free


def _scale_weights(layer: ir.Node, scale: Array) -> bool:
    weights = _scaled(layer, scale)
    if not np.isfinite(weights).all() or np.abs(weights).max() < _LEAST:
        return False
    set_constant_input(layer, 1, weights.astype(np.float32))
    return True


def _fold_one(graph: ir.Graph, layer: ir.Node) -> bool | Skip:
    """Fold the node in front of ``layer`` into it; False if that is not possible."""
    found = _mapped(layer, not_none(layer.inputs[0]))
    if found is None:
        return False
    affine = found.affine
    if not affine.shift.any():
        if not _scale_weights(layer, affine.scale):
            return Skip(
                value=name_of(layer.outputs[0]), reason="its scaled weights would be too small"
            )
        layer.replace_input_with(0, found.source)
    # A shift fits into the bias only if no output pixel reads padding.
    elif _has_free_bias(layer) and not _pads(layer) and (affine.scale == 1).all():
        _add_shift(layer, affine.shift)
        layer.replace_input_with(0, found.source)
    else:
        return _push_scale(graph, layer, found)
    graph.remove(found.node, safe=True)
    return True


def _push_scale(graph: ir.Graph, layer: ir.Node, outer: _Mapped) -> bool:
    """Move a scale past a shift into the weights: W * (x . s + t) -> (W s) * (x + t / s)."""
    inner = _mapped(layer, outer.source)
    if inner is None or outer.node.op_type not in ("Add", "Sub") or (outer.affine.scale != 1).any():
        return False
    scale = inner.affine.scale
    if inner.affine.shift.any() or not scale.all() or not _scale_weights(layer, scale):
        return False
    behind = 0 if layer.op_type == "MatMul" else len(shape_of(inner.source)) - 2
    shift = (outer.affine.shift / scale).astype(np.float32).reshape(-1, *[1] * behind)  # (C, 1, ..)
    build = NodeBuilder(graph)
    layer.replace_input_with(0, build.op("Add", inner.source, shift))
    build.insert_after(outer.node)
    graph.remove([outer.node, inner.node], safe=True)
    return True


def fold_scale(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    skipped, budget = list[Skip](), RewriteBudget("fold_scale", model.graph)
    for layer in [node for node in model.graph if _has_weights(node)]:
        while folded := _fold_one(model.graph, layer):
            if isinstance(folded, Skip):
                skipped.append(folded)
                break
            budget.spend(f"fold into {layer.op_type}", name_of(layer.outputs[0]))
    return Outcome(changed=budget.spent, skipped=tuple(skipped))
