"""Small helpers on ``onnx_ir`` graphs, shared by the passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common

OPSET = 20
"""Opset of every graph inside ocr-trt: the first with Gelu."""


def constant(value: ir.Value | None) -> npt.NDArray | None:
    """Return what a value always is, or None if it depends on the input."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else tensor.numpy()


def the(value: ir.Value | None) -> ir.Value:
    """Return a value that must be there."""
    assert value is not None
    return value


def name_of(value: ir.Value | None) -> str:
    """Return the name of a value that must have one."""
    name = the(value).name
    assert name is not None
    return name


def array_of(value: ir.Value | None) -> npt.NDArray:
    """Return what a value that must be constant is."""
    array = constant(value)
    assert array is not None
    return array


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """Return a shape that must be known."""
    shape = static_shape(value)
    assert shape is not None, f"the shape of {name_of(value)} is not known"
    return shape


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return a shape all of whose dimensions are known, or None."""
    if value is None or value.shape is None:
        return None
    dims = tuple(d for d in value.shape if isinstance(d, int))
    return dims if len(dims) == len(value.shape) else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that makes ``value`` if it is one of ``op_types``, else None."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def consumers(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that read ``value``, each once, in order."""
    return list(dict.fromkeys(node for node, _ in value.uses()))


def is_output(value: ir.Value) -> bool:
    """Whether the graph returns ``value``."""
    return value.is_graph_output()


def is_read(value: ir.Value) -> bool:
    """Whether anything reads ``value``, or the graph returns it."""
    return bool(list(value.uses())) or is_output(value)


def has_one_use(value: ir.Value) -> bool:
    """Whether exactly one input of one node reads ``value``, and the graph does not return it."""
    return len(list(value.uses())) == 1 and not is_output(value)


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


def typed_like(value: ir.Value, other: ir.Value, shape: Sequence[int] | None = None) -> ir.Value:
    """Give ``value`` the element type of ``other`` and a shape (that of ``other`` by default)."""
    value.type = other.type
    value.shape = ir.Shape(shape) if shape is not None else other.shape
    return value


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Let everything that reads ``old`` read ``new``; a graph output keeps its name."""
    if is_output(old):
        take_over(old, new)
    else:
        ir.convenience.replace_all_uses_with(old, new)


def take_over(old: ir.Value, new: ir.Value) -> None:
    """Like :func:`replace_value`, and ``new`` gets the name of ``old`` in any case."""
    old.name, new.name = f"{old.name}_replaced", old.name
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def drop_dead(model: ir.Model) -> None:
    """Remove nodes that nothing reads."""
    common.RemoveUnusedNodesPass()(model)
