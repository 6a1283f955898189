"""Follow the nodes of a GraphDef and the functions that they call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def node_of(tensor: str) -> str:
    """Return the name of the node that computes a tensor or is a control input."""
    return tensor.lstrip("^").split(":")[0]


def functions_of(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node calls."""
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (func.name for func in value.list.func)


def upstream(nodes: Iterable[Any], results: Iterable[str], *, control: bool) -> list[Any]:
    """Return the nodes that results depend on; ``control``: through control inputs too."""
    known = {node.name: node for node in nodes}
    todo = [node_of(name) for name in results]
    seen = set(todo)
    for name in todo:  # the loop appends to the list
        for each in known[name].input if name in known else ():
            if (control or not each.startswith("^")) and node_of(each) not in seen:
                seen.add(node_of(each))
                todo.append(node_of(each))
    return [known[name] for name in todo if name in known]
