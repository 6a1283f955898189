"""Let the bodies of loops read outer values directly instead of carrying them unchanged.

    Loop(T, c, x; body(t, c, x'))  with x' returned as it is   ->   the body reads x in place of x'

TensorRT-RTX 1.7 fails on some carried values that never change: it gives the value and a view of it
in the body one place in memory, and then finds that their shapes differ.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ...convert.graph import nodes_of
from ...convert.recurrent.loops import lift_invariants


def lower_loops(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with invariant values read directly; the same object without loops."""
    if not any(node.op_type == "Loop" for node in model.graph.node):
        return model
    copy = ir.from_proto(model)
    for node in nodes_of(copy, "Loop"):
        lift_invariants(node)
    return ir.to_proto(copy)
