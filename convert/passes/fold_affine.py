"""A per-channel affine map behind Conv, ConvTranspose or MatMul -> its weights and bias.

(W * x + b) . s      ->  (W s) * x + b s         s constant, one value or one per output channel
(W * x + b) + t      ->  W * x + (b + t)         the same for Sub and Div
BatchNormalization   ->  s = scale / sqrt(var + eps),  t = bias - mean s
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

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

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Affine:
    """y = x * scale + shift, per channel."""

    scale: Array
    shift: Array


def _per_channel(value: ir.Value | None, rank: int, axis: int, channels: int) -> Array | None:
    """Return a constant as one value per channel (C,), or None if it varies along another axis."""
    array = constant(value)
    if array is None or array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for i, size in enumerate(shape) if i != axis) or shape[axis] not in (
        1,
        channels,
    ):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,)).astype(np.float64)


def _batch_norm(node: ir.Node) -> _Affine | None:
    arrays = [constant(value) for value in node.inputs[1:5]]
    if any(array is None for array in arrays) or len(node.outputs) > 1:
        return None
    scale, bias, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return _Affine(scale=factor, shift=bias - mean * factor)


def _affine(node: ir.Node, x: ir.Value, axis: int, channels: int) -> _Affine | None:
    """Read ``node`` as an affine map of its input ``x`` with ``channels`` along ``axis``."""
    if node.op_type == "BatchNormalization":
        return _batch_norm(node)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.inputs[0] is node.inputs[1]:
        return None
    is_first = node.inputs[0] is x
    rank = len(static_shape(x) or ())
    other = _per_channel(node.inputs[1 if is_first else 0], rank, axis, channels)
    if other is None or static_shape(node.outputs[0]) != static_shape(x):
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    forms: dict[str, Callable[[], _Affine | None]] = {
        "Mul": lambda: _Affine(scale=other, shift=zero),
        "Div": lambda: _Affine(scale=1 / other, shift=zero) if is_first else None,
        "Add": lambda: _Affine(scale=one, shift=other),
        "Sub": lambda: _Affine(
            scale=one if is_first else -one, shift=-other if is_first else other
        ),
    }
    return forms[node.op_type]()


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


def _fold_bias(graph: ir.Graph, node: ir.Node, affine: _Affine) -> None:
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
    affine = _affine(behind, result, axes[1], channels)
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
