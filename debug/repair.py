"""Replace a step of a quantized graph with the reference's ops, to prove that it is the culprit."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..convert.graph import constant, name_of
from .steps import GraphPair, GraphStep
from .tracing import merged_graphs, reference_name


def repaired(pair: GraphPair, step: GraphStep) -> onnx.ModelProto | None:
    """Return the quantized graph, ready to run, with the reference's ops in place of one step.

    Those ops read tensors of the quantized graph. Returns None if the step has so many ops that it
    cannot come from one op.
    """
    matched = {each.name: each.value for each in pair.steps}
    nodes = _reference_nodes(pair, step, matched)
    if nodes is None:
        return None
    entry = pair.quantized_model.graph.input[0].name
    # Tensor of the reference -> the same tensor of the quantized graph.
    names = {reference_name(name): value for name, value in matched.items() if name != step.name}
    model = merged_graphs(pair)
    producers = {node.output[0]: node for node in model.graph.node}
    result = reference_name(step.name)
    # The reference's ops of this step read the quantized graph instead of the reference.
    for node in nodes:
        copied = producers[reference_name(name_of(node.outputs[0]))]
        for index, name in enumerate(copied.input):
            copied.input[index] = names.get(name, name)
    # All later ops of the quantized graph read their result.
    for node in model.graph.node:
        is_quantized = not node.output[0].startswith(reference_name(""))
        for index, name in enumerate(node.input):
            if is_quantized and name == step.value:
                node.input[index] = result
    output = pair.quantized_model.graph.output[0]
    if output.name == step.value:
        model.graph.output[0].name = result
    assert model.graph.input[0].name == entry
    return _sorted(model)


def _reference_nodes(
    pair: GraphPair, step: GraphStep, matched: dict[str, str]
) -> list[ir.Node] | None:
    """Return the reference's nodes that compute a tensor from tensors that both graphs have."""
    value = next(v for n in pair.float_graph for v in n.outputs if v.name == step.name)
    pending, nodes = [value], dict[ir.Node, None]()
    while pending:
        each = pending.pop()
        node = each.producer()
        # Stop at the tensors that both graphs have, which the step reads.
        if node is None or node in nodes or (each is not value and name_of(each) in matched):
            continue
        nodes[node] = None
        pending += [v for v in node.inputs if v is not None and constant(v) is None]
        if len(nodes) > 64:  # a step is one op, or the few ops that it was lowered to
            return None
    return list(nodes)


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without unused nodes, and with every node after those that it reads."""
    copy = ir.from_proto(model)
    common.RemoveUnusedNodesPass()(copy)
    common.TopologicalSortPass()(copy)
    return ir.to_proto(copy)
