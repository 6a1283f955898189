"""Nodes in an order that depends only on the graph.

    c = f(x), b = g(x), y = Add(b, c)   ->   b = g(x), c = f(x), y = Add(b, c)

Exporters iterate over sets, so parallel branches change places from one process to the next. The
order here is depth first from the outputs, inputs from left to right: every node comes after all
that it reads. Each node is visited once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..outcome import Outcome


def _reads(node: ir.Node) -> list[ir.Value]:
    """Return all values that a node reads, also those that its inner graphs read, at any depth."""
    found = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner = attribute.as_graph()
            found += [value for deep in inner for value in _reads(deep)]
            found += list(inner.outputs)
    return found


def _readers_last(graph: ir.Graph) -> list[ir.Node]:
    # A stack in place of recursion: graphs are deeper than Python's call stack.
    done: dict[ir.Node, None] = {}
    todo = [node for value in reversed(graph.outputs) if (node := value.producer()) is not None]
    while todo:
        node = todo[-1]
        above = [
            maker
            for v in _reads(node)
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
    order = _readers_last(graph)
    changed = list(graph) != order
    graph.remove(list(graph))
    graph.extend(order)
    return Outcome(changed=int(changed))
