"""Join the graphs of several input sizes to one graph whose height and width are free.

The graphs of a convolutional network differ only in constants that name sizes:

    Reshape(x, [-1, 80, 24, 15])  at one width   ->  Reshape(x, [0, 0, 24, 15])
    Reshape(x, [-1, 40, 24, 15])  at another

0 copies the axis of x with the same index; one axis that cannot be copied may be -1, the rest. Each
constant is rewritten once, so this terminates. If the graphs differ in anything else, such as in an
embedding of positions, there is no joined graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.input_size import InputSize, by_area
from ..common.onnx_shapes import infer_shapes
from .graph import Graphs, constant, name_of, static_shape

_AXES = ("N", "C", "H", "W")
_SLOW = frozenset({"GRU", "LSTM", "RNN", "Loop", "Scan"})
"""Ops that runtimes prepare for a known length; with a free one they are slower."""

_Dims = tuple[int | str | None, ...]


def joined_sizes(graphs: Graphs) -> onnx.ModelProto | None:
    """Return one graph for all input sizes of the graphs, and for sizes between them.

    Args:
        graphs: of one model, with static sizes and a free or fixed batch; at least two.

    Returns:
        The graph, with the axes "H" and "W" of its input free where the sizes differ; None if the
        graphs differ in anything but sizes.
    """
    sizes = sorted(graphs, key=by_area)
    if len(sizes) < 2:
        return None
    models = [_with_shapes(graphs[size]) for size in sizes]
    joined, others = models[0], models[1:]
    nodes = [list(model.graph) for model in models]
    if len({len(each) for each in nodes}) > 1 or any(n.op_type in _SLOW for n in nodes[0]):
        return None
    if not all(_same_initializers(joined, other) for other in others):
        return None
    for same in zip(*nodes, strict=True):
        if not all(_is_same(same[0], node) for node in same[1:]):
            return None
        if not _join_constants(same):
            return None
    proto = ir.to_proto(joined)
    _free_axes(proto, [graphs[size] for size in sizes])
    return proto


def graph_at_size(model: onnx.ModelProto, size: InputSize) -> onnx.ModelProto:
    """Return a graph whose free height and width have the values of ``size``.

    A graph without free axes is returned as it is.
    """
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if len(dims) != len(_AXES) or not any(dim.dim_param in ("H", "W") for dim in dims[2:]):
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for dim, value in zip(fixed.graph.input[0].type.tensor_type.shape.dim[2:], size, strict=True):
        dim.dim_value = value
    for output in fixed.graph.output:  # inferred again
        output.type.tensor_type.ClearField("shape")
    whole = ir.from_proto(fixed)
    infer_shapes(whole)
    return ir.to_proto(whole)


def _with_shapes(model: onnx.ModelProto) -> ir.Model:
    """Return a copy of a graph in which the inputs of all Reshapes have known shapes."""
    own = ir.from_proto(model)
    infer_shapes(own)
    return own


def _same_initializers(one: ir.Model, other: ir.Model) -> bool:
    """Whether two graphs have the same constants, except those that may name sizes."""
    first, second = one.graph.initializers, other.graph.initializers
    if first.keys() != second.keys():
        return False
    return all(
        _is_shape(value) or np.array_equal(_numbers(value), _numbers(second[name]))
        for name, value in first.items()
    )


def _numbers(value: ir.Value) -> npt.NDArray:
    array = constant(value)
    assert array is not None
    return array.view(np.uint8) if array.ndim and array.dtype.kind == "V" else array


def _is_shape(value: ir.Value) -> bool:
    """Whether only Reshapes read a value, as their target shape."""
    uses = list(value.uses())
    return bool(uses) and all(node.op_type == "Reshape" and index == 1 for node, index in uses)


def _is_same(one: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes compute the same from the same values."""
    kinds = [(node.domain, node.op_type) for node in (one, other)]
    names = [
        [value and value.name for value in (*node.inputs, *node.outputs)] for node in (one, other)
    ]
    return (
        kinds[0] == kinds[1]
        and names[0] == names[1]
        and one.attributes.keys() == other.attributes.keys()
        and all(
            _same_value(one.attributes[name], other.attributes[name]) for name in one.attributes
        )
    )


