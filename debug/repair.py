"""A quantized graph with one of its steps done as the reference does it: the proof of a culprit."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ..convert.graph import constant, name_of
from .steps import GraphPair, GraphStep
from .tracing import merged_graphs, reference_name


def repaired(pair: GraphPair, step: GraphStep) -> onnx.ModelProto | None:
    """Return the quantized graph, ready to run, with the reference's ops in place of one step.

    They read what the quantized graph computes. None if they read a tensor that it lacks.
    """
    stands = {each.name: each.value for each in pair.steps}
    nodes = _reference_nodes(pair, step, stands)
    if nodes is None:
        return None
    entry = pair.quantized_model.graph.input[0].name
    names = {reference_name(name): value for name, value in stands.items() if name != step.name}
    model = merged_graphs(pair)
    made = {node.output[0]: node for node in model.graph.node}
    result = reference_name(step.name)
    for node in nodes:
        copied = made[reference_name(name_of(node.outputs[0]))]
        for index, name in enumerate(copied.input):
            copied.input[index] = names.get(name, name)
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
    pair: GraphPair, step: GraphStep, stands: dict[str, str]
) -> list[ir.Node] | None:
    """Return the reference's nodes that make a tensor out of tensors which both graphs have."""
    value = next(v for n in pair.float_graph for v in n.outputs if v.name == step.name)
    waiting, found = [value], dict[ir.Node, None]()
    while waiting:
        each = waiting.pop()
        node = each.producer()
        if node is None or node in found or (each is not value and name_of(each) in stands):
            continue
        found[node] = None
        waiting += [v for v in node.inputs if v is not None and constant(v) is None]
        if len(found) > 64:  # a step is an op, or the few that one was lowered to
            return None
    return list(found)


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring nodes into an order in which they can be run, without those that nothing reads."""
    copy = ir.from_proto(model)
    from onnx_ir.passes import common

    common.RemoveUnusedNodesPass()(copy)
    common.TopologicalSortPass()(copy)
    return ir.to_proto(copy)
