"""Turn a mixed-precision graph into a float32 graph that rounds at the same places.

    y = Op(x)  in fp16        becomes        y = Cast<float>(Cast<fp16>(Op(x)))  in float32

Every tensor between two ops is rounded, and overflows to infinity, as in 16 bits. Sums inside an op
are computed in float32, as NVIDIA's kernels do. So results do not depend on the processor, and no
runtime can skip a rounding, as onnxruntime does in fp16 graphs. Custom ops are inlined first, so
that their inner values are rounded too.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.onnx_shapes import infer_shapes
from ..convert.graph import attribute, constant
from ..convert.rounding import round_behind
from .half import HALF_TYPES

_HALF = {half.dtype for half in HALF_TYPES.values()}


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the float32 graph; the model itself if it contains no 16-bit tensors."""
    copy = ir.from_proto(model)
    values = [*copy.graph.initializers.values(), *(v for n in copy.graph for v in n.outputs)]
    if not any(value.dtype in _HALF for value in values):
        return model
    common.InlinePass()(copy)
    infer_shapes(copy)
    graph = copy.graph
    widen_weights(graph)
    # Read all types before the first one changes.
    rounded = {value: value.dtype for node in graph for value in node.outputs}
    for node in list(graph):
        to = attribute(node, "to")
        if node.op_type == "Cast" and to in {dtype.value for dtype in _HALF}:
            node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
        for value in node.outputs:
            dtype = rounded[value]
            if dtype in _HALF:
                value.type = ir.TensorType(ir.DataType.FLOAT)
                round_behind(graph, node, value, dtype)
    return ir.to_proto(copy)


def widen_weights(graph: ir.Graph) -> None:
    """Convert 16-bit weights to float32, with the same values."""
    for name, value in graph.initializers.items():
        array = constant(value)
        if array is not None and value.dtype in _HALF:
            value.const_value = ir.tensor(array.astype(np.float32), name=name)
            value.type = ir.TensorType(ir.DataType.FLOAT)
