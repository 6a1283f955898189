"""f(constants) -> constant, Shape(x) -> constant where x's shape is known, and so on up the graph.

onnxscript's folder does the work; it leaves alone nodes with several outputs, so Split is added
here. Both run until nothing changes, together with common subexpressions and identities.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..graph import attribute, constant, new_initializer, replace_value
from ..outcome import Outcome

_LARGEST = 2**28  # bytes of a folded tensor
_ALWAYS_FOLDED = frozenset({"ConstantOfShape", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def _fold_splits(graph: ir.Graph) -> int:
    """Split(constant) -> constants."""
    count = 0
    for node in list(graph):
        if node.op_type != "Split" or (array := constant(node.inputs[0])) is None:
            continue
        axis = attribute(node, "axis", 0)
        sizes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        where = len(node.outputs) if sizes is None else np.cumsum(sizes)[:-1]
        parts = np.array_split(array, where, axis)
        for output, part in zip(node.outputs, parts, strict=True):
            replace_value(output, new_initializer(graph, part, f"{output.name}_folded"))
        graph.remove(node, safe=True)
        count += 1
    return count


def _folds_too(node: ir.Node) -> bool | None:
    """Fold what onnxscript keeps to save space: an LSTM's zeros, and views of large weights."""
    return True if node.op_type in _ALWAYS_FOLDED else None


def fold_constants(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    from onnxscript.optimizer import _constant_folding as folding

    before = len(model.graph)
    while True:
        size = len(model.graph)
        folding.FoldConstantsPass(
            shape_inference=True,
            input_size_limit=_LARGEST,
            output_size_limit=_LARGEST,
            should_fold=_folds_too,
        )(model)
        _fold_splits(model.graph)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        if not any(node.op_type == "If" for node in model.graph):
            common.IdentityEliminationPass()(model)  # it lets branches give outer values
        common.RemoveUnusedNodesPass()(model)
        common.CommonSubexpressionEliminationPass()(model)
        if len(model.graph) == size:
            return Outcome(changed=before - size)
