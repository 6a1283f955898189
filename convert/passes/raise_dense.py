"""Dense layers on flattened rows -> MatMul on the tensor itself.

    Gemm(a, W, b)                        ->  MatMul(a, W') + b           W' = alpha W or alpha W^T
    MatMul(Reshape(x -> [M, K]), W)      ->  Reshape(MatMul(x, W))       x's last axis is K
    Reshape(x) + b                       ->  Reshape(x + b)              b along that last axis
    Reshape(MatMul(a, b) -> [.., M, N])  ->  MatMul(Reshape(a), Reshape(b))   leading axes split
    Reshape(x + b -> [.., K])            ->  Reshape(x) + b              leading axes split

Reshapes that merge axes sink and reshapes that split axes rise, until ``collapse_views`` cancels
them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import (
    attribute,
    constant,
    has_one_use,
    is_output,
    name_of,
    new_initializer,
    producer,
    shape_of,
    static_shape,
    take_over,
    the,
    typed_like,
)
from ..outcome import Outcome


def _finish(graph: ir.Graph, node: ir.Node, made: list[ir.Node]) -> None:
    """Let ``made`` take the place of ``node``, and drop what fed only it."""
    graph.insert_after(node, made)
    take_over(node.outputs[0], made[-1].outputs[0])
    above = the(node.inputs[0]).producer()
    graph.remove(node, safe=True)
    if above is not None and not list(above.outputs[0].uses()) and not is_output(above.outputs[0]):
        graph.remove(above, safe=True)


def _reshape(graph: ir.Graph, value: ir.Value, shape: tuple[int, ...]) -> ir.Node:
    node = ir.node("Reshape", [value, new_initializer(graph, np.array(shape, np.int64), "shape")])
    typed_like(node.outputs[0], value, shape)
    return node


def _gemm_to_matmul(graph: ir.Graph, node: ir.Node) -> bool:
    a, weights = node.inputs[0], constant(node.inputs[1])
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    has_dynamic_bias = len(node.inputs) > 2 and node.inputs[2] is not None and bias is None
    if weights is None or has_dynamic_bias or attribute(node, "transA", 0):
        return False
    weights = weights.T if attribute(node, "transB", 0) else weights
    weights = (weights * np.float32(attribute(node, "alpha", 1.0))).astype(weights.dtype)
    right = new_initializer(graph, weights, name_of(node.inputs[1]))
    made = [ir.node("MatMul", [a, right], name=node.name)]
    beta = np.float32(attribute(node, "beta", 1.0))
    if bias is not None and beta and bias.any():
        shift = new_initializer(graph, bias * beta, name_of(node.inputs[2]))
        made.append(ir.node("Add", [made[0].outputs[0], shift]))
    for new in made:
        typed_like(new.outputs[0], node.outputs[0])
    _finish(graph, node, made)
    return True


def _sink_below_dense(graph: ir.Graph, node: ir.Node) -> bool:
    """MatMul(Reshape(x), W) -> Reshape(MatMul(x, W))."""
    above, weights = producer(node.inputs[0], "Reshape"), constant(node.inputs[1])
    if above is None or weights is None or weights.ndim != 2:
        return False
    x, shape = above.inputs[0], static_shape(above.inputs[0])
    if shape is None or len(shape) < 3 or shape[-1] != weights.shape[0]:
        return False
    product = ir.node("MatMul", [x, node.inputs[1]], name=node.name)
    typed_like(product.outputs[0], node.outputs[0], (*shape[:-1], weights.shape[1]))
    _finish(graph, node, [product, _reshape(graph, product.outputs[0], shape_of(node.outputs[0]))])
    return True


def _sink_below_bias(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(x) + b -> Reshape(x + b), for a constant b (K,)."""
    for value, other in (node.inputs, reversed(node.inputs)):
        above, bias = producer(value, "Reshape"), constant(other)
        if above is None or bias is None or bias.ndim != 1:
            continue
        x, shape = the(above.inputs[0]), static_shape(above.inputs[0])
        if not shape or len(shape) < 3 or not shape[-1] == shape_of(value)[-1] == bias.size:
            continue
        total = ir.node("Add", [x, other], name=node.name)
        typed_like(total.outputs[0], x)
        _finish(graph, node, [total, _reshape(graph, total.outputs[0], shape_of(node.outputs[0]))])
        return True
    return False


def _split_lead(old: tuple[int, ...] | None, new: tuple[int, ...] | None, kept: int) -> bool:
    """Whether ``new`` is ``old`` with its leading axes split up, the last ``kept`` unchanged."""
    return bool(old and new and len(new) > len(old) and old[-kept:] == new[-kept:])


def _hoist_above_product(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(MatMul(a, b)) -> MatMul(Reshape(a), Reshape(b)), for constant b (K, N) of a alone."""
    product = producer(node.inputs[0], "MatMul")
    if product is None or not has_one_use(product.outputs[0]):
        return False
    is_dense = constant(product.inputs[1]) is not None
    kept = 1 if is_dense else 2
    if not _split_lead(static_shape(product.outputs[0]), static_shape(node.outputs[0]), kept):
        return False
    lead = shape_of(node.outputs[0])[:-kept]
    made = [
        _reshape(graph, the(value), (*lead, *shape_of(value)[-kept:]))
        for value in product.inputs[:kept]
    ]
    right = product.inputs[1] if is_dense else made[1].outputs[0]
    above = ir.node("MatMul", [made[0].outputs[0], right], name=product.name)
    typed_like(above.outputs[0], node.outputs[0])
    _finish(graph, node, [*made, above])
    return True


def _hoist_above_bias(graph: ir.Graph, node: ir.Node) -> bool:
    """Reshape(x + b) -> Reshape(x) + b, for a constant b (K,)."""
    total, new = producer(node.inputs[0], "Add"), static_shape(node.outputs[0])
    if total is None or new is None or not has_one_use(total.outputs[0]):
        return False
    for value, bias in (total.inputs, reversed(total.inputs)):
        array = constant(bias)
        if array is None or array.ndim != 1 or not _split_lead(static_shape(value), new, 1):
            continue
        above = _reshape(graph, the(value), new)
        made = ir.node("Add", [above.outputs[0], bias], name=total.name)
        typed_like(made.outputs[0], node.outputs[0])
        _finish(graph, node, [above, made])
        return True
    return False


_REWRITES = {
    "Gemm": (_gemm_to_matmul,),
    "MatMul": (_sink_below_dense,),
    "Add": (_sink_below_bias,),
    "Reshape": (_hoist_above_bias, _hoist_above_product),
}


def raise_dense(model: ir.Model) -> Outcome:
    """Raise Gemm to MatMul; move reshapes until none moves."""
    changed = 0
    while True:
        before = changed
        for node in list(model.graph):
            if node.graph is not None:
                changed += any(f(model.graph, node) for f in _REWRITES.get(node.op_type, ()))
        if changed == before:
            return Outcome(changed=changed)
