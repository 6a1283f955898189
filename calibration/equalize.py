"""Scaling channels so that one range fits all of them better; the function stays the same.

    x -> Conv(W)   becomes   x / s -> Conv(W s)      s: one number per channel of x

What makes x takes the division over: a convolution through a ReLU (cross-layer equalization, Nagel
et al., 2019), or the scale and bias of a LayerNormalization (SmoothQuant, Xiao et al., 2022). With
a_c the largest |x| of channel c, and w_c that of the weights which read it,

    s_c = sqrt(a_c / w_c),  rounded to a power of two, so that no number is rounded by it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import (
    array_of,
    attribute,
    constant,
    consumers,
    has_one_use,
    name_of,
    new_initializer,
    the,
)
from .channels import Channels
from .graph_edits import along_axis

_THROUGH = frozenset({"Relu", "LeakyRelu"})
"""f(x / s) = f(x) / s for every s above 0."""
_FURTHEST = 8
"""Of a channel's scale from the middle one, in powers of two."""


@dataclass(frozen=True, kw_only=True)
class _Joint:
    """A tensor that can be scaled: what makes it, and all that reads it."""

    value: ir.Value
    maker: ir.Node
    readers: tuple[ir.Node, ...]


def _maker(value: ir.Value) -> ir.Node | None:
    """Return the Conv or LayerNormalization whose weights can scale a tensor."""
    node = value.producer()
    while node is not None and node.op_type in _THROUGH:
        value = the(node.inputs[0])
        if not has_one_use(value):
            return None
        node = value.producer()
    if node is None or node.op_type not in ("Conv", "LayerNormalization"):
        return None
    weights = [constant(v) for v in node.inputs[1:] if v is not None]
    if any(array is None for array in weights):
        return None
    is_plain = node.op_type == "Conv" or array_of(node.inputs[1]).ndim == 1
    return node if is_plain else None


def _joints(graph: ir.Graph, chosen: set[str]) -> list[_Joint]:
    """Find tensors that only int8 ops of one group read, and that a layer with weights makes."""
    found = []
    for node in graph:
        for value in node.outputs:
            readers = consumers(value)
            if value.is_graph_output() or not readers:
                continue
            takes = all(
                reader.outputs[0].name in chosen
                and reader.inputs[0] is value
                and reader.inputs[1] is not value
                and attribute(reader, "group", 1) == 1
                for reader in readers
            )
            if takes and (maker := _maker(value)) is not None:
                found.append(_Joint(value=value, maker=maker, readers=tuple(readers)))
    return found


def _channel_scales(joint: _Joint, read: Channels) -> npt.NDArray[np.float32] | None:
    """Return s, (C,), powers of two; None if all of them are the same."""
    weights = np.zeros(len(read.peak))
    for reader in joint.readers:
        array = np.abs(array_of(reader.inputs[1]))
        axes = (0, *range(2, array.ndim)) if reader.op_type == "Conv" else (1,)
        weights = np.maximum(weights, array.max(axes))
    alive = (read.peak > 0) & (weights > 0)
    if not alive.any():
        return None
    powers = np.zeros(len(weights))
    powers[alive] = np.log2(read.peak[alive] / weights[alive]) / 2
    powers = np.round(powers - np.median(powers[alive]))
    powers[~alive] = 0
    powers = np.clip(powers, -_FURTHEST, _FURTHEST)
    return np.exp2(powers).astype(np.float32) if powers.any() else None


def _scale_input(
    graph: ir.Graph, node: ir.Node, index: int, factors: npt.NDArray[np.float32], axis: int
) -> None:
    """Multiply a constant input by one factor per entry of an axis; an absent input stays."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is not None:
        array = array_of(value)
        scaled = array * along_axis(factors, axis, array.ndim)
        node.replace_input_with(index, new_initializer(graph, scaled, f"{name_of(value)}.equal"))


def equalize(
    model: onnx.ModelProto,
    channels: Mapping[str, Channels],
    chosen: set[str],
    keep: Container[str] = (),
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Scale channels wherever it can be done; return the graph and the tensors that changed.

    Args:
        model: clean float graph.
        channels: of what the chosen ops read.
        chosen: the ops that will run in int8, by their first output.
        keep: tensors whose range is fixed.
    """
    copy, changed = ir.from_proto(model), []
    for joint in _joints(copy.graph, chosen):
        name = name_of(joint.value)
        scales = None if name in keep else _channel_scales(joint, channels[name])
        if scales is None:
            continue
        changed.append(name)
        inverse = np.reciprocal(scales)
        _scale_input(copy.graph, joint.maker, 1, inverse, axis=0)
        _scale_input(copy.graph, joint.maker, 2, inverse, axis=0)
        for reader in joint.readers:
            _scale_input(copy.graph, reader, 1, scales, axis=1 if reader.op_type == "Conv" else 0)
    return ir.to_proto(copy), tuple(changed)
