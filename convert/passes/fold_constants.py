"""Fold constants.

    f(constants)  ->  constant
    Shape(x)      ->  constant                      if the shape of x is known
    f(x), f(x)    ->  one f(x)
    Identity(x)   ->  x

onnxscript's folder does most of the work. It does not fold nodes with several outputs, so this
module folds Split. All steps repeat until the number of nodes stays the same.

A few small constants can describe a tensor that fills the memory, for example as the sizes of an
Expand. So the memory that folding may add is bounded, and it is checked before a node is computed.

Ends because each round but the last removes nodes. onnxscript's folder can add some: it inlines the
branch of an If, and splits a sequence. Each of them is gone after that, and no step adds any.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ...common.memory import available_memory
from ..analysis.activations import bytes_of
from ..fixpoint import RewriteBudget
from ..graph import attribute, constant_input, new_initializer, replace_value, static_shape
from ..outcome import Outcome

_LARGEST = 2**28
"""Elements of a folded tensor."""
_LARGEST_GROWTH, _SHARE = 1 << 30, 0.25
"""Bytes that one run of the pass may add to the constants, and their share of the memory."""
_SIZE_BY_VALUE = frozenset(
    {
        *("AffineGrid", "BlackmanWindow", "CenterCropPad", "Col2Im", "ConstantOfShape", "DFT"),
        *("Expand", "HammingWindow", "HannWindow", "MaxUnpool", "MelWeightMatrix", "OneHot", "Pad"),
        *("Range", "Resize", "STFT", "Tile", "Upsample"),
    }
)
"""Ops whose result can be far larger than their inputs, because a number in an input states its
size. They are folded only if that size was inferred."""
_KEPT = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
"""Ops that onnxscript does not fold."""
_ALWAYS_FOLDED = frozenset({"ConstantOfShape", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def _fold_splits(graph: ir.Graph) -> None:
    """Split(constant) -> constants."""
    for node in list(graph):
        if node.op_type != "Split" or (array := constant_input(node, 0)) is None:
            continue
        axis, sizes = attribute(node, "axis", 0), constant_input(node, 1)
        if sizes is None:
            if len(node.inputs) > 1 and node.inputs[1] is not None:
                continue  # computed sizes
            # All parts have the same size but the last one, which may be smaller.
            count = len(node.outputs)
            sizes = np.full(count, -(-array.shape[axis] // count))
        parts = np.split(array, np.cumsum(sizes)[:-1], axis)
        for output, part in zip(node.outputs, parts, strict=True):
            replace_value(output, new_initializer(graph, part, f"{output.name}_folded"))
        graph.remove(node, safe=True)


class _Growth:
    """Decides which nodes are folded, by the memory of their results."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph, self._start, self._left = graph, _constant_bytes(graph), 0
        self._allowed = min(_LARGEST_GROWTH, int(_SHARE * available_memory()))

    def start_round(self) -> None:
        """Count the constants again: not all nodes that may be folded are."""
        self._left = self._allowed - (_constant_bytes(self._graph) - self._start)

    def folds(self, node: ir.Node) -> bool | None:
        """Return whether to fold a node whose inputs are constant; None: as onnxscript decides.

        Two things are always folded that onnxscript keeps to save space: zero states, and views of
        weights.
        """
        if node.op_type in _KEPT:
            return None
        if node.op_type in _SIZE_BY_VALUE and static_shape(node.outputs[0]) is None:
            return False
        # The folder drops a constant that nothing else reads.
        read = {value for value in node.inputs if value is not None}
        freed = sum(bytes_of(value) for value in read if len(value.uses()) == 1)
        growth = sum(map(bytes_of, node.outputs)) - freed
        if growth > self._left:
            return False
        self._left -= max(0, growth)
        return True if node.op_type in _ALWAYS_FOLDED else None


def _constant_bytes(graph: ir.Graph) -> int:
    return sum(map(bytes_of, graph.initializers.values()))


def fold_constants(model: ir.Model) -> Outcome:
    """Fold until nothing changes."""
    from onnxscript.optimizer import _constant_folding as folding

    before = len(model.graph)
    budget, growth = RewriteBudget("fold_constants", model.graph), _Growth(model.graph)
    while True:
        size = len(model.graph)
        growth.start_round()
        folding.FoldConstantsPass(
            shape_inference=True,
            input_size_limit=_LARGEST,
            output_size_limit=_LARGEST,
            should_fold=growth.folds,
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
