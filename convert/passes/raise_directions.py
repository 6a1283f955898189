"""Reversed sequences -> the direction of the op that reads them.

    ReverseSequence(x), all of it           ->  Slice(x, step -1)
    flip(LSTM<forward>(flip(x)))            ->  LSTM<reverse>(x)
    LSTM<forward>(x, f), LSTM<reverse>(x, r)  ->  Split(LSTM<bidirectional>(x, f and r))

The last is more than tidiness: OpenVINO 2026.4 joins such a pair itself, and gets it wrong
(docs/decisions/0009).
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import onnx_ir as ir

from ..analysis.axes import Axes
from ..analysis.regions import positions
from ..graph import (
    array_of,
    attribute,
    constant,
    consumers,
    has_one_use,
    is_read,
    name_of,
    new_initializer,
    replace_value,
    shape_of,
    static_shape,
    take_over,
    the,
    typed_like,
)
from ..outcome import Outcome
from .raise_recurrent import RECURRENT

_TIME = 0
"""Axis of time in what the ops take and give."""
_VIEWS = ("Reshape", "Squeeze", "Transpose", "Unsqueeze")


def _reverse_to_slice(graph: ir.Graph, node: ir.Node) -> bool:
    """ReverseSequence of whole sequences -> Slice with step -1."""
    lengths, shape = constant(node.inputs[1]), static_shape(node.inputs[0])
    axis = attribute(node, "time_axis", 0)
    if lengths is None or shape is None or (lengths != shape[axis]).any():
        return False
    numbers = (-1, np.iinfo(np.int64).min, axis, -1)
    inputs = [new_initializer(graph, np.array([n], np.int64), "slice") for n in numbers]
    made = ir.node("Slice", [node.inputs[0], *inputs], name=node.name)
    typed_like(made.outputs[0], node.outputs[0], shape)
    graph.insert_after(node, [made])
    take_over(node.outputs[0], made.outputs[0])
    graph.remove(node, safe=True)
    return True


def _flipped_axis(node: ir.Node | None) -> int | None:
    """Return the axis that a Slice turns round, if that is all it does."""
    if node is None or node.op_type != "Slice" or len(node.inputs) != 5:
        return None
    shape = static_shape(node.inputs[0])
    arrays = [array for value in node.inputs[1:] if (array := constant(value)) is not None]
    if shape is None or [array.size for array in arrays] != [1, 1, 1, 1]:
        return None
    start, end, axis, step = (int(array.reshape(())) for array in arrays)
    axis %= len(shape)
    whole = start in (-1, shape[axis] - 1) or start >= shape[axis]
    return axis if step == -1 and whole and end < -shape[axis] else None


def _flip_below(node: ir.Node) -> ir.Node | None:
    """Return the Slice that turns the time of a recurrent op's one result round again."""
    value, axes = node.outputs[0], Axes(source=(_TIME, 1, 2, 3), rank=4)
    while has_one_use(value):
        ((user, _),) = value.uses()
        if (axis := _flipped_axis(user)) is not None:
            return user if axes.source[axis] == _TIME else None
        below = axes.through(user)
        if below is None:
            return None
        value, axes = user.outputs[0], below
    return None


def _flip_above(node: ir.Node) -> tuple[ir.Node, list[ir.Node]] | None:
    """Return the Slice that turns a recurrent op's sequence round, and the views between."""
    views, above = list[ir.Node](), the(node.inputs[0]).producer()
    while above is not None and (axis := _flipped_axis(above)) is None:
        views.insert(0, above)
        above = the(above.inputs[0]).producer() if above.op_type in _VIEWS else None
    if above is None or static_shape(above.outputs[0]) is None:
        return None
    rank = len(shape_of(above.outputs[0]))
    axes: Axes | None = Axes(source=tuple(range(rank)), rank=rank)
    for view in views:
        axes = axes.through(view) if axes is not None else None
    return (above, views) if axes is not None and axes.source[_TIME] == axis else None


