"""Erfc(x) -> 1 - Erf(x).

ONNX has no Erfc. tf2onnx keeps TensorFlow's op, which Keras' exact GELU uses, and ONNX infers no
shape behind an unknown op. For large x the right side is less exact; ``raise_activations`` replaces
it where it is part of a GELU.

Termination: each node is rewritten once.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import nodes_of, not_none
from ..node_builder import NodeBuilder
from ..outcome import Outcome


def lower_erfc(model: ir.Model) -> Outcome:
    """Rewrite every Erfc."""
    found = nodes_of(model, "Erfc")
    for node in found:
        build = NodeBuilder(model.graph)
        erf = build.op("Erf", not_none(node.inputs[0]))
        build.replace([node], build.op("Sub", np.float32(1), erf))
    return Outcome(changed=len(found))
