"""Small helpers for ``onnx_ir`` graphs, shared by passes, quantization and engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.input_size import InputSize

OPSET = 20
"""Opset of every converted graph: the first one that has Gelu."""

Shape = tuple[int, ...]

Graphs = dict[InputSize, onnx.ModelProto]
"""A graph for each input size; all have the same tensors."""

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
"""Permutations for Transpose: from NCHW to NHWC, and its inverse."""


def constant(value: ir.Value | None) -> npt.NDArray | None:
    """Return the array of an initializer or a Constant node; None for any other value."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else tensor.numpy()


def not_none(value: ir.Value | None) -> ir.Value:
    """Return ``value``, which the caller knows is not None; narrows the type for mypy."""
    assert value is not None
    return value


def name_of(value: ir.Value | None) -> str:
    """Return the name of a value that must have one."""
    name = not_none(value).name
    assert name is not None
    return name


def result_name(node: ir.Node) -> str:
    """Return the name of a node's first output that has one.

    An LSTM of which only the last state is used has no name for its first output.
    """
    return next(name_of(value) for value in node.outputs if value.name)


def array_of(value: ir.Value | None) -> npt.NDArray:
    """Return the array of a value that must be a constant."""
    array = constant(value)
    assert array is not None
    return array


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Return an optional input; None if the node leaves it out or has fewer inputs."""
    return node.inputs[index] if index < len(node.inputs) else None


def constant_input(node: ir.Node, index: int) -> npt.NDArray | None:
    """Return the array of an optional input; None if it is absent or not constant."""
    return constant(input_of(node, index))


def nodes_of(model: ir.Model, *op_types: str) -> list[ir.Node]:
    """Return the nodes of these types in the main graph, in order.

    It is a copy, so that a caller can remove nodes while it iterates.
    """
    return [node for node in model.graph if node.op_type in op_types]


def constant_last(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Return the two operands of a node, the constant one last; None if neither is constant."""
    for value, other in (node.inputs, reversed(node.inputs)):
        if value is not None and constant(other) is not None:
            return value, not_none(other)
    return None


def shape_of(value: ir.Value | None) -> Shape:
    """Return a shape that must be known."""
    shape = static_shape(value)
    assert shape is not None, f"the shape of {name_of(value)} is not known"
    return shape


def static_shape(value: ir.Value | None) -> Shape | None:
    """Return a shape if all of its dimensions are known, else None."""
    if value is None or value.shape is None:
        return None
    dims = tuple(d for d in value.shape if isinstance(d, int))
    return dims if len(dims) == len(value.shape) else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that computes ``value`` if it is one of ``op_types``, else None."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def consumers(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that read ``value``, each once, in order."""
    return list(dict.fromkeys(node for node, _ in value.uses()))


def is_read(value: ir.Value) -> bool:
    """Whether anything reads ``value``, or the graph returns it."""
    return bool(list(value.uses())) or value.is_graph_output()


def has_one_use(value: ir.Value) -> bool:
    """Whether exactly one input of one node reads ``value``, and the graph does not return it."""
    return len(list(value.uses())) == 1 and not value.is_graph_output()


def graph_of(node: ir.Node) -> ir.Graph:
    """Return the graph of a node that is in one."""
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def reads_of(node: ir.Node) -> list[ir.Value]:
    """Return all values that a node reads, including those that its inner graphs read."""
    found = [value for value in node.inputs if value is not None]
    for item in node.attributes.values():
        if item.type == ir.AttributeType.GRAPH:
            inner = item.as_graph()
            found += [value for deep in inner for value in reads_of(deep)]
            found += list(inner.outputs)
    return found


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """Return an attribute's value, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def new_initializer(graph: ir.Graph, array: npt.NDArray, hint: str) -> ir.Value:
    """Add a constant to ``graph`` under a free name that begins with ``hint``."""
    # Names of constants end in a number in parentheses, which exporters do not write: a name that
    # is free among constants is free among all values.
    number = len(graph.initializers)
    while (name := f"{hint}({number})") in graph.initializers:
        number += 1
    value = ir.Value(
        name=name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array.copy(order="C"), name=name),
    )
    graph.register_initializer(value)
    return value


def set_constant_input(node: ir.Node, index: int, array: npt.NDArray) -> None:
    """Set an input of a node to a new constant; ``index`` may be one past its last input."""
    old = input_of(node, index)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    # The name lasts only until ``name_values``; it helps when a graph is inspected between passes.
    node.replace_input_with(index, new_initializer(graph, array, str(old and old.name)))


def typed_like(value: ir.Value, other: ir.Value, shape: Sequence[int] | None = None) -> ir.Value:
    """Give ``value`` the element type of ``other`` and a shape (that of ``other`` by default)."""
    value.type = other.type
    value.shape = ir.Shape(shape) if shape is not None else other.shape
    return value


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Replace ``old`` by ``new`` in all readers; an output of the graph keeps its name."""
    if old.is_graph_output():
        replace_keeping_name(old, new)
    else:
        ir.convenience.replace_all_uses_with(old, new)


def replace_keeping_name(old: ir.Value, new: ir.Value) -> None:
    """Like :func:`replace_value`, but ``new`` always gets the name of ``old``."""
    transfer_name(old, new)
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def transfer_name(old: ir.Value, new: ir.Value, suffix: str = "_replaced") -> None:
    """Give the name of ``old`` to ``new``; ``old`` gets the same name with a suffix."""
    old.name, new.name = f"{old.name}{suffix}", old.name


def along_axis(vector: npt.NDArray, axis: int, rank: int) -> npt.NDArray:
    """Reshape a vector (C,) so that it broadcasts along one axis of an array of that rank."""
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)  # (1, ..., C, ..., 1)


def inverse(perm: Sequence[int]) -> tuple[int, ...]:
    """Return the permutation that undoes ``perm``."""
    return tuple(int(axis) for axis in np.argsort(perm))


def remove_dead_nodes(model: ir.Model) -> None:
    """Remove the nodes whose results no node reads and the graph does not return."""
    common.RemoveUnusedNodesPass()(model)


def drop_unused_initializers(graph: ir.Graph) -> None:
    """Remove the initializers that no node reads any more."""
    for name, value in list(graph.initializers.items()):
        if not list(value.uses()):
            del graph.initializers[name]
