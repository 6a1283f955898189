"""Bias correction: change biases so that rounding does not shift the mean of a layer's output.

Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019.

    y = W x + b     W' rounded weights, x' rounded activations
    E[W x] - E[W' x']  =  sum_c  W_c E[x_c] - W'_c (E[x_c] + E[x'_c - x_c])

The difference, one number per output channel, is added to b. Means are those of the calibration
images. They are slightly wrong at the border of an image, where a layer reads padding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import along_axis, array_of, constant, consumers, name_of, new_initializer
from .channels import Channels
from .placement import weight_axis
from .quantize import quantized_weights


def correct_biases(
    model: onnx.ModelProto, channels: Mapping[str, Channels], chosen: set[str], largest_weight: int
) -> onnx.ModelProto:
    """Return the float graph with the biases that its int8 version needs.

    It is an input of :func:`~.quantize.quantize` only: as a float graph it is no longer exact.

    Args:
        model: clean float graph.
        channels: statistics of the first inputs of the chosen ops, with their rounding errors.
        chosen: the ops that will run in int8, by their first output.
        largest_weight: the largest |int8 weight|.
    """
    copy = ir.from_proto(model)
    for node in list(copy.graph):
        if node.outputs[0].name in chosen:
            shift = _mean_shift(node, channels[name_of(node.inputs[0])], largest_weight)
            _add_to_bias(copy.graph, node, shift.astype(np.float32))
    return ir.to_proto(copy)


def _mean_shift(node: ir.Node, read: Channels, largest: int) -> npt.NDArray[np.float64]:
    """Return how much rounding lowers the mean of each output channel, (O,)."""
    weights, axis = array_of(node.inputs[1]), weight_axis(node)
    steps, scales = quantized_weights(weights, axis, largest)
    rounded = steps * along_axis(scales, axis, weights.ndim).astype(np.float64)
    if node.op_type == "MatMul":  # (K, N)
        return read.mean @ weights - (read.mean + read.error) @ rounded
    groups = len(read.mean) // weights.shape[1]  # weights (O, C / groups, kh, kw)
    outputs = len(weights) // groups
    taps = tuple(range(2, weights.ndim))
    # Every tap reads the same channel mean, so taps are summed up first: (O, C / groups).
    kernel, rounded = weights.sum(taps), rounded.sum(taps)
    found = []
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        columns = slice(group * weights.shape[1], (group + 1) * weights.shape[1])
        mean, error = read.mean[columns], read.error[columns]
        found.append(kernel[rows] @ mean - rounded[rows] @ (mean + error))
    return np.concatenate(found)


def _add_to_bias(graph: ir.Graph, node: ir.Node, shift: npt.NDArray[np.float32]) -> None:
    """Add to the bias of a Conv, or of the Add behind a MatMul; a MatMul without one stays."""
    name = f"{name_of(node.outputs[0])}.bias"
    if node.op_type == "Conv":
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        bias = constant(node.inputs[2])
        if node.inputs[2] is None or bias is not None:
            total = shift if bias is None else bias + shift
            node.replace_input_with(2, new_initializer(graph, total, name))
        return
    users = consumers(node.outputs[0])
    if len(users) != 1 or users[0].op_type != "Add":
        return
    for index, value in enumerate(users[0].inputs):
        bias = constant(value)
        if bias is not None and bias.shape[-1:] == shift.shape and bias.size == shift.size:
            total = (bias.reshape(-1) + shift).reshape(bias.shape)
            users[0].replace_input_with(index, new_initializer(graph, total, name))
