"""Turn dense layers on flattened rows into MatMul on the tensor itself.

    Gemm(a, W, b)                        ->  MatMul(a, W') + b           W' = alpha W or alpha W^T
    MatMul(Reshape(x -> [M, K]), W)      ->  Reshape(MatMul(x, W))       x's last axis is K
    Reshape(x) + b                       ->  Reshape(x + b)              b along that last axis
    Reshape(MatMul(a, b) -> [.., M, N])  ->  MatMul(Reshape(a), Reshape(b))   leading axes split
    Reshape(x + b -> [.., K])            ->  Reshape(x) + b              leading axes split

Weights and biases must be constant, and the shapes known. A Reshape that splits the leading axes
moves up, and any other moves down, until it meets another one and ``collapse_views`` cancels both.

Ends because a Reshape that splits the leading axes only moves up, and any other only moves down. A
move keeps the kind of its Reshape, and takes it past one layer: for each direction, the number of
layers that such Reshapes have in front of them falls, and no rule adds a layer.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..fixpoint import RewriteBudget
from ..graph import (
    Shape,
    attribute,
    constant,
    constant_input,
    constant_last,
    has_one_use,
    input_of,
    is_read,
    name_of,
    not_none,
    producer,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome


def _finish(build: NodeBuilder, node: ir.Node, result: ir.Value) -> bool:
    """Replace ``node`` by the new nodes, and drop the node that only it read."""
    above = not_none(node.inputs[0]).producer()
    build.replace([node], result)
    if above is not None and not is_read(above.outputs[0]):
        build.graph.remove(above, safe=True)
    return True


def _gemm_to_matmul(graph: ir.Graph, node: ir.Node) -> bool:
    weights, bias = constant_input(node, 1), constant_input(node, 2)
    has_dynamic_bias = input_of(node, 2) is not None and bias is None
    if weights is None or has_dynamic_bias or attribute(node, "transA", 0):
        return False
    weights = weights.T if attribute(node, "transB", 0) else weights
    weights = (weights * np.float32(attribute(node, "alpha", 1.0))).astype(weights.dtype)
    build = NodeBuilder(graph)
    x = build.op("MatMul", node.inputs[0], weights)
    x.shape = node.outputs[0].shape  # (M, N)
    # Gemm computes alpha A B + beta C.
    beta = np.float32(attribute(node, "beta", 1.0))
    if bias is not None and beta and bias.any():
        x = build.op("Add", x, bias * beta)
    return _finish(build, node, x)


def _sink_below_dense(graph: ir.Graph, node: ir.Node) -> bool:
    """MatMul(Reshape(x), W) -> Reshape(MatMul(x, W))."""
    above, weights = producer(node.inputs[0], "Reshape"), constant_input(node, 1)
    if above is None or weights is None or weights.ndim != 2:
        return False
    x, shape = above.inputs[0], static_shape(above.inputs[0])
    if shape is None or len(shape) < 3 or shape[-1] != weights.shape[0]:
        return False
    if _split_lead(shape, static_shape(node.inputs[0]), 1):
        return False  # such a Reshape moves up, see ``_hoist_above_product``
    build = NodeBuilder(graph)
    product = build.op("MatMul", x, node.inputs[1], shape=(*shape[:-1], weights.shape[1]))
    target = shape_of(node.outputs[0])
    return _finish(build, node, build.op("Reshape", product, target, shape=target))


def _sink_below_bias(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(x) + b -> Reshape(x + b), for a constant b (K,)."""
    value, other = constant_last(node) or (None, None)
    above, bias = producer(value, "Reshape"), constant(other)
    if above is None or bias is None or bias.ndim != 1:
        return False
    x, old, new = not_none(above.inputs[0]), static_shape(above.inputs[0]), shape_of(value)
    if not old or len(old) < 3 or not old[-1] == new[-1] == bias.size or _split_lead(old, new, 1):
        return False
    build, target = NodeBuilder(graph), shape_of(node.outputs[0])
    total = build.op("Add", x, other)
    return _finish(build, node, build.op("Reshape", total, target, shape=target))


def _split_lead(old: Shape | None, new: Shape | None, kept: int) -> bool:
    """Whether ``new`` is ``old`` with more leading axes and the same last ``kept`` axes."""
    return bool(old and new and len(new) > len(old) and old[-kept:] == new[-kept:])


def _hoist_above_product(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(MatMul(a, b)) -> MatMul(Reshape(a), Reshape(b)); a constant b (K, N) stays.

    Otherwise both sides must have the leading axes of the product: a side that MatMul broadcasts
    has nothing to split.
    """
    product = producer(node.inputs[0], "MatMul")
    if product is None or not has_one_use(product.outputs[0]):
        return False
    weights, shape = constant_input(product, 1), static_shape(product.outputs[0])
    is_dense = weights is not None and weights.ndim == 2
    kept = 1 if is_dense else 2
    if not shape or not _split_lead(shape, static_shape(node.outputs[0]), kept):
        return False
    if any((static_shape(value) or ())[:-kept] != shape[:-kept] for value in product.inputs[:kept]):
        return False
    build, target = NodeBuilder(graph), shape_of(node.outputs[0])
    # (*lead, M, K) x (*lead, K, N), or (*lead, K) x (K, N) if the right side is constant.
    sides = list[ir.Value]()
    for value in product.inputs[:kept]:
        split = (*target[:-kept], *shape_of(value)[-kept:])
        sides.append(build.op("Reshape", value, split, shape=split))
    right = product.inputs[1] if is_dense else sides[1]
    return _finish(build, node, build.op("MatMul", sides[0], right, shape=target))


def _hoist_above_bias(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(x + b) -> Reshape(x) + b, for a constant b (K,)."""
    total, new = producer(node.inputs[0], "Add"), static_shape(node.outputs[0])
    if total is None or new is None or not has_one_use(total.outputs[0]):
        return False
    value, other = constant_last(total) or (None, None)
    bias = constant(other)
    if bias is None or bias.ndim != 1 or not _split_lead(static_shape(value), new, 1):
        return False
    build = NodeBuilder(graph)
    return _finish(build, node, build.op("Add", build.op("Reshape", value, new, shape=new), other))


_REWRITES = {
    "Gemm": (_gemm_to_matmul,),
    "MatMul": (_sink_below_dense,),
    "Add": (_sink_below_bias,),
    "Reshape": (_hoist_above_bias, _hoist_above_product),
}


def raise_dense(model: ir.Model) -> Outcome:
    """Replace Gemm by MatMul, and move Reshapes until none can be moved."""
    budget = RewriteBudget("raise_dense", model.graph)
    while True:
        before = budget.spent
        # One move can make another possible, also above it: repeat until none is.
        for node in list(model.graph):
            rules = _REWRITES.get(node.op_type, ()) if node.graph is not None else ()
            for rule in rules:
                name = name_of(node.outputs[0])
                if rule(model.graph, node):
                    budget.spend(rule.__name__, name)
                    break  # the node is gone
        if budget.spent == before:
            return Outcome(changed=before)
