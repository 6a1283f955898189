"""Let tf2onnx visit only the readers of a value when it replaces the value.

Its rewriters pass all nodes of the graph to ``replace_all_inputs``, which registers each of them as
a reader of the new value. An export with thousands of matched patterns, such as the dense layers of
an unrolled ``TimeDistributed``, takes time that grows with the square of their number. A node that
does not read the old value is not changed, so leaving it out gives the same graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def visiting_consumers_only() -> Iterator[None]:
    """Visit only the readers of a replaced value while the block runs."""
    from tf2onnx.graph import Graph

    replace = Graph.replace_all_inputs

    def replace_in_readers(self: Any, old: str, new: str, ops: Any = None) -> None:
        readers = None if ops is None else [node for node in ops if old in node.input]
        replace(self, old, new, readers)

    Graph.replace_all_inputs = replace_in_readers
    try:
        yield
    finally:
        Graph.replace_all_inputs = replace
