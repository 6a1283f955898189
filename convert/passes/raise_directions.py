"""Replace reversals of a sequence by the direction of the recurrent op that reads it.

    ReverseSequence(x), all of it           ->  Slice(x, step -1)
    flip(LSTM<forward>(flip(x)))            ->  LSTM<reverse>(x)
    y = flip(x), LSTM<forward>(y), f(y)     ->  y = flip(x), flip(LSTM<reverse>(x)), f(y)
    LSTM<forward>(x, f), LSTM<reverse>(x, r)  ->  Split(LSTM<bidirectional>(x, f and r))

with flip = Slice with step -1 along time. Views may be between a flip and the op. Only the op's
first result may have readers, weights must be constant, and there must be neither initial states
nor sequence lengths. The last rule is necessary: OpenVINO 2026.4 joins such a pair itself, with a
wrong result (docs/decisions/0009). It also computes a wrong result if several ops read one flip.

Termination: each rewrite removes a ReverseSequence, a flip or a recurrent op, or replaces a forward
op by a reverse one.
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
    constant_input,
    consumers,
    has_one_use,
    input_of,
    is_read,
    nodes_of,
    not_none,
    replace_keeping_name,
    replace_value,
    shape_of,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome
from .raise_recurrent import RECURRENT

_TIME = 0
"""Time axis of the ops' input (T, N, K) and first output (T, directions, N, H)."""
_VIEWS = ("Reshape", "Squeeze", "Transpose", "Unsqueeze")


def _reverse_to_slice(graph: ir.Graph, node: ir.Node) -> bool:
    """ReverseSequence of whole sequences -> Slice with step -1."""
    lengths, shape = constant_input(node, 1), static_shape(node.inputs[0])
    axis = attribute(node, "time_axis", 0)
    if lengths is None or shape is None or (lengths != shape[axis]).any():
        return False
    build = NodeBuilder(graph)
    bounds = ((-1,), (np.iinfo(np.int64).min,), (axis,), (-1,))  # start, end, axis, step
    build.replace([node], build.op("Slice", node.inputs[0], *bounds))
    return True


def _flipped_axis(node: ir.Node | None) -> int | None:
    """Return the axis that a Slice reverses; None if it is no reversal of a whole axis."""
    if node is None or node.op_type != "Slice" or len(node.inputs) != 5:
        return None
    shape = static_shape(node.inputs[0])
    arrays = [array for value in node.inputs[1:] if (array := constant(value)) is not None]
    if shape is None or [array.size for array in arrays] != [1, 1, 1, 1]:
        return None
    start, end, axis, step = (int(array.reshape(())) for array in arrays)
    axis %= len(shape)
    # With step -1 a slice is whole if it starts at or behind the last element and ends before 0.
    whole = start in (-1, shape[axis] - 1) or start >= shape[axis]
    return axis if step == -1 and whole and end < -shape[axis] else None


def _flip_below(node: ir.Node) -> ir.Node | None:
    """Return the Slice that reverses a recurrent op's result in time, if it is the only reader."""
    value, axes = node.outputs[0], Axes.identity(4)
    # Follow the views below, and keep track of the time axis.
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
    """Return the Slice that reverses a recurrent op's input in time, and the views between."""
    views, above = list[ir.Node](), not_none(node.inputs[0]).producer()
    # Walk up through views until the Slice; anything else ends the search.
    while above is not None and (axis := _flipped_axis(above)) is None:
        views.insert(0, above)
        above = not_none(above.inputs[0]).producer() if above.op_type in _VIEWS else None
    if above is None or static_shape(above.outputs[0]) is None:
        return None
    axes: Axes | None = Axes.identity(len(shape_of(above.outputs[0])))
    for view in views:
        axes = axes.through(view) if axes is not None else None
    return (above, views) if axes is not None and axes.source[_TIME] == axis else None


def _viewed(graph: ir.Graph, source: ir.Value, views: list[ir.Node], before: ir.Node) -> ir.Value:
    """Return ``source`` behind copies of ``views``; equal views that already read it are reused."""
    build = NodeBuilder(graph)
    for view in views:
        same = [other for other in consumers(source) if _is_same_view(other, view)]
        if same:
            source = same[0].outputs[0]
        else:
            source = build.op(view.op_type, source, *view.inputs[1:], attributes=view.attributes)
            source.shape = view.outputs[0].shape
    build.insert_before(before)
    return source


def _is_same_view(one: ir.Node, other: ir.Node) -> bool:
    return (
        one.op_type == other.op_type
        and one.attributes == other.attributes
        and static_shape(one.outputs[0]) == static_shape(other.outputs[0])
    )


