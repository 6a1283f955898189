"""Transpose, Squeeze and Unsqueeze move down through ops that can follow them, until they cancel.

    Transpose -> Mul, Add, Relu, ReduceMean, Pad, Concat, ... -> Transpose^-1
        ->  the same ops, axes renamed and constants transposed, and no Transpose

From each such view the region below it is followed as far as ops allow (``analysis.axes``).
Branches at whose end nothing cancels are left out of it again. Then the cost of the views that the
region would need at its borders is compared with the cost of those that it saves: it is rewritten
only if it saves more. A view that moves elements costs as much as a hundred that do not. The total
cost of all views is a whole number that falls with each rewrite, so the pass ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..analysis.axes import Axes, RewrittenOp, rewritten_op, viewed_inputs
from ..graph import Shape, constant_input, inverse, not_none, shape_of, static_shape, transfer_name
from ..node_builder import NodeBuilder, Operand
from ..outcome import Outcome

_SEEDS = ("Transpose", "Squeeze", "Unsqueeze")
_MOVING, _STANDING = 100, 1
"""Cost of a view that moves elements in memory, and of one that only names axes."""


@dataclass(kw_only=True)
class _ViewRegion:
    """Ops below a view: for each value its axes, for each op its form on the held tensors."""

    source: ir.Value
    axes: dict[ir.Value, Axes] = field(default_factory=dict)
    ops: dict[ir.Node, RewrittenOp | None] = field(default_factory=dict)
    """None: a view, which disappears."""


def _cost(axes: Axes, shape: Shape) -> int:
    if axes.is_identity:
        return 0
    return _MOVING if axes.moves(shape) else _STANDING


def _grown(seed: ir.Node, order: list[ir.Node]) -> _ViewRegion:
    """Follow the ops below a view, in graph order, as far as they can be renamed."""
    source = not_none(seed.inputs[0])
    region = _ViewRegion(source=source)
    region.axes[source] = Axes.identity(len(shape_of(source)))
    for node in order:
        entries = [v for v in node.inputs if v is not None and v in region.axes]
        # Other readers of the source do not read it through the view.
        if not entries or (node is not seed and any(v is source for v in entries)):
            continue
        axes = region.axes[entries[0]]
        if (below := axes.through(node)) is not None:
            region.ops[node] = None
            region.axes[node.outputs[0]] = below
        elif (form := _form(node, region, axes)) is not None:
            region.ops[node] = form
            region.axes.update(dict.fromkeys(node.outputs, form.axes))
    return region


def _form(node: ir.Node, region: _ViewRegion, axes: Axes) -> RewrittenOp | None:
    """Return an op's form on held tensors; None if it must stay outside the region."""
    indices = viewed_inputs(node)
    for index, value in enumerate(node.inputs):
        if value in region.axes and (region.axes[value] != axes or index not in indices):
            return None
    if node.inputs[0] is None:
        return None
    form = rewritten_op(node, axes)
    ranks = [len(static_shape(node.inputs[i]) or ()) for i in indices]
    return form if all(rank <= len(axes.source) for rank in ranks) else None


def _prune(region: _ViewRegion) -> None:
    """Remove ops from the region below which the views cancel nowhere."""
    # A node is useful if the view vanishes at its result, or below it.
    useful: set[ir.Node] = set()
    for node in reversed(region.ops):
        for value in node.outputs:
            users = [user for user, _ in value.uses()]
            outside = [user for user in users if user not in region.ops]
            free = region.axes[value].is_identity and (outside or value.is_graph_output())
            if free or any(user in useful for user in users):
                useful.add(node)
    for node in [n for n in region.ops if n not in useful]:
        del region.ops[node]
        for value in node.outputs:
            del region.axes[value]


def _gain(region: _ViewRegion) -> int:
    """Return the cost of the views that disappear, less the cost of those that are added."""
    gain = 0
    for node, form in region.ops.items():
        if form is None:
            rank = len(region.axes[not_none(node.inputs[0])].source)
            through = Axes.identity(rank).through(node)
            gain += _cost(through, shape_of(node.outputs[0])) if through else _STANDING
        else:
            gain -= sum(_cost(*side) for side in _sides(region, node))
    for value, axes in region.axes.items():
        outside = value.is_graph_output() or any(u not in region.ops for u, _ in value.uses())
        if value is not region.source and outside:
            gain -= _cost(axes, shape_of(value))
    return gain


