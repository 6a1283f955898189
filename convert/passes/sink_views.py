"""Move Transpose, Squeeze and Unsqueeze down through other ops until they cancel.

    op(view(x))                          ->  view'(op'(x))       Mul, Relu, ReduceMean, Concat, ...
    Transpose -> ops -> Transpose^-1     ->  ops'

op' has other axis numbers and transposed constants (``analysis.axes``). All shapes must be known.

1. Grow a region from a view down through all ops that have a form op'.
2. Prune the branches at whose ends no view cancels.
3. Rewrite the region if the views that disappear cost more than those that its borders need. A
   view that moves elements in memory costs as much as a hundred that only rename axes.

Ends because the total cost of all views is a natural number and falls with each rewrite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
import onnx_ir as ir

from ..analysis.axes import Axes, RewrittenOp, rewritten_op, viewed_inputs
from ..fixpoint import RewriteBudget
from ..graph import (
    Shape,
    constant_input,
    inverse,
    name_of,
    not_none,
    shape_of,
    static_shape,
    transfer_name,
)
from ..node_builder import NodeBuilder, Operand
from ..outcome import Outcome

_VIEWS = ("Transpose", "Squeeze", "Unsqueeze")
_MOVING, _RENAMING = 100, 1
"""Cost of a view that moves elements in memory, and of one that only names axes."""


@dataclass(kw_only=True)
class _ViewRegion:
    """The ops below a view that can be computed on stored tensors."""

    source: ir.Value
    """What the view reads: the first stored tensor."""
    axes: dict[ir.Value, Axes] = field(default_factory=dict)
    """How each value is a view of its stored tensor."""
    ops: dict[ir.Node, RewrittenOp | None] = field(default_factory=dict)
    """The form of each op on stored tensors; None for a view, which disappears."""


def _cost(axes: Axes, shape: Shape) -> int:
    if axes.is_identity:
        return 0
    return _MOVING if axes.moves(shape) else _RENAMING


def _region_below(seed: ir.Node, places: dict[ir.Node, int]) -> _ViewRegion | None:
    """Return the largest region below a view, in graph order.

    ``places``: the place of each node in the graph, without those that a rewrite added since then.
    None if the region contains such a node.
    """
    source, graph = not_none(seed.inputs[0]), seed.graph
    region = _ViewRegion(source=source)
    region.axes[source] = Axes.identity(len(shape_of(source)))
    # A heap: a node is visited after all nodes above it, and only nodes below the view are visited.
    todo, seen = [(places[seed], seed)], {seed}
    while todo:
        _, node = heappop(todo)
        entries = [v for v in node.inputs if v is not None and v in region.axes]
        # Other readers of the source do not read it through the view.
        if node is not seed and any(v is source for v in entries):
            continue
        axes = region.axes[entries[0]]
        if (below := axes.through(node)) is not None:
            region.ops[node] = None
            region.axes[node.outputs[0]] = below
        elif (form := _form(node, region, axes)) is not None:
            region.ops[node] = form
            region.axes.update(dict.fromkeys(node.outputs, form.axes))
        else:
            continue
        for user in dict.fromkeys(user for value in node.outputs for user, _ in value.uses()):
            if user.graph is graph and user not in seen:  # nodes of inner graphs stay outside
                if user not in places:
                    return None
                seen.add(user)
                heappush(todo, (places[user], user))
    return region


def _form(node: ir.Node, region: _ViewRegion, axes: Axes) -> RewrittenOp | None:
    """Return an op's form on stored tensors; None if it must stay outside the region."""
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
            gain += _cost(through, shape_of(node.outputs[0])) if through else _RENAMING
        else:
            gain -= sum(_cost(*side) for side in _other_inputs(region, node))
    for value, axes in region.axes.items():
        outside = value.is_graph_output() or any(u not in region.ops for u, _ in value.uses())
        if value is not region.source and outside:
            gain -= _cost(axes, shape_of(value))
    return gain


def _other_inputs(region: _ViewRegion, node: ir.Node) -> list[tuple[Axes, Shape]]:
    """Return (axes, shape) of the values from outside the region that ``node`` reads too."""
    found = []
    for index in viewed_inputs(node):
        value = not_none(node.inputs[index])
        if value not in region.axes:
            found.append((_shared_axes(region, node), _padded(value, _shared_axes(region, node))))
    return [(axes, shape) for axes, shape in found if axes.moves(shape) or np.prod(shape) > 1]


def _shared_axes(region: _ViewRegion, node: ir.Node) -> Axes:
    """Return the view that the inputs of an op in the region share."""
    return next(region.axes[v] for v in node.inputs if v is not None and v in region.axes)


