"""Write out TensorFlow Lite's GELU in standard ops.

    TFL_GELU(x)               ->  x (Erf(x sqrt(1/2)) / 2 + 1/2)
    TFL_GELU<approximate>(x)  ->  x (Tanh(x (a + b x^2)) / 2 + 1/2),  a = sqrt(2/pi), b = 0.044715 a

tf2onnx keeps TensorFlow Lite's op. ONNX has Gelu from opset 20 on only, and the graph is converted
to opset 20 later; then ``raise_activations`` replaces these ops by Gelu.

Termination: each node is rewritten once.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from ..graph import attribute, nodes_of, not_none
from ..node_builder import NodeBuilder
from ..outcome import Outcome

_A = math.sqrt(2 / math.pi)
_B = 0.044715 * _A  # both from the tanh approximation of GELU (Hendrycks and Gimpel, 2016)


def lower_tfl_gelu(model: ir.Model) -> Outcome:
    """Rewrite every TFL_GELU."""
    found = nodes_of(model, "TFL_GELU")
    for node in found:
        build, x = NodeBuilder(model.graph), not_none(node.inputs[0])
        if attribute(node, "approximate", 0):
            square = build.op("Mul", x, x)
            inner = build.op("Add", build.op("Mul", square, _B), _A)
            curve = build.op("Tanh", build.op("Mul", x, inner))
        else:
            curve = build.op("Erf", build.op("Mul", x, math.sqrt(0.5)))
        half = build.op("Add", build.op("Mul", curve, 0.5), 0.5)
        build.replace([node], build.op("Mul", x, half))
    return Outcome(changed=len(found))