def _sides(region: _ViewRegion, node: ir.Node) -> list[tuple[Axes, Shape]]:
    """Return (axes, shape) of each value from outside that ``node`` reads beside the region's."""
    found = []
    for index in viewed_inputs(node):
        value = not_none(node.inputs[index])
        if value not in region.axes:
            found.append((_at(region, node), _padded(value, _at(region, node))))
    return [(axes, shape) for axes, shape in found if axes.moves(shape) or np.prod(shape) > 1]


def _at(region: _ViewRegion, node: ir.Node) -> Axes:
    """Return the axes that the inputs of an op in the region have."""
    return next(region.axes[v] for v in node.inputs if v is not None and v in region.axes)


def _padded(value: ir.Value, axes: Axes) -> Shape:
    """Return the shape of a value as it broadcasts with the view."""
    shape = shape_of(value)
    return (1,) * (len(axes.source) - len(shape)) + shape


def _held(build: NodeBuilder, value: ir.Value, axes: Axes) -> ir.Value:
    """Add the nodes from a view to the held tensor."""
    shape = _padded(value, axes)
    value = build.reshape(value, shape)
    if axes.moves(shape):
        value = build.transpose(value, inverse(axes.source))  # axes in the order of the held ones
    return build.reshape(value, axes.held_shape(shape))


def _viewed(build: NodeBuilder, value: ir.Value, axes: Axes) -> ir.Value:
    """Add the nodes from a held tensor to its view."""
    # Drop the held axes that the view lacks, then move the others to their places.
    value = build.reshape(value, tuple(shape_of(value)[axis] for axis in sorted(axes.source)))
    return build.transpose(value, inverse(inverse(axes.source)))


def _rewrite(graph: ir.Graph, region: _ViewRegion) -> None:
    """Compute the region on held tensors."""
    held: dict[ir.Value, ir.Value] = {region.source: region.source}
    for node, form in region.ops.items():
        if form is None:
            held[node.outputs[0]] = held[not_none(node.inputs[0])]
            continue
        build, axes = NodeBuilder(graph), _at(region, node)
        inputs: list[Operand] = list(node.inputs)
        for index in viewed_inputs(node):
            value = not_none(node.inputs[index])
            inputs[index] = held[value] if value in held else _held(build, value, axes)
        # RewrittenOp constants, in the axes of the held tensor.
        for index, array in form.constants.items():
            inputs[index] = array
        shapes = [form.axes.held_shape(shape_of(old)) for old in node.outputs]
        attributes = {**node.attributes, **form.attributes}
        new = build.ops(node.op_type, *inputs, shapes=shapes, attributes=attributes)
        for old, value in zip(node.outputs, new, strict=True):
            value.type = old.type
            value.name = f"{old.name}_held"
            held[old] = value
        build.insert_after(node)
    _leave(graph, region, held)


def _leave(graph: ir.Graph, region: _ViewRegion, held: dict[ir.Value, ir.Value]) -> None:
    """Let nodes outside read the region's values, through views where they are needed."""
    for value, axes in region.axes.items():
        outside = [(u, i) for u, i in value.uses() if u not in region.ops]
        if value is region.source or not (outside or value.is_graph_output()):
            continue
        build = NodeBuilder(graph)
        new = _viewed(build, held[value], axes)
        is_returned = value.is_graph_output()
        if is_returned and (new.producer() is None or new.is_graph_output()):
            new = build.op("Identity", new)  # an output must have a producer of its own
        # The held tensor may be the graph's input, which has no producer.
        anchor = held[value].producer() or value.producer()
        assert anchor is not None
        build.insert_after(anchor)
        if is_returned:
            ir.convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
            transfer_name(value, new, "_viewed")
        for user, index in outside:
            user.replace_input_with(index, new)
    graph.remove(list(reversed(region.ops)), safe=True)


def sink_views(model: ir.Model) -> Outcome:
    """Sink views as long as that saves some."""
    changed, graph, tried = 0, model.graph, set[ir.Node]()
    while True:
        order = list(graph)
        for place, node in enumerate(order):
            if node.op_type not in _SEEDS or node in tried or _opaque(node):
                continue
            tried.add(node)
            region = _grown(node, order[place:])
            _prune(region)
            if node in region.ops and _gain(region) > 0:
                _rewrite(graph, region)
                graph.sort()  # new nodes may come before what they read
                changed += 1
                # The rewrite changed the regions of all other views.
                tried.clear()
                break
        else:
            return Outcome(changed=changed)


def _opaque(node: ir.Node) -> bool:
    """Whether a view cannot be followed: its shapes are not known, or it is of a constant."""
    values = (node.inputs[0], node.outputs[0])
    return any(static_shape(v) is None for v in values) or constant_input(node, 0) is not None
