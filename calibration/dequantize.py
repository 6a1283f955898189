"""Turn a quantized graph into a float32 graph without Q/DQ pairs and Casts.

    x -> Q -> DQ -> Conv(DQ(W_int8))     becomes     x -> Conv(W_int8 * scale)

The difference between both graphs is the cost of rounded activations. It does not include the cost
of rounded weights, because the quantized graph does not contain the original ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import (
    attribute,
    constant,
    constant_input,
    new_initializer,
    not_none,
    producer,
    remove_dead_nodes,
    replace_value,
)
from .emulate import widen_weights
from .half import HALF_TYPES

_HALF = {half.dtype for half in HALF_TYPES.values()}
_FLOATS = {ir.DataType.FLOAT, *_HALF}


def dequantized(node: ir.Node) -> npt.NDArray[np.float32] | None:
    """Return the result of a DequantizeLinear of constants; None if it reads something else.

    None for blocked scales (``block_size``) too.
    """
    steps, scale = constant(node.inputs[0]), constant(node.inputs[1])
    if steps is None or scale is None or attribute(node, "block_size", 0):
        return None
    zero = constant_input(node, 2)
    shape = [1] * steps.ndim  # scale and zero point (C,) broadcast along ``axis``
    if scale.ndim == 1:
        shape[attribute(node, "axis", 1)] = -1
    offset = 0 if zero is None else zero.astype(np.float32).reshape(shape if zero.ndim else ())
    widened = steps.astype(np.float32) - offset
    return np.asarray(widened * scale.astype(np.float32).reshape(shape if scale.ndim else ()))


def float_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the float32 graph without Q/DQ pairs and Casts; tensors keep their names."""
    copy = ir.from_proto(model)
    graph = copy.graph
    widen_weights(graph)
    for node in list(graph):
        if node.op_type == "DequantizeLinear":
            _remove_pair(graph, node)
        elif node.op_type == "Cast" and attribute(node, "to") in {t.value for t in _FLOATS}:
            source = not_none(node.inputs[0])
            if source.dtype in _FLOATS:
                _bypass(node.outputs[0], source)
            else:  # from an integer or bool: the Cast stays, to float32
                node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
    remove_dead_nodes(copy)
    for node in graph:
        for value in node.outputs:
            if value.dtype in _HALF:
                value.type = ir.TensorType(ir.DataType.FLOAT)
    return ir.to_proto(copy)


def _remove_pair(graph: ir.Graph, node: ir.Node) -> None:
    weights = dequantized(node)
    if weights is not None:
        replace_value(node.outputs[0], new_initializer(graph, weights, str(node.outputs[0].name)))
        return
    if (above := producer(node.inputs[0], "QuantizeLinear")) is not None:
        _bypass(node.outputs[0], not_none(above.inputs[0]))


def _bypass(value: ir.Value, source: ir.Value) -> None:
    """Replace ``value`` by ``source`` in all readers; an output of the graph keeps its name."""
    if value.is_graph_output() and source.producer() is None:
        return  # the graph's own input cannot be renamed to its output
    replace_value(value, source)
