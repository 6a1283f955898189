"""Float graph + ranges -> graph with Q/DQ pairs, valid for onnxruntime, OpenVINO and TensorRT
alike.

    x -> Conv(W, b)   becomes   x -> Q(s_x) -> DQ(s_x) -> Conv(DQ(W_int8, s_W), b)

Activations: symmetric int8, one rank-0 scale per tensor, zero point 0 written out. Weights: int8
initializers and one DQ with a scale per output channel. Biases stay float. One pair per tensor
serves all quantised ops that read it; other readers keep the float tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..convert.graph import array_of, name_of, new_initializer, the, typed_like
from .placement import Placement, place, weight_axis

_SMALLEST_SCALE = 1e-7
"""For dead channels and tensors: scales must be positive."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A typed graph and the decision on every weighted op in it."""

    model: onnx.ModelProto
    placements: tuple[Placement, ...]


def quantized_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the names of the activations that int8 ops read, whose ranges are needed."""
    graph = ir.from_proto(model).graph
    chosen = {p.node for p in place(graph) if p.reason is None}
    readers = (node for node in graph if node.outputs[0].name in chosen)
    return list(dict.fromkeys(name_of(node.inputs[0]) for node in readers))


def quantized_weights(
    weights: npt.NDArray[np.float32], axis: int, largest: int = 127
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 weights and a scale per entry of ``axis``: weights ~ int8 * scale.

    ``largest``: of the int8 weights, in size.
    """
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scales = np.maximum(np.abs(weights).max(others) / largest, _SMALLEST_SCALE).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(weights.ndim)]
    steps = np.round(weights / scales.reshape(shape))
    return np.clip(steps, -largest, largest).astype(np.int8), scales


def _activation_pair(graph: ir.Graph, value: ir.Value, limit: float) -> ir.Value:
    """Put Q and DQ behind ``value``; return what DQ gives."""
    scale = np.float32(max(limit / 127, _SMALLEST_SCALE))
    name = value.name
    parameters = [
        new_initializer(graph, np.array(scale), f"{name}.scale"),
        new_initializer(graph, np.zeros((), np.int8), f"{name}.zero"),
    ]
    quantize = ir.node("QuantizeLinear", [value, *parameters], name=f"{name}.q")
    steps = quantize.outputs[0]
    steps.name, steps.shape, steps.type = (
        f"{name}.int8",
        value.shape,
        ir.TensorType(ir.DataType.INT8),
    )
    dequantize = ir.node("DequantizeLinear", [steps, *parameters], name=f"{name}.dq")
    typed_like(dequantize.outputs[0], value).name = f"{name}.rounded"
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], [quantize, dequantize])
    else:
        graph.insert_after(producer, [quantize, dequantize])
    return dequantize.outputs[0]


def _weight_dq(graph: ir.Graph, node: ir.Node, name: str, largest: int) -> ir.Value:
    """Make int8 weights and their DQ, called ``name``, before ``node``; return what DQ gives."""
    value, axis = the(node.inputs[1]), weight_axis(node)
    steps, scales = quantized_weights(array_of(value), axis, largest)
    inputs = [
        new_initializer(graph, steps, f"{name}.int8"),
        new_initializer(graph, scales, f"{name}.scale"),
        new_initializer(graph, np.zeros(scales.shape, np.int8), f"{name}.zero"),
    ]
    dequantize = ir.node("DequantizeLinear", inputs, attributes={"axis": axis}, name=f"{name}.dq")
    typed_like(dequantize.outputs[0], value).name = f"{name}.rounded"
    graph.insert_before(node, [dequantize])
    return dequantize.outputs[0]


def quantize(
    model: onnx.ModelProto, ranges: Mapping[str, float], *, largest_weight: int = 127
) -> Quantized:
    """Type a clean float graph as int8 wherever ``placement`` allows.

    Args:
        model: float32 graph, opset 20.
        ranges: largest |x| to represent, for each of ``quantized_tensors(model)``.
        largest_weight: in int8 steps; 63 for processors that add two products in 16 bits.

    Raises:
        KeyError: a range is missing.
    """
    copy = ir.from_proto(model)
    graph = copy.graph
    placements = tuple(place(graph))
    chosen = {placement.node for placement in placements if placement.reason is None}
    rounded: dict[str, ir.Value] = {}
    weights: dict[str, ir.Value] = {}
    for node in list(graph):
        if node.outputs[0].name not in chosen:
            continue
        name = name_of(node.inputs[0])
        if name not in rounded:
            rounded[name] = _activation_pair(graph, the(node.inputs[0]), ranges[name])
        shared = f"{name_of(node.inputs[1])}.axis{weight_axis(node)}"  # ops may share a weight
        if shared not in weights:
            weights[shared] = _weight_dq(graph, node, shared, largest_weight)
        node.replace_input_with(0, rounded[name])
        node.replace_input_with(1, weights[shared])
    _drop_unused_weights(graph)
    common.CheckerPass(full_check=True)(copy)  # leaves out the weights' values
    typed = ir.to_proto(copy)
    return Quantized(model=typed, placements=placements)


def _drop_unused_weights(graph: ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        if not list(value.uses()):
            del graph.initializers[name]