def _drop_flips(graph: ir.Graph, node: ir.Node) -> bool:
    """flip(LSTM(flip(x))) -> LSTM<reverse>(x)."""
    found, below = _flip_above(node), _flip_below(node)
    if attribute(node, "direction", "forward") != "forward" or below is None or found is None:
        return False
    if attribute(node, "layout", 0) or input_of(node, 4) is not None:  # 4: lengths of sequences
        return False
    if any(map(is_read, node.outputs[1:])):
        return False
    above, views = found
    node.replace_input_with(0, _viewed(graph, not_none(above.inputs[0]), views, node))
    node.attributes["direction"] = ir.AttrString("direction", "reverse")
    replace_value(below.outputs[0], not_none(below.inputs[0]))
    graph.remove(below, safe=True)
    return True


def _move_shared_flip(graph: ir.Graph, node: ir.Node) -> bool:
    """Op<forward>(y) with y = flip(x), which other nodes read too -> flip(Op<reverse>(x))."""
    found = _flip_above(node)
    if found is None or attribute(node, "direction", "forward") != "forward":
        return False
    above, views = found
    if attribute(node, "layout", 0) or input_of(node, 4) is not None:
        return False
    if node.outputs[0].is_graph_output():
        return False
    if all(has_one_use(each.outputs[0]) for each in (above, *views)):
        return False
    node.replace_input_with(0, _viewed(graph, not_none(above.inputs[0]), views, node))
    node.attributes["direction"] = ir.AttrString("direction", "reverse")
    # The last states are the same: both directions end at the first element of x.
    build, result = NodeBuilder(graph), node.outputs[0]
    readers = list(result.uses())
    bounds = ((-1,), (np.iinfo(np.int64).min,), (_TIME,), (-1,))
    flipped = build.op("Slice", result, *bounds)
    for user, index in readers:
        user.replace_input_with(index, flipped)
    build.insert_after(node)
    return True


def _can_join(one: ir.Node, other: ir.Node) -> bool:
    """Whether two ops differ only in weights and direction, and only first results are read."""
    directions = [attribute(node, "direction", "forward") for node in (one, other)]
    alike = ("hidden_size", "linear_before_reset")
    return (
        one.op_type == other.op_type
        and one.inputs[0] is other.inputs[0]
        and directions == ["forward", "reverse"]
        and all(attribute(one, name, 0) == attribute(other, name, 0) for name in alike)
        and all(set(node.attributes) <= {*alike, "direction"} for node in (one, other))
        # Inputs: sequence, three arrays of weights, lengths of sequences, initial states.
        and all(not any(node.inputs[4:]) and len(node.inputs) > 3 for node in (one, other))
        and all(constant(v) is not None for node in (one, other) for v in node.inputs[1:4])
        and not any(is_read(v) for node in (one, other) for v in node.outputs[1:])
        and not any(node.outputs[0].is_graph_output() for node in (one, other))
    )


def _join(graph: ir.Graph, one: ir.Node, other: ir.Node) -> None:
    build, shape = NodeBuilder(graph), shape_of(one.outputs[0])
    weights = [  # (1, ..) and (1, ..) -> (2, ..)
        np.concatenate([array_of(a), array_of(b)])
        for a, b in zip(one.inputs[1:4], other.inputs[1:4], strict=True)
    ]
    attributes = {**one.attributes, "direction": "bidirectional"}
    both = build.op(
        one.op_type, one.inputs[0], *weights, shape=(shape[0], 2, *shape[2:]), attributes=attributes
    )
    parts = build.ops("Split", both, shapes=[shape, shape], axis=1, num_outputs=2)
    # Readers of both come after the first of the two, so the new nodes go there.
    order = positions(graph)
    build.insert_after(min((one, other), key=order.__getitem__))
    for old, new in zip((one, other), parts, strict=True):
        replace_keeping_name(old.outputs[0], new)
        graph.remove(old, safe=True)


def raise_directions(model: ir.Model) -> Outcome:
    """Replace flips by directions, and pairs of directions by one op."""
    changed, graph = 0, model.graph
    for node in nodes_of(model, "ReverseSequence"):
        changed += _reverse_to_slice(graph, node)
    found = nodes_of(model, *RECURRENT)
    for node in found:
        changed += _drop_flips(graph, node) or _move_shared_flip(graph, node)
    if changed:
        graph.sort()  # a reused view may come after the op that now reads it
    # Try both orders, because ``_can_join`` expects the forward op first.
    for one, other in permutations(found, 2):
        if one.graph is not None and other.graph is not None and _can_join(one, other):
            _join(graph, one, other)
            changed += 1
    return Outcome(changed=changed)
