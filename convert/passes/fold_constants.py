"""Fold constants.

    f(constants)  ->  constant
    Shape(x)      ->  constant                      if the shape of x is known
    f(x), f(x)    ->  one f(x)
    Identity(x)   ->  x

onnxscript's folder does most of the work. It does not fold nodes with several outputs, so this
module folds Split. All steps repeat until the number of nodes stays the same.

Ends because each round but the last removes nodes. onnxscript's folder can add some: it inlines the
branch of an If, and splits a sequence. Each of them is gone after that, and no step adds any.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..fixpoint import RewriteBudget
from ..graph import attribute, constant_input, new_initializer, replace_value
from ..outcome import Outcome

_LARGEST = 2**28  # bytes of a folded tensor
_ALWAYS_FOLDED = frozenset({"ConstantOfShape", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def _fold_splits(graph: ir.Graph) -> None:
    """Split(constant) -> constants."""
    for node in list(graph):
        if node.op_type != "Split" or (array := constant_input(node, 0)) is None:
            continue
        sizes = constant_input(node, 1)
        where = len(node.outputs) if sizes is None else np.cumsum(sizes)[:-1]
        parts = np.array_split(array, where, attribute(node, "axis", 0))
        for output, part in zip(node.outputs, parts, strict=True):
            replace_value(output, new_initializer(graph, part, f"{output.name}_folded"))
        graph.remove(node, safe=True)


def _folds_too(node: ir.Node) -> bool | None:
    """Fold two things that onnxscript keeps to save space: zero states and views of weights."""
    return True if node.op_type in _ALWAYS_FOLDED else None  # None: onnxscript decides


def fold_constants(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    from onnxscript.optimizer import _constant_folding as folding

    before = len(model.graph)
    budget = RewriteBudget("fold_constants", model.graph)
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
            # The pass would let a branch return a value of the outer graph, which ONNX forbids.
            common.IdentityEliminationPass()(model)
        common.RemoveUnusedNodesPass()(model)
        common.CommonSubexpressionEliminationPass()(model)
        if len(model.graph) == size:
            return Outcome(changed=before - size)
        budget.spend("a round of folding", f"{len(model.graph)} nodes")
