"""Shorten a chain of views: at most Reshape, Transpose, Reshape are left.

    Transpose(0,3,1,2) . Transpose(0,2,3,1)         ->  nothing
    Reshape . Squeeze . Unsqueeze                   ->  Reshape
    Reshape . Transpose . Reshape . Transpose       ->  Reshape . Transpose . Reshape

A view is a Reshape, Squeeze, Unsqueeze, Flatten or Transpose; ``analysis.views`` computes the
normal form. All shapes along a chain must be known. A node of the chain that other nodes read stays
in the graph.

Ends because each node is visited once, and a chain is rewritten only if the number of nodes falls.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..analysis.views import View, view_of
from ..graph import (
    Shape,
    attribute,
    has_one_use,
    is_read,
    not_none,
    producer,
    replace_keeping_name,
    replace_value,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome

VIEW_OPS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")


def _chain_ending_at(node: ir.Node) -> list[ir.Node]:
    """Return the longest chain of view ops that ends at ``node``, first node first."""
    chain = [node]
    while (above := producer(chain[0].inputs[0], *VIEW_OPS)) is not None:
        chain.insert(0, above)
    return chain


def _chain_view(chain: list[ir.Node]) -> View | None:
    """Return the normal form of a chain; None if a shape is unknown or an axis has size 0."""
    source = static_shape(chain[0].inputs[0])
    shapes = [static_shape(node.outputs[0]) for node in chain]
    if source is None or any(shape is None for shape in shapes) or 0 in source:
        return None
    # Run the chain on the positions of the elements: the result shows where each element goes.
    moved = np.arange(int(np.prod(source)), dtype=np.int64).reshape(source)
    for node, shape in zip(chain, shapes, strict=True):
        if node.op_type == "Transpose":
            moved = moved.transpose(attribute(node, "perm"))  # None reverses all axes
        else:
            moved = moved.reshape(shape)
    return view_of(source, moved)


def node_count(source: Shape | None, view: View) -> int:
    """Return how many nodes :func:`_add_view` adds."""
    if not view.moves:
        return int(source != view.shape)
    moved = tuple(view.factors[i] for i in view.perm)
    return int(source != view.factors) + 1 + int(moved != view.shape)


def _add_view(build: NodeBuilder, x: ir.Value, view: View) -> ir.Value:
    """Add the nodes that apply ``view`` to ``x``, without steps that do nothing."""
    if view.moves:
        x = build.transpose(build.reshape(x, view.factors), view.perm)
    return build.reshape(x, view.shape)


def _best_chain(node: ir.Node) -> tuple[list[ir.Node], View] | None:
    """Return the chain to ``node`` that saves most nodes, and its view; None if none does."""
    chain, best, gain = _chain_ending_at(node), None, 0
    for start in range(len(chain)):
        part = chain[start:]
        view = _chain_view(part)
        if view is None:
            continue
        # All nodes up to the last one that has other readers must stay.
        shared = [i for i, inner in enumerate(part[:-1]) if not has_one_use(inner.outputs[0])]
        removable = len(part) - 1 - max(shared, default=-1)
        better = removable - node_count(static_shape(part[0].inputs[0]), view)
        if better > gain:
            best, gain = (part, view), better
    return best


def collapse_views(model: ir.Model) -> Outcome:
    """Rewrite every chain that gets shorter."""
    changed, graph = 0, model.graph
    # From the outputs back, so that a chain is complete at its last node.
    for node in reversed(list(graph)):
        if node.graph is None or node.op_type not in VIEW_OPS:
            continue
        if (best := _best_chain(node)) is None:
            continue
        chain, view = best
        source, result, build = not_none(chain[0].inputs[0]), node.outputs[0], NodeBuilder(graph)
        new = _add_view(build, source, view)
        if (
            new is source
            and result.is_graph_output()
            and (source.producer() is None or source.is_graph_output())
        ):
            continue  # an output must have a producer, and one of its own
        build.insert_after(node)
        if new is source:
            replace_value(result, source)
        else:
            replace_keeping_name(result, new)
        # Nodes with other readers stay, see ``_best_chain``.
        for old in reversed(chain):
            if not any(map(is_read, old.outputs)):
                graph.remove(old, safe=True)
        changed += 1
    return Outcome(changed=changed)
