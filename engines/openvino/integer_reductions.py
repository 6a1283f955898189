"""Reductions of integers in float32, because OpenVINO's integer ones can be wrong.

    ReduceSum(x)  ->  Cast<int>(ReduceSum(Cast<float>(x)))      the same for Max, Min, Mean and Prod

OpenVINO's CPU plugin merges the elementwise ops behind a reduction into it. Of integers, the result
is then wrong: of axis 1 or axes (1, 2) of three with Add, Mul, Sub or Neg behind it, and of any
axis with Div (2026.4). A Cast between them prevents that. The numbers stay the same up to 2^24,
such as counts of pixels and lengths of sequences. Each reduction is rewritten once.
"""

from __future__ import annotations

import onnx_ir as ir

from ...convert.graph import graph_of, not_none, replace_keeping_name
from ...convert.node_builder import NodeBuilder
from ...convert.recurrent.loop_bodies import deep_nodes

_REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")
_INTEGERS = (ir.DataType.INT32, ir.DataType.INT64)


def lower_integer_reductions(model: ir.Model) -> None:
    """Rewrite the reductions of a model and of the bodies of its loops, in place."""
    for node in deep_nodes(model.graph):
        if node.op_type in _REDUCTIONS and node.outputs[0].dtype in _INTEGERS:
            old, float_type = node.outputs[0], ir.DataType.FLOAT
            build = NodeBuilder(graph_of(node), shapes=False)
            given = build.op(
                "Cast", not_none(node.inputs[0]), dtype=float_type, to=float_type.value
            )
            reduced = build.op(
                node.op_type, given, *node.inputs[1:], attributes=node.attributes, name=node.name
            )
            result = build.op("Cast", reduced, dtype=old.dtype, to=old.dtype)
            result.shape = old.shape
            build.insert_after(node)
            replace_keeping_name(old, result)
            graph_of(node).remove(node, safe=True)
