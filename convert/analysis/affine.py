"""Elementwise ops with constants, read as affine maps per channel: y = x * scale + shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import attribute, constant, constant_input, static_shape

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """y = x * scale + shift, per channel (C,)."""

    scale: Array
    shift: Array


def _per_channel(value: ir.Value | None, rank: int, axis: int, channels: int) -> Array | None:
    """Return a constant as one value per channel (C,), or None if it varies along another axis."""
    array = constant(value)
    if array is None or array.ndim > rank:
        return None
    # Shapes are aligned at their last axes; only the channels' axis may be longer than 1.
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for i, size in enumerate(shape) if i != axis) or shape[axis] not in (
        1,
        channels,
    ):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,)).astype(np.float64)


def _batch_norm(node: ir.Node) -> Affine | None:
    arrays = [constant_input(node, index) for index in range(1, 5)]
    if any(array is None for array in arrays) or len(node.outputs) > 1:  # more: it is in training
        return None
    scale, bias, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return Affine(scale=factor, shift=bias - mean * factor)


def affine_of(node: ir.Node, x: ir.Value, axis: int, channels: int) -> Affine | None:
    """Read ``node`` as an affine map of its input ``x`` with ``channels`` along ``axis``."""
    if node.op_type == "BatchNormalization":
        return _batch_norm(node) if axis == 1 else None
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.inputs[0] is node.inputs[1]:
        return None
    is_first = node.inputs[0] is x
    rank = len(static_shape(x) or ())
    other = _per_channel(node.inputs[1 if is_first else 0], rank, axis, channels)
    if other is None or static_shape(node.outputs[0]) != static_shape(x):
        return None  # the constant makes x longer
    one, zero = np.ones(channels), np.zeros(channels)
    forms: dict[str, Callable[[], Affine | None]] = {
        "Mul": lambda: Affine(scale=other, shift=zero),
        "Div": lambda: Affine(scale=1 / other, shift=zero) if is_first and other.all() else None,
        "Add": lambda: Affine(scale=one, shift=other),
        "Sub": lambda: Affine(scale=one if is_first else -one, shift=-other if is_first else other),
    }
    return forms[node.op_type]()