def _viewed(graph: ir.Graph, source: ir.Value, views: list[ir.Node], before: ir.Node) -> ir.Value:
    """Return ``source`` seen through copies of ``views``, or through views that are there."""
    for view in views:
        same = [other for other in consumers(source) if _is_same_view(other, view)]
        if same:
            source = same[0].outputs[0]
            continue
        attributes = {a.name: a for a in view.attributes.values()}
        made = ir.node(view.op_type, [source, *view.inputs[1:]], attributes=attributes)
        source = typed_like(made.outputs[0], view.outputs[0])
        graph.insert_before(before, [made])
    return source


def _is_same_view(one: ir.Node, other: ir.Node) -> bool:
    return (
        one.op_type == other.op_type
        and one.attributes == other.attributes
        and static_shape(one.outputs[0]) == static_shape(other.outputs[0])
    )


def _turn_round(graph: ir.Graph, node: ir.Node) -> bool:
    """flip(LSTM(flip(x))) -> LSTM<reverse>(x)."""
    found, below = _flip_above(node), _flip_below(node)
    if attribute(node, "direction", "forward") != "forward" or below is None or found is None:
        return False
    if attribute(node, "layout", 0) or (len(node.inputs) > 4 and node.inputs[4] is not None):
        return False
    if any(map(is_read, node.outputs[1:])):
        return False
    above, views = found
    node.replace_input_with(0, _viewed(graph, the(above.inputs[0]), views, node))
    node.attributes["direction"] = ir.AttrString("direction", "reverse")
    replace_value(below.outputs[0], the(below.inputs[0]))
    graph.remove(below, safe=True)
    return True


def _can_join(one: ir.Node, other: ir.Node) -> bool:
    """Whether two ops differ in weights and direction alone, and only their sequences are read."""
    directions = [attribute(node, "direction", "forward") for node in (one, other)]
    alike = ("hidden_size", "linear_before_reset")
    return (
        one.op_type == other.op_type
        and one.inputs[0] is other.inputs[0]
        and directions == ["forward", "reverse"]
        and all(attribute(one, name, 0) == attribute(other, name, 0) for name in alike)
        and all(set(node.attributes) <= {*alike, "direction"} for node in (one, other))
        and all(not any(node.inputs[4:]) and len(node.inputs) > 3 for node in (one, other))
        and all(constant(v) is not None for node in (one, other) for v in node.inputs[1:4])
        and not any(is_read(v) for node in (one, other) for v in node.outputs[1:])
        and not any(node.outputs[0].is_graph_output() for node in (one, other))
    )


def _join(graph: ir.Graph, one: ir.Node, other: ir.Node) -> None:
    weights = [
        new_initializer(graph, np.concatenate([array_of(a), array_of(b)]), name_of(a))
        for a, b in zip(one.inputs[1:4], other.inputs[1:4], strict=True)
    ]
    attributes = {a.name: a for a in one.attributes.values()}
    attributes["direction"] = ir.AttrString("direction", "bidirectional")
    both = ir.node(one.op_type, [one.inputs[0], *weights], attributes=attributes, name=one.name)
    shape = shape_of(one.outputs[0])
    typed_like(both.outputs[0], one.outputs[0], (shape[0], 2, *shape[2:]))
    split = ir.node(
        "Split", [both.outputs[0]], attributes={"axis": 1, "num_outputs": 2}, num_outputs=2
    )
    for old, new in zip((one, other), split.outputs, strict=True):
        typed_like(new, old.outputs[0])
    order = positions(graph)
    graph.insert_after(min((one, other), key=order.__getitem__), [both, split])
    for old, new in zip((one, other), split.outputs, strict=True):
        take_over(old.outputs[0], new)
        graph.remove(old, safe=True)


def raise_directions(model: ir.Model) -> Outcome:
    """Turn flips into directions, and pairs of directions into one op."""
    changed, graph = 0, model.graph
    for node in [n for n in graph if n.op_type == "ReverseSequence"]:
        changed += _reverse_to_slice(graph, node)
    found = [n for n in graph if n.op_type in RECURRENT]
    for node in found:
        changed += _turn_round(graph, node)
    if changed:
        graph.sort()  # a view that is there may stand behind what now reads it
    for one, other in permutations(found, 2):
        if one.graph is not None and other.graph is not None and _can_join(one, other):
            _join(graph, one, other)
            changed += 1
    return Outcome(changed=changed)
