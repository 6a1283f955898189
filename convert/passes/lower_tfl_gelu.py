"""TFL_GELU(x) -> x (Erf(x / sqrt 2) / 2 + 1/2), or TensorFlow's approximation of it by Tanh:
x (Tanh(x (a + b x^2)) / 2 + 1/2).

tf2onnx leaves TensorFlow Lite's op as it is. ONNX has Gelu from opset 20 on, which the graph is
brought to later: ``raise_activations`` makes one of what is written here.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from ..graph import attribute, new_initializer, take_over, the, typed_like
from ..outcome import Outcome

_A = math.sqrt(2 / math.pi)
_B = 0.044715 * _A


def lower_tfl_gelu(model: ir.Model) -> Outcome:
    """Rewrite every TFL_GELU."""
    found = [node for node in model.graph if node.op_type == "TFL_GELU"]
    for node in found:
        made = _spelled(model.graph, the(node.inputs[0]), bool(attribute(node, "approximate", 0)))
        model.graph.insert_after(node, made)
        take_over(node.outputs[0], made[-1].outputs[0])
        model.graph.remove(node, safe=True)
    return Outcome(changed=len(found))


def _spelled(graph: ir.Graph, x: ir.Value, approximate: bool) -> list[ir.Node]:
    made: list[ir.Node] = []

    def add(op: str, *inputs: ir.Value | float) -> ir.Value:
        values = [
            new_initializer(graph, np.float32(value), "gelu") if isinstance(value, float) else value
            for value in inputs
        ]
        made.append(ir.node(op, values))
        return typed_like(made[-1].outputs[0], x)

    if approximate:
        inner = add("Add", add("Mul", add("Mul", x, x), _B), _A)
        curve = add("Tanh", add("Mul", x, inner))
    else:
        curve = add("Erf", add("Mul", x, math.sqrt(0.5)))
    add("Mul", x, add("Add", add("Mul", curve, 0.5), 0.5))
    return made
