"""Transpose, Squeeze and Unsqueeze move down through ops that do not mind, until they cancel.

    Transpose -> Mul, Add, Relu, ReduceMean, Pad, Concat, ... -> Transpose^-1
        ->  the same ops, axes renamed and constants turned, and no Transpose

From each such view the region below it is followed as far as ops allow (``axes``). Branches at
whose end nothing cancels are left out of it again. Then the views that the region would need at its
borders are counted against those that it saves: it is rewritten only if it saves more. A view that
moves elements counts as much as a hundred that do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..analysis.axes import Axes, Renamed, renamed, viewed_inputs
from ..analysis.row import Row
from ..graph import constant, new_initializer, shape_of, static_shape, the, typed_like
from ..outcome import Outcome

_SEEDS = ("Transpose", "Squeeze", "Unsqueeze")
_MOVING, _STANDING = 100, 1


@dataclass(kw_only=True)
class _Region:
    """What lies below a view: for each value its axes, for each op its form on what is held."""

    source: ir.Value
    axes: dict[ir.Value, Axes] = field(default_factory=dict)
    ops: dict[ir.Node, Renamed | None] = field(default_factory=dict)
    """None: a view, which dissolves."""


def _cost(axes: Axes, shape: tuple[int, ...]) -> int:
    if axes.is_identity:
        return 0
    return _MOVING if axes.moves(shape) else _STANDING


def _grown(seed: ir.Node, order: list[ir.Node]) -> _Region:
    source = the(seed.inputs[0])
    rank = len(shape_of(source))
    region = _Region(source=source)
    region.axes[source] = Axes(source=tuple(range(rank)), rank=rank)
    for node in order:
        entries = [v for v in node.inputs if v is not None and v in region.axes]
        if not entries or (entries[0] is source and node is not seed):
            continue
        if any(v is source for v in entries) and node is not seed:
            continue
        axes = region.axes[entries[0]]
        if (below := axes.through(node)) is not None:
            region.ops[node] = None
            region.axes[node.outputs[0]] = below
            continue
        if any(region.axes[v] != axes for v in entries) or node.inputs[0] is None:
            continue
        indices = viewed_inputs(node)
        if not all(i in indices for i, v in enumerate(node.inputs) if v in region.axes):
            continue
        form = renamed(node, axes)
        if form is None or any(
            len(static_shape(node.inputs[i]) or ()) > len(axes.source) for i in indices
        ):
            continue
        region.ops[node] = form
        region.axes.update(dict.fromkeys(node.outputs, form.axes))
    return region


def _prune(region: _Region) -> None:
    """Leave out what leads to no place where the views cancel."""
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


def _gain(region: _Region) -> int:
    """Return how much the views that go away cost, less those that come."""
    gain = 0
    for node, form in region.ops.items():
        if form is None:
            rank = len(region.axes[the(node.inputs[0])].source)
            step = Axes(source=tuple(range(rank)), rank=rank)
            through = step.through(node)
            gain += _cost(through, shape_of(node.outputs[0])) if through else _STANDING
        else:
            gain -= sum(_cost(*side) for side in _sides(region, node))
    for value, axes in region.axes.items():
        outside = value.is_graph_output() or any(u not in region.ops for u, _ in value.uses())
        if value is not region.source and outside:
            gain -= _cost(axes, shape_of(value))
    return gain


def _sides(region: _Region, node: ir.Node) -> list[tuple[Axes, tuple[int, ...]]]:
    """Return (axes, shape) of each value that enters the region from its side at ``node``."""
    found = []
    for index in viewed_inputs(node):
        value = the(node.inputs[index])
        if value not in region.axes:
            found.append((_at(region, node), _padded(value, _at(region, node))))
    return [(axes, shape) for axes, shape in found if axes.moves(shape) or np.prod(shape) > 1]


def _at(region: _Region, node: ir.Node) -> Axes:
    return next(region.axes[v] for v in node.inputs if v is not None and v in region.axes)


def _padded(value: ir.Value, axes: Axes) -> tuple[int, ...]:
    shape = shape_of(value)
    return (1,) * (len(axes.source) - len(shape)) + shape


def _view_nodes(graph: ir.Graph, value: ir.Value, axes: Axes, *, hold: bool) -> list[ir.Node]:
    """Make the nodes from what is held to its view, or back."""
    order = tuple(int(i) for i in np.argsort(axes.source))
    row = Row(graph, value)
    if hold:
        shape = _padded(value, axes)
        row.reshape(shape)
        if axes.moves(shape):
            row.transpose(order)
        row.reshape(axes.held_shape(shape))
    else:
        row.reshape(tuple(shape_of(value)[axis] for axis in sorted(axes.source)))
        row.transpose(tuple(int(i) for i in np.argsort(order)))
    return row.made


def _rewrite(graph: ir.Graph, region: _Region) -> None:
    held: dict[ir.Value, ir.Value] = {region.source: region.source}
    for node, form in region.ops.items():
        if form is None:
            held[node.outputs[0]] = held[the(node.inputs[0])]
            continue
        axes, inputs, made = _at(region, node), list(node.inputs), list[ir.Node]()
        for index in viewed_inputs(node):
            value = the(node.inputs[index])
            if value in held:
                inputs[index] = held[value]
                continue
            nodes = _view_nodes(graph, value, axes, hold=True)
            made += nodes
            inputs[index] = nodes[-1].outputs[0] if nodes else value
        for index, array in form.constants.items():
            inputs[index] = new_initializer(graph, array, str(the(node.inputs[index]).name))
        attributes = {a.name: a for a in node.attributes.values()}
        for name, number in form.attributes.items():
            attributes[name] = ir.AttrInt64(name, number)
        new = ir.node(
            node.op_type, inputs, attributes=attributes, num_outputs=len(node.outputs),
            name=node.name,
        )  # fmt: skip
        for old, value in zip(node.outputs, new.outputs, strict=True):
            typed_like(value, old, form.axes.held_shape(shape_of(old)))
            value.name = f"{old.name}_held"
            held[old] = value
        graph.insert_after(node, [*made, new])
    _leave(graph, region, held)


def _leave(graph: ir.Graph, region: _Region, held: dict[ir.Value, ir.Value]) -> None:
    """Let what stands outside read the region's values, viewed where it must be."""
    for value, axes in region.axes.items():
        outside = [(u, i) for u, i in value.uses() if u not in region.ops]
        if value is region.source or not (outside or value.is_graph_output()):
            continue
        made = _view_nodes(graph, held[value], axes, hold=False)
        anchor = held[value].producer() or value.producer()
        if made:
            assert anchor is not None
            graph.insert_after(anchor, made)
        new = made[-1].outputs[0] if made else held[value]
        if value.is_graph_output():
            if new.producer() is None or new.is_graph_output():
                copy = ir.node("Identity", [new])
                typed_like(copy.outputs[0], new)
                graph.insert_after(the(value).producer() or graph[-1], [copy])
                new = copy.outputs[0]
            ir.convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
            value.name, new.name = f"{value.name}_viewed", value.name
        for user, index in outside:
            user.replace_input_with(index, new)
    graph.remove(list(reversed(region.ops)), safe=True)


def sink_views(model: ir.Model) -> Outcome:
    """Sink views while that saves some."""
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
                graph.sort()
                changed += 1
                tried.clear()
                break
        else:
            return Outcome(changed=changed)


def _opaque(node: ir.Node) -> bool:
    values = (node.inputs[0], node.outputs[0])
    return any(static_shape(v) is None for v in values) or constant(node.inputs[0]) is not None
