"""Weight equalization: scale channels so that one range fits all of them better.

    x -> Conv(W)   becomes   x / s -> Conv(W s)      s: one number per channel of x

The function of the graph stays the same. The division moves into the layer that computes x: a
convolution through a ReLU (cross-layer equalization, Nagel et al., 2019), or the scale and bias of
a LayerNormalization (SmoothQuant, Xiao et al., 2022). With a_c the largest |x| of channel c, and
w_c the largest |weight| that reads it,

    s_c = sqrt(a_c / w_c),  rounded to a power of two, so that scaling causes no rounding error.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import (
    along_axis,
    array_of,
    attribute,
    constant,
    consumers,
    has_one_use,
    input_of,
    name_of,
    new_initializer,
    not_none,
)
from .channels import Channels

_THROUGH = frozenset({"Relu", "LeakyRelu"})
"""Ops with f(x / s) = f(x) / s for every s above 0."""
_FURTHEST = 8
"""Largest distance of a channel's scale from the median scale, in powers of two."""


@dataclass(frozen=True, kw_only=True)
class _ScalableTensor:
    """A tensor whose channels can be scaled.

    ``maker`` is the layer whose weights divide by the scale, and ``readers`` are the layers whose
    weights multiply by it.
    """

    value: ir.Value
    maker: ir.Node
    readers: tuple[ir.Node, ...]


def _maker(value: ir.Value) -> ir.Node | None:
    """Return the Conv or LayerNormalization whose weights can scale a tensor."""
    node = value.producer()
    while node is not None and node.op_type in _THROUGH:
        value = not_none(node.inputs[0])
        if not has_one_use(value):
            return None
        node = value.producer()
    if node is None or node.op_type not in ("Conv", "LayerNormalization"):
        return None
    weights = [constant(v) for v in node.inputs[1:] if v is not None]
    if any(array is None for array in weights):
        return None
    # A LayerNormalization over several axes has a scale of higher rank, not one per channel.
    is_plain = node.op_type == "Conv" or array_of(node.inputs[1]).ndim == 1
    return node if is_plain else None


def _scalable_tensors(graph: ir.Graph, chosen: set[str]) -> list[_ScalableTensor]:
    """Find tensors that a layer with weights computes and that only ungrouped int8 ops read."""
    found = []
    for node in graph:
        for value in node.outputs:
            readers = consumers(value)
            if value.is_graph_output() or not readers:
                continue
            can_scale = all(
                reader.outputs[0].name in chosen
                and reader.inputs[0] is value
                and reader.inputs[1] is not value
                and attribute(reader, "group", 1) == 1
                for reader in readers
            )
            if can_scale and (maker := _maker(value)) is not None:
                found.append(_ScalableTensor(value=value, maker=maker, readers=tuple(readers)))
    return found


def _channel_scales(tensor: _ScalableTensor, read: Channels) -> npt.NDArray[np.float32] | None:
    """Return s, (C,), powers of two; None if all of them are the same."""
    weights = np.zeros(len(read.peak))  # (C,), the largest |weight| that reads each channel
    for reader in tensor.readers:
        array = np.abs(array_of(reader.inputs[1]))  # Conv (O, C, kh, kw), MatMul (C, N)
        axes = (0, *range(2, array.ndim)) if reader.op_type == "Conv" else (1,)
        weights = np.maximum(weights, array.max(axes))
    alive = (read.peak > 0) & (weights > 0)
    if not alive.any():
        return None
    powers = np.zeros(len(weights))
    powers[alive] = np.log2(read.peak[alive] / weights[alive]) / 2
    # A common factor of all channels changes nothing, so the median channel keeps its scale.
    powers = np.round(powers - np.median(powers[alive]))
    powers[~alive] = 0
    powers = np.clip(powers, -_FURTHEST, _FURTHEST)
    return np.exp2(powers).astype(np.float32) if powers.any() else None


def _scale_input(
    graph: ir.Graph, node: ir.Node, index: int, factors: npt.NDArray[np.float32], axis: int
) -> None:
    """Multiply a constant input by one factor per entry of an axis; an absent input stays."""
    if (value := input_of(node, index)) is not None:
        array = array_of(value)
        scaled = array * along_axis(factors, axis, array.ndim)
        node.replace_input_with(index, new_initializer(graph, scaled, f"{name_of(value)}.equal"))


def equalize(
    model: onnx.ModelProto,
    channels: Mapping[str, Channels],
    chosen: set[str],
    keep: Container[str] = (),
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Scale channels wherever possible; return the graph, and the tensors that changed.

    Args:
        model: clean float graph.
        channels: statistics of the first inputs of the chosen ops.
        chosen: the ops that will run in int8, by their first output.
        keep: tensors whose range is fixed, so that they must not be scaled.
    """
    copy, changed = ir.from_proto(model), []
    for tensor in _scalable_tensors(copy.graph, chosen):
        name = name_of(tensor.value)
        scales = None if name in keep else _channel_scales(tensor, channels[name])
        if scales is None:
            continue
        changed.append(name)
        inverse = np.reciprocal(scales)
        _scale_input(copy.graph, tensor.maker, 1, inverse, axis=0)
        _scale_input(copy.graph, tensor.maker, 2, inverse, axis=0)
        for reader in tensor.readers:
            _scale_input(copy.graph, reader, 1, scales, axis=1 if reader.op_type == "Conv" else 0)
    return ir.to_proto(copy), tuple(changed)
