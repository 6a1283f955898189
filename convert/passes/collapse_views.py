"""Chains of Reshape, Squeeze, Unsqueeze, Flatten, Transpose -> Reshape -> Transpose -> Reshape at
most.

    Transpose(0,3,1,2) . Transpose(0,2,3,1)         ->  nothing
    Reshape . Squeeze . Unsqueeze                   ->  Reshape
    Reshape . Transpose . Reshape . Transpose       ->  Reshape . Transpose . Reshape (``views``)

A chain is collapsed only if fewer nodes come out; nodes that something else reads too stay.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.views import View, view_of
from ..graph import (
    has_one_use,
    new_initializer,
    replace_value,
    static_shape,
    take_over,
    the,
    typed_like,
)
from ..outcome import Outcome

VIEW_OPS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")


def chain_ending_at(node: ir.Node) -> list[ir.Node]:
    """Return the longest chain of view ops that ends at ``node``, first node first."""
    chain = [node]
    while True:
        source = chain[0].inputs[0]
        above = source.producer() if source is not None else None
        if above is None or above.op_type not in VIEW_OPS:
            return chain
        chain.insert(0, above)


def chain_view(chain: list[ir.Node]) -> View | None:
    """Return what a chain of view ops does, or None when a shape in it is unknown."""
    source = static_shape(chain[0].inputs[0])
    shapes = [static_shape(node.outputs[0]) for node in chain]
    if source is None or any(shape is None for shape in shapes) or 0 in source:
        return None
    moved = np.arange(int(np.prod(source)), dtype=np.int64).reshape(source)
    for node, shape in zip(chain, shapes, strict=True):
        if node.op_type == "Transpose":
            perm = node.attributes.get("perm")
            moved = moved.transpose(perm.as_ints() if perm else None)
        else:
            moved = moved.reshape(shape)
    return view_of(source, moved)


def node_count(source: tuple[int, ...] | None, view: View) -> int:
    """How many nodes :func:`view_nodes` makes."""
    if not view.moves:
        return int(source != view.shape)
    moved = tuple(view.factors[i] for i in view.perm)
    return int(source != view.factors) + 1 + int(moved != view.shape)


def view_nodes(graph: ir.Graph, source: ir.Value, view: View) -> list[ir.Node]:
    """Make the nodes of ``view`` on ``source``; steps that do nothing are left out."""
    nodes: list[ir.Node] = []
    here, shape = source, static_shape(source)

    def step(
        op_type: str,
        inputs: list[ir.Value],
        to: tuple[int, ...],
        perm: tuple[int, ...] | None = None,
    ) -> None:
        nonlocal here, shape
        node = ir.node(op_type, inputs, attributes={"perm": perm} if perm else None)
        here, shape = typed_like(node.outputs[0], source, to), to
        nodes.append(node)

    def reshape(to: tuple[int, ...]) -> None:
        if to != shape:
            target = new_initializer(graph, np.array(to, np.int64), "shape")
            step("Reshape", [here, target], to)

    if view.moves:
        reshape(view.factors)
        step("Transpose", [here], tuple(view.factors[i] for i in view.perm), perm=view.perm)
    reshape(view.shape)
    return nodes


def _best_chain(node: ir.Node) -> tuple[list[ir.Node], View] | None:
    """Return the chain that ends at ``node`` and gains most, with its view; None if none gains."""
    chain, best, gain = chain_ending_at(node), None, 0
    for start in range(len(chain)):
        part = chain[start:]
        view = chain_view(part)
        if view is None:
            continue
        shared = [i for i, inner in enumerate(part[:-1]) if not has_one_use(inner.outputs[0])]
        removable = len(part) - 1 - max(shared, default=-1)
        better = removable - node_count(static_shape(part[0].inputs[0]), view)
        if better > gain:
            best, gain = (part, view), better
    return best


def collapse_views(model: ir.Model) -> Outcome:
    """Collapse every chain that gets shorter."""
    changed, graph = 0, model.graph
    for node in reversed(list(graph)):
        if node.graph is None or node.op_type not in VIEW_OPS:
            continue
        if (best := _best_chain(node)) is None:
            continue
        chain, view = best
        source, result = the(chain[0].inputs[0]), node.outputs[0]
        made = view_nodes(graph, source, view)
        if (
            not made
            and result.is_graph_output()
            and (source.producer() is None or source.is_graph_output())
        ):
            continue  # an output must have a producer, and one of its own
        graph.insert_after(node, made)
        if made:
            take_over(result, made[-1].outputs[0])
        else:
            replace_value(result, source)
        for old in reversed(chain):
            if not any(list(value.uses()) or value.is_graph_output() for value in old.outputs):
                graph.remove(old, safe=True)
        changed += 1
    return Outcome(changed=changed)
