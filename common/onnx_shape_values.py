"""Bound the numbers that ONNX's shape inference computes while it propagates constants.

Shape inference follows short lists of numbers, such as sizes, through some ops. Each number takes
about 240 bytes there. Concat nodes that read their own result twice double a list at each node: 30
nodes of a file of 2 KB take all memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

import onnx
import onnx.inliner

from .limits import LARGEST_SHAPE_VALUES, SIMPLIFY, check_limit

_SHAPES = frozenset({"Shape", "Size"})
_SAME = frozenset(
    {"Identity", "Cast", "Squeeze", "Unsqueeze", "Slice", "Add", "Sub", "Mul", "Reshape"}
)
"""Ops whose result has at most as many numbers as their longest input."""
_LARGEST_RANK = 64


def check_shape_values(model: onnx.ModelProto, origin: Path) -> None:
    """Check how many numbers the Concat nodes of a model may yield in shape inference.

    Raises:
        InputFileError: there are too many; names ``origin``.
    """
    if not any(node.op_type == "Concat" for node in _nodes(model)):
        return
    graph = model.graph
    if any(node.op_type == "Concat" for each in model.functions for node in each.node):
        # A function does not state the length of its inputs.
        graph = onnx.inliner.inline_local_functions(model).graph
    known = {tensor.name: prod(tensor.dims) for tensor in graph.initializer if len(tensor.dims) < 2}
    found = _yielded(graph.node, known)
    what = "numbers in the lists that its Concat nodes join"
    check_limit(origin, what, found, LARGEST_SHAPE_VALUES, SIMPLIFY)


def _nodes(model: onnx.ModelProto) -> Iterable[onnx.NodeProto]:
    todo = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    for node in todo:  # the list grows while it is read
        yield node
        for item in node.attribute:
            todo += item.g.node


def _yielded(nodes: Iterable[onnx.NodeProto], known: dict[str, int]) -> int:
    """Add the lengths of lists to ``known``; return the sum of those that Concat nodes join."""
    total = 0
    for node in nodes:
        lengths = [known[name] for name in node.input if name in known]
        if node.op_type in _SHAPES:
            length: int | None = _LARGEST_RANK
        elif node.op_type == "Constant":
            length = _length_of(node)
        elif node.op_type == "Concat" and len(lengths) == len(node.input):
            length = sum(lengths)
            total += length
        elif node.op_type == "Gather":
            length = known.get(node.input[1]) if len(node.input) > 1 else None
        else:
            length = max(lengths, default=None) if node.op_type in _SAME else None
        if length is not None:
            # An inner graph may give its own values the names of outer ones: the longest counts.
            known.update((name, max(length, known.get(name, 0))) for name in node.output)
        for item in node.attribute:
            total += _yielded(item.g.node, known) if item.g.node else 0
    return total


def _length_of(node: onnx.NodeProto) -> int | None:
    """Return how many numbers a Constant has; None if it has two axes or more."""
    for item in node.attribute:
        if item.type == onnx.AttributeProto.TENSOR:
            return prod(item.t.dims) if len(item.t.dims) < 2 else None
        return max(1, len(item.ints), len(item.floats))
    return None
