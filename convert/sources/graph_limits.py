"""Refuse GraphDefs that are too large for a conversion, before TensorFlow loads or inlines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from ...common.inlining import Body, RecursiveCallError, inlined
from ...common.limits import LARGEST_CALL_DEPTH, LARGEST_EDGES, SIMPLIFY, check_limit, check_nodes
from ...errors import InputFileError
from .graph_nodes import functions_of

_MAIN: Hashable = ()
"""Key of the graph itself among its functions, whose keys are their names."""


def check_graph_limits(path: Path, graph: Any, *, is_called_by_signature: bool = False) -> None:
    """Check the numbers of nodes and inputs after inlining, and how deep functions nest.

    Args:
        path: the model, for the message.
        graph: the GraphDef.
        is_called_by_signature: only one of the functions that the graph calls is used, such as
            that of a SavedModel's signature. Otherwise all of them are inlined into the graph.

    Raises:
        InputFileError: a number exceeds its limit, or a function calls itself.
    """
    bodies = {_MAIN: _body(graph.node)}
    for function in graph.library.function:
        bodies[function.signature.name] = _body(function.node_def)
    stated = sum(body.nodes for body in bodies.values())
    if is_called_by_signature:
        bodies[_MAIN].calls = Counter()
    try:
        whole = inlined(bodies)
    except RecursiveCallError as error:
        raise InputFileError(
            f"{path}: its function {error.args[0]!r:.80} calls itself, expected functions that can "
            f"be inlined; {SIMPLIFY}"
        ) from None
    checked = list(whole.values()) if is_called_by_signature else [whole[_MAIN]]
    for body in sorted(checked, key=lambda body: -body.nodes):  # the error states the largest
        check_nodes(path, body.nodes, stated)
        check_limit(path, "inputs of nodes", body.edges, LARGEST_EDGES, SIMPLIFY)
        what = "functions, branches and loops within each other"
        check_limit(path, what, body.depth, LARGEST_CALL_DEPTH, SIMPLIFY)


def _body(nodes: Iterable[Any]) -> Body:
    """Count nodes and calls. An op may be the call of a function of that name."""
    body, calls = Body(), Counter[Hashable]()
    for node in nodes:
        body.nodes += 1
        body.edges += len(node.input)
        calls.update([node.op, *functions_of(node)])
    body.calls = calls
    return body