def _same_value(one: ir.Attr, other: ir.Attr) -> bool:
    """Whether two attributes have the same value; graphs of a branch never have."""
    if one.type != other.type or one.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        return False
    if one.type == ir.AttributeType.TENSOR:
        return np.array_equal(one.as_tensor().numpy(), other.as_tensor().numpy())
    return bool(one.value == other.value)


def _join_constants(nodes: Sequence[ir.Node]) -> bool:
    """Make the target of a Reshape fit all sizes; return whether that is possible."""
    if nodes[0].op_type != "Reshape" or not _is_shape_input(nodes[0]):
        return True
    targets = [constant(node.inputs[1]) for node in nodes]
    if any(target is None for target in targets):
        return True
    lists = [list(map(int, target)) for target in targets if target is not None]
    if all(each == lists[0] for each in lists):
        return True
    if len({len(each) for each in lists}) > 1 or "allowzero" in nodes[0].attributes:
        return False
    joined = _joined_target(lists, [_dims(node.inputs[0]) for node in nodes])
    if joined is None:
        return False
    node = nodes[0]
    name = f"{name_of(node.outputs[0])}_any_size"
    value = ir.Value(name=name, const_value=ir.tensor(np.array(joined, np.int64), name=name))
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.initializers[name] = value
    old = name_of(node.inputs[1])
    node.replace_input_with(1, value)
    if not list(graph.initializers[old].uses()):
        del graph.initializers[old]
    return True


def _is_shape_input(node: ir.Node) -> bool:
    value = node.inputs[1]
    return value is not None and value.is_initializer()


def _joined_target(
    targets: Sequence[Sequence[int]], inputs: Sequence[_Dims | None]
) -> list[int] | None:
    """Return a target shape of a Reshape that fits all sizes; None if there is none.

    Args:
        targets: the target at each size.
        inputs: the shape of the Reshape's input at each size.
    """
    joined: list[int] = []
    for axis, values in enumerate(zip(*targets, strict=True)):
        if len(set(values)) == 1 and values[0] > 0:
            joined.append(values[0])
        elif (
            all(_copies(value, dims, axis) for value, dims in zip(values, inputs, strict=True))
            or values[0] == 0
        ):
            joined.append(0)
        else:
            joined.append(-1)
    return joined if joined.count(-1) <= 1 else None


def _copies(value: int, dims: _Dims | None, axis: int) -> bool:
    """Whether an axis of a Reshape's result has the size of the same axis of its input.

    -1 is the rest; on axis 0 of a free batch it is that batch.
    """
    if dims is None or axis >= len(dims):
        return False
    return value == dims[axis] if value != -1 else axis == 0 and not isinstance(dims[0], int)


def _dims(value: ir.Value | None) -> _Dims | None:
    if value is None or value.shape is None:
        return None
    static = static_shape(value)
    if static is not None:
        return static
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def _free_axes(joined: onnx.ModelProto, models: Sequence[onnx.ModelProto]) -> None:
    """Free the axes of the input that differ between models, and all that depend on them."""
    del joined.graph.value_info[:]  # shapes of one size
    shapes = [_sizes(model.graph.input[0]) for model in models]
    for dim, name, values in zip(
        joined.graph.input[0].type.tensor_type.shape.dim,
        _AXES,
        zip(*shapes, strict=True),
        strict=True,
    ):
        if len(set(values)) > 1:
            dim.dim_param = name
    for index, output in enumerate(joined.graph.output):
        found = [_sizes(model.graph.output[index]) for model in models]
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if len({each[axis] for each in found}) > 1:
                dim.dim_param = f"free_{axis}"


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    """Return the dimensions of a value; 0 where one is free."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
