"""How ops that move, select or reduce channels relate them: Concat, Split, Reshape, ReduceMean, ...

Each rule returns the labels of the results, or None if it does not know the op in this form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from ..convert.graph import attribute, constant, constant_input, name_of, not_none
from .channel_relation import Atoms, Labels, fixed_labels
from .channel_walk import Walk, reshaped, same_axes


def same(walk: Walk, node: ir.Node) -> list[Labels]:
    """All results have the channels of the first input."""
    return [walk.labels(node.inputs[0])] * len(node.outputs)


def mixing(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Keep the channels along the axis over which an op normalizes or accumulates."""
    labels, rank = walk.labels(node.inputs[0]), walk.rank(node.inputs[0])
    if rank is None:
        return None
    if attribute(node, "axis", -1) % rank in labels.varying:
        walk.pin(labels, f"{name_of(node.outputs[0])} ({node.op_type}) mixes these channels")
    return [labels]


def changed(labels: Labels, change: Callable[[Atoms], Atoms]) -> Labels:
    """Apply a function of an array to atoms and heads."""
    heads = labels.heads
    return Labels(atoms=change(labels.atoms), heads=None if heads is None else change(heads))


def _without(walk: Walk, node: ir.Node, axes: list[int], *, drop: bool) -> list[Labels] | None:
    """Return the labels after a reduction over axes."""
    labels = walk.labels(node.inputs[0])
    if any(axis in labels.varying for axis in axes):
        return None
    gone = tuple(axes) if drop else ()
    return [changed(labels, lambda atoms: atoms.squeeze(gone))]