def _padded(value: ir.Value, axes: Axes) -> Shape:
    """Return the shape of a value as it broadcasts with the view."""
    shape = shape_of(value)
    return (1,) * (len(axes.source) - len(shape)) + shape


def _stored(build: NodeBuilder, value: ir.Value, axes: Axes) -> ir.Value:
    """Add the nodes that turn a value from outside into its stored form."""
    shape = _padded(value, axes)
    value = build.reshape(value, shape)
    if axes.moves(shape):
        value = build.transpose(value, inverse(axes.source))  # in stored order
    return build.reshape(value, axes.stored_shape(shape))


def _viewed(build: NodeBuilder, value: ir.Value, axes: Axes) -> ir.Value:
    """Add the nodes that turn a stored tensor into its view."""
    # Drop the stored axes that the view lacks, then move the others to their places.
    value = build.reshape(value, tuple(shape_of(value)[axis] for axis in sorted(axes.source)))
    return build.transpose(value, inverse(inverse(axes.source)))


def _rewrite(graph: ir.Graph, region: _ViewRegion) -> None:
    """Compute the region on stored tensors."""
    stored: dict[ir.Value, ir.Value] = {region.source: region.source}
    for node, form in region.ops.items():
        if form is None:
            stored[node.outputs[0]] = stored[not_none(node.inputs[0])]
            continue
        build, axes = NodeBuilder(graph), _shared_axes(region, node)
        inputs: list[Operand] = list(node.inputs)
        for index in viewed_inputs(node):
            value = not_none(node.inputs[index])
            inputs[index] = stored[value] if value in stored else _stored(build, value, axes)
        # Constants in the axes of the stored tensor.
        for index, array in form.constants.items():
            inputs[index] = array
        shapes = [form.axes.stored_shape(shape_of(old)) for old in node.outputs]
        attributes = {**node.attributes, **form.attributes}
        new = build.ops(node.op_type, *inputs, shapes=shapes, attributes=attributes)
        for old, value in zip(node.outputs, new, strict=True):
            value.type = old.type
            value.name = f"{old.name}_stored"
            stored[old] = value
        build.insert_after(node)
    _replace_outside(graph, region, stored)


def _replace_outside(
    graph: ir.Graph, region: _ViewRegion, stored: dict[ir.Value, ir.Value]
) -> None:
    """Replace the region's values in nodes outside by views of the stored tensors."""
    for value, axes in region.axes.items():
        outside = [(u, i) for u, i in value.uses() if u not in region.ops]
        if value is region.source or not (outside or value.is_graph_output()):
            continue
        build = NodeBuilder(graph)
        new = _viewed(build, stored[value], axes)
        is_returned = value.is_graph_output()
        if is_returned and (new.producer() is None or new.is_graph_output()):
            new = build.op("Identity", new)  # an output must have a producer of its own
        # The stored tensor may be the graph's input, which has no producer.
        anchor = stored[value].producer() or value.producer()
        assert anchor is not None
        build.insert_after(anchor)
        if is_returned:
            ir.convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
            transfer_name(value, new, "_viewed")
        for user, index in outside:
            user.replace_input_with(index, new)
    graph.remove(list(reversed(region.ops)), safe=True)


def sink_views(model: ir.Model) -> Outcome:
    """Rewrite regions until none saves a view."""
    budget = RewriteBudget("sink_views", model.graph)
    while _sweep(model.graph, budget):
        # A rewrite changes the regions of other views: try all of them again.
        model.graph.sort()  # new nodes may come before what they read
    return Outcome(changed=budget.spent)


def _sweep(graph: ir.Graph, budget: RewriteBudget) -> bool:
    """Rewrite the regions below all views once, in graph order; return whether there was one.

    A region that reaches nodes of another rewrite is left to the next sweep, so that a sweep takes
    time proportional to the sizes of the regions.
    """
    places, before = {node: place for place, node in enumerate(graph)}, budget.spent
    for node in places:
        if node.graph is None or node.op_type not in _VIEWS or _cannot_sink(node):
            continue
        if (region := _region_below(node, places)) is None:
            continue
        _prune(region)
        if node in region.ops and _gain(region) > 0:
            name = name_of(node.outputs[0])
            _rewrite(graph, region)
            budget.spend(node.op_type, name)
    return budget.spent > before


def _cannot_sink(node: ir.Node) -> bool:
    """Whether a view cannot sink: a shape is unknown, or it reads a constant."""
    values = (node.inputs[0], node.outputs[0])
    return any(static_shape(v) is None for v in values) or constant_input(node, 0) is not None
