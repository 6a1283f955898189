"""A quantized graph -> the float graph that is left of it: no Q/DQ pairs, no Casts, all in float32.

    x -> Q -> DQ -> Conv(DQ(W_int8))     becomes     x -> Conv(W_int8 * scale)

What rounding of tensors cost can be seen against it. What rounding of weights cost cannot: they
stay on their grid, since nobody knows any more what they were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..convert.graph import attribute, constant, drop_dead, new_initializer, replace_value, the
from .emulate import widen_weights
from .half import HALF_TYPES

_HALF = {half.dtype for half in HALF_TYPES.values()}
_FLOATS = {ir.DataType.FLOAT, *_HALF}


def dequantized(node: ir.Node) -> npt.NDArray[np.float32] | None:
    """Return what a DequantizeLinear makes of constants; None if it reads something else."""
    steps, scale = constant(node.inputs[0]), constant(node.inputs[1])
    if steps is None or scale is None or attribute(node, "block_size", 0):
        return None
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    shape = [1] * steps.ndim
    if scale.ndim == 1:
        shape[attribute(node, "axis", 1)] = -1
    offset = 0 if zero is None else zero.astype(np.float32).reshape(shape if zero.ndim else ())
    widened = steps.astype(np.float32) - offset
    return np.asarray(widened * scale.astype(np.float32).reshape(shape if scale.ndim else ()))


def float_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the float32 graph below a quantized one; its tensors keep their names."""
    copy = ir.from_proto(model)
    graph = copy.graph
    widen_weights(graph)
    for node in list(graph):
        if node.op_type == "DequantizeLinear":
            _remove_pair(graph, node)
        elif node.op_type == "Cast" and attribute(node, "to") in {t.value for t in _FLOATS}:
            source = the(node.inputs[0])
            if source.dtype in _FLOATS:
                _pass_by(node.outputs[0], source)
            else:
                node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
    drop_dead(copy)
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
    above = the(node.inputs[0]).producer()
    if above is not None and above.op_type == "QuantizeLinear":
        _pass_by(node.outputs[0], the(above.inputs[0]))


def _pass_by(value: ir.Value, source: ir.Value) -> None:
    """Let what reads ``value`` read ``source``; an output of the graph keeps its name."""
    if value.is_graph_output() and source.producer() is None:
        return  # the graph's own input cannot take another name
    replace_value(value, source)
