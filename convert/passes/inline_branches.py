"""Replace an If by its two branches and a choice between their results.

    If(c){A}{B}  ->  Where(c, A, B)       if the results have the same shapes; c is reshaped
                                          if it has more axes than they

Both branches run then, and passes, quantization and all targets see plain nodes. An If with a
constant condition is folded before (``fold_constants``).

Termination: each rewrite removes an If.
"""

from __future__ import annotations

import onnx_ir as ir

from ...common.onnx_shapes import infer_shapes
from ..graph import name_of, nodes_of, not_none, replace_keeping_name, static_shape
from ..node_builder import NodeBuilder
from ..outcome import Outcome, Skip


def _moved(branch: ir.Graph, graph: ir.Graph, before: ir.Node, owner: str) -> list[ir.Value]:
    """Move the nodes and constants of a branch in front of the If; return the branch's results."""
    results = list(branch.outputs)
    # First, because a value that is an output of the branch cannot join another graph.
    branch.outputs.clear()
    for number, (name, value) in enumerate(list(branch.initializers.items())):
        del branch.initializers[name]
        value.name = f"{owner}.constant_{number}"
        graph.register_initializer(value)
    nodes = list(branch)
    branch.remove(nodes)
    for number, value in enumerate(v for node in nodes for v in node.outputs):
        value.name = f"{owner}.{number}"
    graph.insert_before(before, nodes)
    return results


def _condition(build: NodeBuilder, node: ir.Node, rank: int) -> ir.Value:
    """Return the condition with at most ``rank`` axes.

    ONNX accepts one value of any rank as the condition of an If, but Where would broadcast a
    result of fewer axes to the rank of the condition.
    """
    condition = not_none(node.inputs[0])
    shape = static_shape(condition)
    if shape is not None and len(shape) <= rank:
        return condition
    ones = (1,) * rank  # empty for a scalar
    return build.op("Reshape", condition, ones, shape=ones)


def _inline(model: ir.Model, node: ir.Node) -> Skip | None:
    branches = [node.attributes[f"{name}_branch"].as_graph() for name in ("then", "else")]
    pairs = list(zip(*(branch.outputs for branch in branches), strict=True))
    for one, other in pairs:
        if static_shape(one) is None or static_shape(one) != static_shape(other):
            reason = f"its branches return shapes {one.shape} and {other.shape}"
            return Skip(value=name_of(node.outputs[0]), reason=reason)
    name = name_of(node.outputs[0])
    results = [
        _moved(branch, model.graph, node, f"{name}.{side}")
        for branch, side in zip(branches, ("then", "else"), strict=True)
    ]
    build = NodeBuilder(model.graph)
    for one, other, old in zip(*results, list(node.outputs), strict=True):
        one.type = other.type = old.type  # the checker does not look into branches
        condition = _condition(build, node, len(static_shape(one) or ()))
        chosen = build.op("Where", condition, one, other, dtype=one.dtype)
        chosen.shape, chosen.type = one.shape, old.type
        replace_keeping_name(old, chosen)
    build.insert_before(node)
    model.graph.remove(node, safe=True)
    return None


def inline_branches(model: ir.Model) -> Outcome:
    """Inline every If of the main graph whose branches return equal shapes."""
    changed, skipped = 0, list[Skip]()
    for node in nodes_of(model, "If"):
        skip = _inline(model, node)
        changed += skip is None
        skipped += [] if skip is None else [skip]
    if changed:
        infer_shapes(model)
    return Outcome(changed=changed, skipped=tuple(skipped))