def reduce(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate a reduction over axes without channels."""
    axes, rank = constant_input(node, 1), walk.rank(node.inputs[0])
    if axes is None or not axes.size or rank is None:
        return None
    drop = not attribute(node, "keepdims", 1)
    return _without(walk, node, same_axes(axes.reshape(-1).tolist(), rank), drop=drop)


def arg_max(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate an ArgMax over an axis without channels."""
    if (rank := walk.rank(node.inputs[0])) is None:
        return None
    drop = not attribute(node, "keepdims", 1)
    return _without(walk, node, [attribute(node, "axis", 0) % rank], drop=drop)


def reshape(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate Reshape, Flatten, Squeeze and Unsqueeze by the shapes before and after."""
    labels = walk.labels(node.inputs[0])
    before, after = walk.sizes(node.inputs[0]), walk.sizes(node.outputs[0])
    computed = node.op_type == "Reshape" and constant_input(node, 1) is None
    if before is None or after is None or 0 in before or computed:
        return None
    unknown = [axis for axis, size in enumerate(after) if walk.is_symbolic(size)]
    if np.prod(before, dtype=object) != np.prod(after, dtype=object):
        # One size with a name of its own, such as that of batch and steps together.
        rest = int(np.prod([s for a, s in enumerate(after) if a not in unknown[-1:]], dtype=object))
        total = int(np.prod(before, dtype=object))
        if not unknown or total % rest:
            return None
        after = tuple(total // rest if a == unknown[-1] else s for a, s in enumerate(after))
    found = reshaped(walk, labels, before, after)
    return None if found is None else [found]


def transpose(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Move the labels with their axes."""
    rank = walk.rank(node.inputs[0])
    if rank is None:
        return None
    perm = attribute(node, "perm", tuple(reversed(range(rank))))
    return [changed(walk.labels(node.inputs[0]), lambda atoms: atoms.transpose(perm))]


def _expanded(atoms: Atoms, axis: int, size: int) -> Atoms:
    """Repeat atoms along an axis to its size."""
    return np.broadcast_to(atoms, [size if a == axis else s for a, s in enumerate(atoms.shape)])


def concat(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Put the atoms of the inputs one behind the other, or make them equal along other axes."""
    rank, values = walk.rank(node.outputs[0]), [not_none(value) for value in node.inputs]
    shapes = [walk.sizes(value) for value in values]
    if rank is None or None in shapes:
        return None
    axis = attribute(node, "axis") % rank
    labels = [walk.labels(value) for value in values]
    # Axes other than that of the Concat along which inputs have channels: these must agree.
    others = {each for found in labels for each in found.varying} - {axis}
    if not others:
        if not any(found.varying for found in labels):
            return [fixed_labels(rank)]
        # Each input has its own atoms at its own places.
        pieces = [
            _expanded(found.atoms, axis, shape[axis])
            for found, shape in zip(labels, shapes, strict=True)
            if shape is not None
        ]
        return [Labels(atoms=np.concatenate(pieces, axis))]
    along = any(axis in found.varying for found in labels)
    if any(constant(value) is not None for value in values) or along:
        return None
    reason = f"{name_of(node.outputs[0])} puts it beside a tensor that no layer computes"
    for found in labels[1:]:
        walk.relation.unify(labels[0].atoms, found.atoms, reason)
        if labels[0].heads is not None and found.heads is not None:
            walk.relation.unify(labels[0].heads, found.heads, reason)
        elif labels[0].heads is not found.heads:
            walk.pin(labels[0], reason)
            walk.pin(found, reason)
    return labels[:1]


def _taken(labels: Labels, axis: int, places: slice) -> Labels:
    """Return the labels of a part along an axis."""

    def part(atoms: Atoms) -> Atoms:
        index = tuple(places if a == axis else slice(None) for a in range(atoms.ndim))
        return atoms[index] if atoms.shape[axis] > 1 else atoms

    found = changed(labels, part)
    # A part with one row or one channel of each row has no heads any more.
    short = found.heads is not None and len(found.varying) < 2
    return Labels(atoms=found.atoms) if short else found


def split(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Give each part its own channels."""
    labels, rank = walk.labels(node.inputs[0]), walk.rank(node.inputs[0])
    if rank is None:
        return None
    axis, place, found = attribute(node, "axis", 0) % rank, 0, list[Labels]()
    for value in node.outputs:
        shape = walk.sizes(value)
        if shape is None:
            return None
        found.append(_taken(labels, axis, slice(place, place + shape[axis])))
        place += shape[axis]
    return found


def take_slice(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Take a part of the channels with step 1; along other axes, any part."""
    labels, sizes = walk.labels(node.inputs[0]), walk.sizes(node.inputs[0])
    starts, ends, axes = (constant_input(node, index) for index in (1, 2, 3))
    if sizes is None or starts is None or ends is None or axes is None:
        return None if labels.varying else [labels]
    steps = constant_input(node, 4)
    for number, axis in enumerate(same_axes(axes.tolist(), len(sizes))):
        if axis in labels.varying:
            if steps is not None and steps[number] != 1:
                return None
            bounds = slice(int(starts[number]), int(ends[number])).indices(sizes[axis])
            if axis == labels.inner_axis and bounds[0]:
                # Every head must keep equally many channels in front of the part, too.
                front = np.moveaxis(labels.atoms, (labels.row_axis or 0, axis), (-2, -1))
                front = front.reshape(front.shape[-2:])[:, : bounds[0]]
                walk.relation.add_rows(front)
            labels = _taken(labels, axis, slice(*bounds))
    return [labels]


def gather(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate a Gather along an axis without channels."""
    labels, indices = walk.labels(node.inputs[0]), constant_input(node, 1)
    rank = walk.rank(node.inputs[0])
    if rank is None or indices is None:
        return None
    axis = attribute(node, "axis", 0) % rank
    if axis in labels.varying:
        return None
    # The gathered axis, which has size 1 in the labels, becomes the axes of the indices.
    new = (1,) * indices.ndim

    def moved(atoms: Atoms) -> Atoms:
        return atoms.reshape(atoms.shape[:axis] + new + atoms.shape[axis + 1 :])

    return [changed(labels, moved)]
