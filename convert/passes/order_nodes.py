"""Sort nodes into an order that depends on the graph only.

    c = f(x), b = g(x), y = Add(b, c)   ->   b = g(x), c = f(x), y = Add(b, c)

Exporters iterate over sets, so the order of parallel branches changes from process to process. This
order is depth first from the outputs, with inputs from left to right; every node follows the nodes
that it reads.

Termination: each node is visited once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import reads_of
from ..outcome import Outcome


def _sorted_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes on which outputs depend, each behind the nodes that it reads."""
    # A stack instead of recursion, because graphs can be deeper than Python's call stack.
    done: dict[ir.Node, None] = {}
    todo = [node for value in reversed(graph.outputs) if (node := value.producer()) is not None]
    while todo:
        node = todo[-1]
        above = [
            maker
            for v in reads_of(node)
            if (maker := v.producer()) is not None and maker.graph is graph
        ]
        # A node is done when all nodes above it are; until then these go on the stack first.
        missing = [maker for maker in above if maker not in done]
        if node in done or not missing:
            done[todo.pop()] = None
        else:
            todo += reversed(missing)
    return list(done)


def order_nodes(model: ir.Model) -> Outcome:
    """Sort all nodes, and remove those that no output depends on."""
    graph = model.graph
    order = _sorted_nodes(graph)
    changed = list(graph) != order
    graph.remove(list(graph))
    graph.extend(order)
    return Outcome(changed=int(changed))
