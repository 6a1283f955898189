"""Give the nodes of functions names that differ from those of the graphs that call them.

    concat, While(body: concat)  ->  concat, While(body: concat_inner)

TensorFlow keeps the names of a function apart from those of the graph that calls it. tf2onnx makes
a loop body of the function, in which a name means a value of the outer graph too: a graph with an
outer and an inner ``concat`` gets a cycle, or reads the wrong value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .graph_nodes import functions_of

_SUFFIX = "_inner"


def rename_inside(graph: Any) -> None:
    """Rename the nodes and arguments of functions in a GraphDef, in place, where names clash.

    The names of a function differ from those of all functions called further outside, because
    tf2onnx inserts the condition of a loop into its body.
    """
    functions = {function.signature.name: function for function in graph.library.function}
    taken, seen = {node.name for node in graph.node}, set[str]()
    level = _called(graph.node, functions)
    while level := [name for name in dict.fromkeys(level) if name not in seen]:
        seen.update(level)
        for name in level:
            _rename(functions[name], taken)
        taken = taken.union(*(_names(functions[name]) for name in level))
        level = [n for name in level for n in _called(functions[name].node_def, functions)]


def _called(nodes: Iterable[Any], functions: dict[str, Any]) -> list[str]:
    return [n for node in nodes for n in sorted(functions_of(node)) if n in functions]


def _names(function: Any) -> set[str]:
    return {each.name for each in (*function.signature.input_arg, *function.node_def)}


def _rename(function: Any, taken: set[str]) -> None:
    own = _names(function)
    new = dict[str, str]()
    for name in sorted(own & taken):
        free = name + _SUFFIX
        while free in own or free in taken:
            free += _SUFFIX
        new[name] = free
        own.add(free)
    if not new:
        return

    def renamed(reference: str) -> str:
        # "node:output:0", "argument" or "^node"
        order, name = ("^", reference[1:]) if reference.startswith("^") else ("", reference)
        head, colon, tail = name.partition(":")
        return f"{order}{new.get(head, head)}{colon}{tail}"

    for argument in function.signature.input_arg:
        argument.name = new.get(argument.name, argument.name)
    for node in function.node_def:
        node.name = new.get(node.name, node.name)
        node.input[:] = [renamed(reference) for reference in node.input]
        node.attr.pop("_class", None)  # names of nodes on the same device
    for results in (function.ret, function.control_ret):
        for key, reference in list(results.items()):
            results[key] = renamed(reference)
