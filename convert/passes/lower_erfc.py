"""Erfc(x) -> 1 - Erf(x).

ONNX has no Erfc, but tf2onnx leaves TensorFlow's (Keras' exact GELU uses it), and nothing behind it
would get a shape. For large x the right side is less exact; ``raise_gelu`` removes it where it
matters.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import new_initializer, take_over, typed_like
from ..outcome import Outcome


def lower_erfc(model: ir.Model) -> Outcome:
    """Rewrite every Erfc."""
    found = [node for node in model.graph if node.op_type == "Erfc"]
    for node in found:
        x = node.inputs[0]
        assert x is not None
        one = new_initializer(model.graph, np.ones((), np.float32), "one")
        erf = ir.node("Erf", [x])
        sub = ir.node("Sub", [one, erf.outputs[0]], name=node.name)
        for made in (erf.outputs[0], sub.outputs[0]):
            typed_like(made, x)
        model.graph.insert_after(node, [erf, sub])
        take_over(node.outputs[0], sub.outputs[0])
        model.graph.remove(node, safe=True)
    return Outcome(changed=len(found))
