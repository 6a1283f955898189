"""The maxima of MaxPoolArgmax2d from the values that it compares.

    top = Max(x00, x01), bottom = Max(x10, x11), pooled = MaxPool(x)  ->  pooled = Max(top, bottom)

``x00`` to ``x11`` are the strided slices of ``x`` at the four places of the 2x2 windows. The place
of a maximum results from comparing ``top`` and ``bottom`` anyway. OpenVINO computes both in one
loop, without another pass over ``x`` (docs/decisions/0004). Each application removes one MaxPool,
so the rule terminates.
"""

from __future__ import annotations

import onnx_ir as ir

from ...convert.graph import graph_of, replace_keeping_name
from ...convert.node_builder import NodeBuilder
from .inlined_calls import bodies


def lower_argmax_poolings(model: ir.Model) -> None:
    """Rewrite the marked poolings of a model whose functions are inlined, in place."""
    for body in bodies(model, "MaxPoolArgmax2d"):
        pools = [node for node in body if node.op_type == "MaxPool"]
        maxima = [node.outputs[0] for node in body if node.op_type == "Max"]
        if len(pools) != 1 or len(maxima) != 2:
            continue  # the graph contains the body of another version
        (pool,) = pools
        build, old = NodeBuilder(graph_of(pool), shapes=False), pool.outputs[0]
        pooled = build.op("Max", *maxima, name=pool.name)  # of the top and the bottom of windows
        pooled.type, pooled.shape = old.type, old.shape
        build.insert_after(body[-1])
        replace_keeping_name(old, pooled)
        graph_of(pool).remove(pool, safe=True)
