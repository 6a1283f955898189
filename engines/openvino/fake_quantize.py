"""Q/DQ pairs on activations -> OpenVINO's FakeQuantize, which computes the same values.

    DQ(Q(x, s, 0), s, 0)  =  s * clip(round(x / s), -128, 127)
                          =  FakeQuantize(x, -128 s, 127 s, -128 s, 127 s), 256 levels

OpenVINO's importer splits a pair into five nodes. Its low-precision pass then drops the scale of a
pair behind a Concat, which leaves a signal-to-noise ratio of 10 dB (2025.4 to 2026.4, on AVX-512).
FakeQuantize is not split and runs in the same int8 kernels; see docs/decisions/0005. Each
application removes one pair, so the rule terminates.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from ...convert.graph import array_of, constant, new_initializer, not_none, producer
from ...convert.node_builder import NodeBuilder

_DOMAIN = "org.openvinotoolkit"


def lower_qdq_pairs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with FakeQuantize for pairs on activations; weights keep their DQ."""
    copy = ir.from_proto(model)
    graph = copy.graph
    for node in list(graph):
        above = producer(node.inputs[0], "QuantizeLinear") if node.inputs else None
        if (
            node.op_type != "DequantizeLinear"
            or above is None
            or constant(above.inputs[0]) is not None
        ):
            continue
        build = NodeBuilder(graph)
        scale = float(array_of(node.inputs[1]))  # one scale per tensor, zero point 0
        # The plan's layers are matched to the graph by the node's name.
        rounded = fake_quantize(build, not_none(above.inputs[0]), scale, name=str(node.name))
        build.replace([node], rounded)
        if not list(above.outputs[0].uses()):  # another DQ may read the same Q
            graph.remove(above, safe=True)
    graph.opset_imports[_DOMAIN] = 1
    return ir.to_proto(copy)


def fake_quantize(
    build: NodeBuilder,
    x: ir.Value,
    scale: float,
    *,
    name: str,
    output: tuple[float, float] | None = None,
) -> ir.Value:
    """Create a FakeQuantize with the 256 levels of int8.

    Args:
        build: collects the node.
        x: of any shape.
        scale: the distance of two levels of ``x``.
        name: of the node.
        output: what the lowest and the highest level become; None: they stay as they are.
    """
    low, high = (
        new_initializer(build.graph, np.array(steps * scale, np.float32), f"{name}.{side}")
        for side, steps in (("low", -128), ("high", 127))
    )
    inputs = (x, low, high, *(output or (low, high)))
    return build.op("FakeQuantize", *inputs, domain=_DOMAIN, name=name, levels=256)
