"""Change all float types of a graph to float32.

    Op<T>(x: T)             ->  Op<float>(x: float)          T: float16, bfloat16 or double
    Cast<T>(x: float)       ->  x
    constant of type T      ->  the same numbers in float32

Integers and booleans keep their types. The pass changes weights, inner graphs, functions, and the
attributes that state a type. Constants are folded first, in their own types, so that positions that
a model counts in 16 bits keep their values. Masks such as -65504, the lowest float16, stay
as they are: behind a Softmax they are 0 in every type.

All later rules, and the targets' own fusions, expect float32. ``float_types.FloatTypes`` records
what the graph had, because a 16-bit model differs from its float32 graph by its own rounding.

Termination: each node and each value is visited once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

import onnx_ir as ir

from ...common.onnx_shapes import infer_shapes
from ..float_types import OTHER_FLOATS, FloatTypes, as_float32
from ..graph import constant, replace_value
from ..outcome import Outcome
from .fold_constants import fold_constants

_TYPES = {ir.DataType[name]: name for name in ("FLOAT16", "BFLOAT16", "DOUBLE")}
_NAMES = dict(zip(_TYPES, OTHER_FLOATS, strict=True))
_STATE_A_TYPE = frozenset({"to", "dtype", "output_dtype", "stash_type", "softmax_precision"})
"""Attributes of ONNX's ops whose number is a type."""
_PASS_ON = frozenset({"Constant", "Identity"})
"""Ops that compute nothing."""


def _graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    """Yield the main graph, the functions, and all graphs inside their nodes."""
    todo: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in todo:  # the list grows while it is read
        yield graph
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    todo.append(attribute.as_graph())
                elif attribute.type == ir.AttributeType.GRAPHS:
                    todo += attribute.as_graphs()


def _values(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    yield from graph.inputs
    if isinstance(graph, ir.Graph):
        yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _types_of(graph: ir.Graph | ir.Function) -> FloatTypes:
    """Count the constants and the results of a graph that have another float type."""
    results, constants = Counter[str](), Counter[str]()
    for value in _values(graph):
        node = value.producer()
        name = _NAMES.get(_element(value) or ir.DataType.UNDEFINED)
        if name is None:
            continue
        if constant(value) is not None:
            constants[name] += 1
        elif node is not None and node.op_type not in _PASS_ON:
            results[name] += 1
    return FloatTypes(results=results, constants=constants)


def _element(value: ir.Value) -> ir.DataType | None:
    return value.type.dtype if value.type is not None else None


def _has_other_types(model: ir.Model) -> bool:
    """Whether a declared type, a constant or an attribute is of another float type."""
    return any(
        any(_element(value) in _TYPES for value in _values(graph))
        or any(_states_other_type(a) for node in graph for a in node.attributes.values())
        for graph in _graphs(model)
    )


def _states_other_type(attribute: ir.Attr) -> bool:
    """Whether an attribute is such a type, or a tensor of it."""
    if attribute.is_ref():  # to an attribute of a function, which has no value
        return False
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().dtype in _TYPES
    is_type = attribute.type == ir.AttributeType.INT and attribute.name in _STATE_A_TYPE
    return is_type and attribute.as_int() in _TYPES


def _in_float32(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(as_float32(tensor.numpy()), name=tensor.name)


def _changed_type(kind: ir.TypeProtocol | None) -> ir.TypeProtocol | None:
    """Return a type with float32 in it, also inside sequences and optional values."""
    if kind is None or kind.dtype not in _TYPES:
        return kind
    changed = deepcopy(kind)  # values may share a type
    changed.dtype = ir.DataType.FLOAT  # of the innermost type
    return changed


def _change_attributes(node: ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        if not _states_other_type(attribute):
            continue
        if attribute.type == ir.AttributeType.TENSOR:
            node.attributes[name] = ir.AttrTensor(name, _in_float32(attribute.as_tensor()))
        else:
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT.value)


def _remove_casts(graph: ir.Graph | ir.Function) -> None:
    """Remove the casts that have the same type on both sides now."""
    for node in list(graph):
        if node.op_type not in ("Cast", "CastLike") or node.domain not in ("", "ai.onnx"):
            continue
        (result,), source = node.outputs, node.inputs[0]
        if source is None or not _element(source) == _element(result) == ir.DataType.FLOAT:
            continue
        if result.is_graph_output() or source.graph is not graph:
            # An output keeps its own node: the source may be an input or in an outer graph.
            same = ir.node("Identity", [source], outputs=None, name=node.name)
            same.outputs[0].type, same.outputs[0].shape = result.type, result.shape
            graph.insert_after(node, same)
            name = result.name
            ir.convenience.replace_all_uses_with(
                result, same.outputs[0], replace_graph_outputs=True
            )
            graph.remove(node)
            same.outputs[0].name = name
        else:
            replace_value(result, source)
            graph.remove(node, safe=True)


def normalize_types(model: ir.Model) -> Outcome:
    """Change every tensor of another float type to float32."""
    if not _has_other_types(model):
        return Outcome(changed=0)
    # Files need not declare the types of inner values.
    infer_shapes(model)
    found = sum(map(_types_of, _graphs(model)), FloatTypes())
    # Only a model with other types is folded here: any other reaches its first pass unchanged.
    fold_constants(model)
    for graph in _graphs(model):
        for value in _values(graph):
            if value.const_value is not None and value.const_value.dtype in _TYPES:
                value.const_value = _in_float32(value.const_value)
            value.type = _changed_type(value.type)
        for node in graph:
            _change_attributes(node)
        _remove_casts(graph)
    return Outcome(changed=found.total, float_types=found)
