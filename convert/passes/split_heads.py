"""Split one product into query, key and value along its heads, in four dimensions.

    part_i(Transpose(2, 0, 3, 1, 4)(Reshape(z -> (N, T, P, H, D))))
        ->  y_i of  y_1 .. y_P = Split(T(Reshape(z -> (N, T, P H, D))), heads)

    T(Reshape(z_i -> (N, T, H, D)))  and  T'(..)  of  z_1 .. z_P = Split(z, last axis)
        ->  y_i and T''(y_i)

with T = Transpose(0, 2, 1, 3), T' = Transpose(0, 2, 3, 1) and T'' = Transpose(0, 1, 3, 2). part_i
is a Split, Slice or Gather of the first axis, whose result is squeezed to (N, H, T, D). No other
node may read the values in between.

The result is the form that ``fuse_attention`` creates. TensorRT fuses it in FP16 and BF16.

Termination: each Transpose and each Split is visited once.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import (
    Shape,
    attribute,
    constant_input,
    has_one_use,
    nodes_of,
    not_none,
    producer,
    remove_dead_nodes,
    replace_value,
    static_shape,
)
from ..node_builder import NodeBuilder
from ..outcome import Outcome

_HEADS_FIRST = (0, 2, 1, 3)
"""(N, T, H, D) -> (N, H, T, D)."""
_KEYS = (0, 2, 3, 1)
"""(N, T, H, D) -> (N, H, D, T)."""
_SWAP = (0, 1, 3, 2)
"""(N, H, T, D) -> (N, H, D, T)."""
_PARTS_FIRST = (2, 0, 3, 1, 4)
"""(N, T, P, H, D) -> (P, N, H, T, D)."""

Parts = list[tuple[ir.Value, int]]
"""Values, and which part of the product each of them is."""


def _perm(turn: ir.Node) -> Shape:
    return tuple(attribute(turn, "perm", ()))


def _slice_place(node: ir.Node, count: int) -> int | None:
    """Return the index on axis 0 that a Slice takes alone; None if it takes anything else."""
    given = [constant_input(node, index) for index in (1, 2, 3)]  # starts, ends, axes
    numbers = [int(array[0]) for array in given if array is not None and array.size == 1]
    if len(numbers) != 3 or numbers[2] != 0:
        return None
    # At a start and an end without a step between them, the step does not matter.
    start, end = (place + count if place < 0 else min(place, count) for place in numbers[:2])
    return start if end == start + 1 else None


def _places(user: ir.Node, count: int) -> Parts | None:
    """Return the results of one reader of (P, N, H, T, D), each with its index on axis 0."""
    if user.op_type == "Split" and attribute(user, "axis", 0) == 0 and len(user.outputs) == count:
        return [(value, place) for place, value in enumerate(user.outputs)]
    if user.op_type == "Slice":
        place = _slice_place(user, count)
        return None if place is None else [(user.outputs[0], place)]
    if user.op_type == "Gather" and attribute(user, "axis", 0) == 0:
        index = constant_input(user, 1)
        if index is not None and index.size == 1:
            return [(user.outputs[0], int(index.reshape(())) % count)]
    return None


def _squeezed(parts: Parts, each: Shape) -> Parts | None:
    """Follow each part to its readers of shape (N, H, T, D)."""
    found: Parts = []
    for value, place in parts:
        if value.is_graph_output():
            return None
        if static_shape(value) == each:  # a Gather by a scalar drops the axis itself
            found.append((value, place))
            continue
        users = [user for user, _ in value.uses()]
        if any(
            user.op_type not in ("Squeeze", "Reshape") or static_shape(user.outputs[0]) != each
            for user in users
        ):
            return None
        found += [(user.outputs[0], place) for user in users]
    return None if any(value.is_graph_output() for value, _ in found) else found


def _heads(build: NodeBuilder, z: ir.Value, count: int, each: Shape) -> tuple[ir.Value, ...]:
    """Add the nodes that split ``z`` into ``count`` parts of shape (N, H, T, D)."""
    batch, heads, steps, size = each
    x = build.reshape(z, (batch, steps, count * heads, size))
    x = build.transpose(x, _HEADS_FIRST)  # (N, P H, T, D)
    return build.ops("Split", x, shapes=[each] * count, axis=1, num_outputs=count)


def _from_five_dimensions(graph: ir.Graph, turn: ir.Node) -> bool:
    """Replace the parts of (P, N, H, T, D), which ``turn`` computes."""
    cut = producer(turn.inputs[0], "Reshape")
    if cut is None or _perm(turn) != _PARTS_FIRST:
        return False
    shape = static_shape(turn.outputs[0])
    if shape is None or not has_one_use(cut.outputs[0]) or turn.outputs[0].is_graph_output():
        return False
    count, *rest = shape
    parts: Parts = []
    for user, _ in turn.outputs[0].uses():
        if (found := _places(user, count)) is None:
            return False
        parts += found
    squeezed = _squeezed(parts, tuple(rest))
    if squeezed is None:
        return False
    build = NodeBuilder(graph)
    new = _heads(build, not_none(cut.inputs[0]), count, tuple(rest))
    build.insert_after(cut)
    for value, place in squeezed:
        replace_value(value, new[place])
    return True


def _turned(value: ir.Value) -> ir.Node | None:
    """Return the Transpose to heads in T(Reshape(value)) if no other node reads value."""
    if value.is_graph_output() or not has_one_use(value):
        return None
    ((cut, _),) = value.uses()
    if cut.op_type != "Reshape" or not has_one_use(cut.outputs[0]):
        return None
    ((turn, _),) = cut.outputs[0].uses()
    is_turn = turn.op_type == "Transpose" and not turn.outputs[0].is_graph_output()
    return turn if is_turn and _perm(turn) in (_HEADS_FIRST, _KEYS) else None


def _from_last_axis(graph: ir.Graph, split: ir.Node) -> bool:
    """Replace parts (N, T, H D) that are reshaped and turned one by one."""
    source, shapes = not_none(split.inputs[0]), {static_shape(v) for v in split.outputs}
    shape, count = static_shape(source), len(split.outputs)
    turns = [turn for value in split.outputs if (turn := _turned(value)) is not None]
    if shape is None or len(shapes) != 1 or count < 2 or len(turns) < count:
        return False
    if attribute(split, "axis", 0) not in (-1, len(shape) - 1):
        return False
    cuts = {static_shape(turn.inputs[0]) for turn in turns}
    (before,) = cuts if len(cuts) == 1 else (None,)
    if before is None or len(before) != 4 or before[2] * before[3] != shape[-1] // count:
        return False
    batch, steps, heads, size = before
    build = NodeBuilder(graph)
    new = _heads(build, source, count, (batch, heads, steps, size))
    results = [
        build.transpose(value, _SWAP) if _perm(turn) == _KEYS else value
        for turn, value in zip(turns, new, strict=True)
    ]
    build.insert_after(split)
    for turn, value in zip(turns, results, strict=True):
        replace_value(turn.outputs[0], value)
    return True


def split_heads(model: ir.Model) -> Outcome:
    """Split every product of query, key and value along its heads."""
    changed = sum(_from_five_dimensions(model.graph, n) for n in nodes_of(model, "Transpose"))
    changed += sum(_from_last_axis(model.graph, n) for n in nodes_of(model, "Split"))
    if changed:
        remove_dead_nodes(model)
    return Outcome(changed=changed)
