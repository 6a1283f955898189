"""Change the body of a Loop: its values, shapes, names and constants."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnx_ir.passes import common

from ...common.onnx_shapes import infer_shapes
from ..graph import constant_input, nodes_of, not_none
from ..node_builder import NodeBuilder

Fold = Callable[[ir.Model], object]
"""Folds the constants of a model."""


def inner_graphs(node: ir.Node) -> list[ir.Graph]:
    """Return the bodies of a Loop or Scan, or the branches of an If."""
    items = node.attributes.values()
    return [item.as_graph() for item in items if item.type == ir.AttributeType.GRAPH]


def deep_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph and of all graphs inside it."""
    found = list[ir.Node]()
    for node in graph:
        found.append(node)
        for inner in inner_graphs(node):
            found += deep_nodes(inner)
    return found


def replace_inside(body: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Replace the uses of a value in a body and in the graphs inside it."""
    inside = set(deep_nodes(body))
    for node, index in list(old.uses()):
        if node in inside:
            node.replace_input_with(index, new)
    for index, value in enumerate(body.outputs):
        if value is old:
            body.outputs[index] = new


def _infer_shapes(inner: ir.Model) -> None:
    """Infer shapes, also behind Slices at a computed place, such as x[t : t + 1].

    ONNX' own inference then knows no axis of the result, not even those that are not cut.
    """
    slices = nodes_of(inner, "Slice")
    for _ in range(len(slices) + 1):  # one Slice may read another
        infer_shapes(inner)
        changed = 0
        for node in slices:
            old, axes = not_none(node.inputs[0]).shape, constant_input(node, 3)
            value = node.outputs[0]
            if old is None or axes is None or value.shape is None:
                continue
            cut = {int(axis) % len(old) for axis in axes}
            sizes = [new if a in cut else old[a] for a, new in enumerate(value.shape)]
            if sizes != list(value.shape):
                value.shape = ir.Shape(sizes)
                changed += 1
        if not changed:
            return


def infer_body(model: ir.Model, body: ir.Graph, fold: Fold) -> None:
    """Infer the shapes in a body, and fold what they make constant."""
    body.opset_imports.update(model.graph.opset_imports)
    for node in body:
        # ONNX' inference finds no shapes behind a loop; those of a closed loop are known.
        for value in node.outputs if node.op_type != "Loop" else ():
            value.shape = None
    inner = ir.Model(body, ir_version=10)
    # Nodes that only led to dropped values read inputs that the body no longer has, and shape
    # inference fails at them.
    common.RemoveUnusedNodesPass()(inner)
    _infer_shapes(inner)
    fold(inner)
    _infer_shapes(inner)
    build, made = NodeBuilder(body), set[ir.Value]()
    for index, value in enumerate(body.outputs):
        # Folding leaves inputs and constants as outputs, and may merge two outputs to one.
        if value.producer() is None or value in made:
            body.outputs[index] = value = build.op("Identity", value)
        made.add(value)
    body.extend(build.nodes)


def rename_made(body: ir.Graph, owner: str) -> None:
    """Give the values that were made here names that are free in the outer graph too."""
    made = [*body.initializers.values(), *(v for node in deep_nodes(body) for v in node.outputs)]
    for number, value in enumerate(made):
        # onnx_ir numbers values (val_3) and we number constants (x(3)), in each graph from 0.
        if value.name and value.name.startswith("val_"):
            value.name = f"{owner}.val_{number}"
        elif value.name and value.name.endswith(")"):
            value.name = f"{owner}.constant_{number}"


def lift_initializers(body: ir.Graph, graph: ir.Graph) -> None:
    """Move the constants of a body to the outer graph: TensorRT's parser ignores them in a body."""
    for name, value in list(body.initializers.items()):
        del body.initializers[name]
        graph.register_initializer(value)
