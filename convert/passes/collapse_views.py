"""Shorten a chain of views: at most Reshape, Transpose, Reshape are left.

    Transpose(0,3,1,2) . Transpose(0,2,3,1)         ->  nothing
    Reshape . Squeeze . Unsqueeze                   ->  Reshape
    Reshape . Transpose . Reshape . Transpose       ->  Reshape . Transpose . Reshape

A view is a Reshape, Squeeze, Unsqueeze, Flatten or Transpose; ``analysis.views`` computes the
normal form. All shapes along a chain must be known. A node of the chain that other nodes read stays
in the graph.

A chain of more nodes is rewritten part by part, from its end. Ends because a node is visited again
only after a rewrite, and each rewrite makes the number of nodes fall.
"""

from __future__ import annotations

import onnx_ir as ir

from ..analysis.views import Move, View, view_of_chain
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
_LONGEST = 16
"""Nodes of a chain that are read at once: the time grows with the square of this number."""


def _chain_ending_at(node: ir.Node) -> list[ir.Node]:
    """Return the chain of at most ``_LONGEST`` view ops that ends at ``node``, first node first."""
    chain = [node]
    while len(chain) < _LONGEST:
        above = producer(chain[-1].inputs[0], *VIEW_OPS)
        if above is None:
            break
        chain.append(above)
    return chain[::-1]


def _chain_view(chain: list[ir.Node]) -> View | None:
    """Return the normal form of a chain; None if a shape is unknown or an axis has size 0."""
    source, moves = static_shape(chain[0].inputs[0]), list[Move]()
    if source is None:
        return None
    rank = len(source)
    for node in chain:
        shape, perm = static_shape(node.outputs[0]), None
        if shape is None:
            return None
        if node.op_type == "Transpose":
            perm = tuple(attribute(node, "perm", range(rank)[::-1]))  # by default all axes reversed
        moves.append(Move(shape=shape, perm=perm))
        rank = len(shape)
    return view_of_chain(source, moves)


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


def _rewrite(graph: ir.Graph, chain: list[ir.Node], view: View) -> ir.Value | None:
    """Replace a chain by its view; return the new value, or None if the chain must stay."""
    source, result, build = not_none(chain[0].inputs[0]), chain[-1].outputs[0], NodeBuilder(graph)
    new = _add_view(build, source, view)
    if (
        new is source
        and result.is_graph_output()
        and (source.producer() is None or source.is_graph_output())
    ):
        return None  # an output must have a producer, and one of its own
    build.insert_after(chain[-1])
    if new is source:
        replace_value(result, source)
    else:
        replace_keeping_name(result, new)
    # Nodes with other readers stay, see ``_best_chain``.
    for old in reversed(chain):
        if not any(map(is_read, old.outputs)):
            graph.remove(old, safe=True)
    return new


def collapse_views(model: ir.Model) -> Outcome:
    """Rewrite every chain that gets shorter."""
    changed, graph = 0, model.graph
    # From the outputs back, so that a chain is complete at its last node.
    for each in reversed(list(graph)):
        node: ir.Node | None = each
        while node is not None and node.graph is not None and node.op_type in VIEW_OPS:
            if (best := _best_chain(node)) is None:
                break
            new = _rewrite(graph, *best)
            changed += int(new is not None)
            # A chain of this length may be a part of a longer one, which now ends at the new node.
            is_part = new is not None and len(best[0]) == _LONGEST
            node = new.producer() if new is not None and is_part else None
    return Outcome(changed=changed)
