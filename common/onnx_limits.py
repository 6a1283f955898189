"""Refuse ONNX models that are too large for a conversion, before any library works on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import onnx

from ..errors import InputFileError
from .inlining import Body, RecursiveCallError, inlined
from .limits import (
    LARGEST_CALL_DEPTH,
    LARGEST_EDGES,
    LARGEST_WEIGHTS,
    SIMPLIFY,
    bytes_text,
    check_limit,
    check_model_file,
    check_nodes,
)
from .memory import available_memory
from .onnx_shape_values import check_shape_values

_MAIN: Hashable = ()
"""Key of the main graph among the functions."""
_PACKED = re.compile(r"U?INT[24]|FLOAT[46]\w+")
"""Types of less than 8 bits."""


def load_limited(path: Path, *, load_weights: bool = True) -> onnx.ModelProto:
    """Load an ONNX file of any origin, and check its size before its external weights are read.

    Raises:
        InputFileError: it exceeds a limit, or weights do not fit the memory or their file.
        Exception: protobuf or onnx cannot read it; they have no common base class.
    """
    check_model_file(path)
    model = onnx.load(path, load_external_data=False)
    check_onnx_limits(model, path)
    if load_weights:
        _check_external(model, path)
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    return model


def check_onnx_limits(model: onnx.ModelProto, origin: Path) -> None:
    """Check the numbers of nodes, values and weights, and how deep functions and graphs nest.

    Raises:
        InputFileError: one exceeds its limit, or a function calls itself; names ``origin``.
    """
    bodies = {_MAIN: _body(model.graph.node)}
    for function in model.functions:
        # Two versions of a function differ in ``overload``.
        key = (function.domain, function.name, function.overload)
        bodies[key] = _body(function.node)
    try:
        whole = inlined(bodies)[_MAIN]
    except RecursiveCallError as error:
        (key,) = error.args
        raise InputFileError(
            f"{origin}: its function {key[1]!r:.80} calls itself, expected functions that can be "
            f"inlined; {SIMPLIFY}"
        ) from None
    check_nodes(origin, whole.nodes, sum(body.nodes for body in bodies.values()))
    edges = whole.edges + len(model.graph.input) + len(model.graph.output)
    edges += len(model.graph.value_info)
    check_limit(origin, "inputs and outputs of nodes", edges, LARGEST_EDGES, SIMPLIFY)
    what = "graphs and functions within each other"
    check_limit(origin, what, whole.depth, LARGEST_CALL_DEPTH, SIMPLIFY)
    weights = len(model.graph.initializer) + len(model.graph.sparse_initializer)
    check_limit(origin, "weights", weights, LARGEST_WEIGHTS, SIMPLIFY)
    check_shape_values(model, origin)


def _body(nodes: Iterable[onnx.NodeProto]) -> Body:
    """Count nodes, including those of inner graphs."""
    body, calls = Body(), Counter[Hashable]()
    todo = [(node, 0) for node in nodes]
    while todo:
        node, depth = todo.pop()
        body.nodes += 1
        body.edges += len(node.input) + len(node.output)
        body.depth = max(body.depth, depth)
        calls[node.domain, node.op_type, node.overload] += 1
        for graph in _inner_graphs(node):
            todo += [(inner, depth + 1) for inner in graph.node]
    body.calls = calls
    return body


def _inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            yield item.g
        yield from item.graphs


def tensors_of(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield all tensors below a protobuf message, those of inner graphs and functions too.

    The recursion is bounded: protobuf refuses messages nested deeper than 100.
    """
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for descriptor, value in message.ListFields():  # only the fields that are set
        if descriptor.message_type is not None:
            # A message, or the messages of a repeated field. ``is_repeated`` is new in protobuf 6.
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from tensors_of(inner)


def _check_external(model: onnx.ModelProto, path: Path) -> None:
    """Check the sizes of weights in other files against their shapes and against the memory."""
    total = 0
    for tensor in tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            total += _checked_bytes(tensor, path)
    free = available_memory()
    if total > free:
        raise InputFileError(
            f"{path}: its weights need {bytes_text(total)} of memory, but {bytes_text(free)} are "
            "available; use a machine or container with more memory"
        )


def _checked_bytes(tensor: onnx.TensorProto, path: Path) -> int:
    """Return how many bytes a weight in another file has.

    Raises:
        InputFileError: its shape, its length and its file do not agree.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = path.parent / entries.get("location", "")
    try:
        start, size = int(entries.get("offset", "0")), file.stat().st_size
        length = int(entries["length"]) if entries.get("length") else size - start
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{path}: its weight {tensor.name!r:.80} cannot be read from another file: {error}"
        ) from None
    expected = width * prod(tensor.dims)
    # Types of less than 8 bits are packed: two or more values to a byte.
    fits = length <= expected if _is_packed(tensor) else length == expected
    if min(tensor.dims, default=1) < 0 or start < 0 or not fits or start + length > size:
        raise InputFileError(
            f"{path}: its weight {tensor.name!r:.80} of shape {list(tensor.dims)} needs "
            f"{expected:,} bytes, but {file.name!r:.80} has {length:,} bytes for it, from byte "
            f"{start:,} of {size:,}; copy the file again, or export the model again"
        )
    return length


def _is_packed(tensor: onnx.TensorProto) -> bool:
    return _PACKED.fullmatch(onnx.TensorProto.DataType.Name(tensor.data_type)) is not None
