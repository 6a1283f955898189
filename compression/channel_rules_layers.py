"""How ops that compute from channels relate them: layers with weights, and elementwise ops.

Each rule returns the labels of the results, or None if it does not know the op in this form.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..convert.graph import array_of, attribute, constant, constant_input, input_of, name_of
from .channel_relation import FIXED, Atoms, Labels, aligned, fixed_labels, on_axis
from .channel_walk import Walk


def conv(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the channels of a Conv; of a depthwise one, those of input and result are the same."""
    weights, into = constant_input(node, 1), walk.along(node.inputs[0], 1)
    rank = walk.rank(node.outputs[0])
    if weights is None or into is None or rank is None:
        return None
    outputs, per_group, *kernel = weights.shape
    groups = attribute(node, "group", 1)
    if groups > 1 and per_group == 1:
        # With a multiplier m, channel c becomes the channels c m .. c m + m - 1.
        out = np.repeat(into, outputs // groups)
        walk.use(node, 1, out.reshape(-1, 1, *[1] * len(kernel)))
    else:
        out = walk.relation.new(outputs, node)
        sides = _in_groups(walk, into, groups), _in_groups(walk, out, groups)
        _use_in_groups(walk, node, *sides, transposed=False)
    walk.use(node, 2, out)
    return [on_axis(out, 1, rank)]


def conv_transpose(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the channels of a ConvTranspose; its weights are (inputs, outputs / groups, ..)."""
    weights, into = constant_input(node, 1), walk.along(node.inputs[0], 1)
    rank = walk.rank(node.outputs[0])
    if weights is None or into is None or rank is None:
        return None
    groups = attribute(node, "group", 1)
    if groups > 1 and weights.shape[:2] == (groups, 1):
        out = into
        walk.use(node, 1, out.reshape(-1, *[1] * (weights.ndim - 1)))
    else:
        out = walk.relation.new(weights.shape[1] * groups, node)
        sides = _in_groups(walk, into, groups), _in_groups(walk, out, groups)
        _use_in_groups(walk, node, *sides, transposed=True)
    walk.use(node, 2, out)
    return [on_axis(out, 1, rank)]


def _in_groups(walk: Walk, atoms: Atoms, groups: int) -> Atoms:
    """Return atoms (groups, channels in a group), which must stay equally many in each group."""
    rows = atoms.reshape(groups, -1)
    if groups > 1:
        walk.relation.add_rows(rows, grouped=True)
    return rows


def _use_in_groups(walk: Walk, node: ir.Node, into: Atoms, out: Atoms, *, transposed: bool) -> None:
    """Record the weights of a convolution as (groups, first axis, second axis, ..)."""
    weights = array_of(node.inputs[1])
    groups, kernel = len(into), weights.shape[2:]
    # A Conv has weights (out, in / groups, ..), a ConvTranspose (in, out / groups, ..): the first
    # axis runs through the groups.
    first, second = (into, out) if transposed else (out, into)
    ones = [1] * len(kernel)
    walk.use(
        node,
        1,
        first.reshape(groups, -1, 1, *ones),
        second.reshape(groups, 1, -1, *ones),
        factors=(groups, first.shape[1], second.shape[1], *kernel),
        row_axis=0,
    )


def gemm(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the channels of a Gemm with constant weights."""
    weights, into = constant_input(node, 1), walk.along(node.inputs[0], 1)
    if weights is None or into is None or attribute(node, "transA", 0):
        return None
    turned = bool(attribute(node, "transB", 0))
    out = walk.relation.new(weights.shape[0 if turned else 1], node)
    rows, columns = into.reshape(-1, 1), out.reshape(1, -1)  # (in, 1) and (1, out)
    walk.use(node, 1, *((rows.T, columns.T) if turned else (rows, columns)))
    result, bias = on_axis(out, 1, 2), constant_input(node, 2)
    if bias is not None and bias.ndim and bias.shape[-1] != 1:
        walk.use(node, 2, aligned(out, bias.ndim))
    elif bias is None and (added := input_of(node, 2)) is not None:
        sizes = walk.sizes(added)
        if sizes is None or sizes[-1] != len(out):
            return None
        reason = f"{name_of(node.outputs[0])} adds a tensor that no layer computes"
        walk.relation.unify(result.atoms, walk.labels(added).atoms, reason)
    return [result]


def matmul(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the channels of a MatMul; one with two computed inputs has no weights to cut."""
    first, second = node.inputs
    rank = walk.rank(node.outputs[0])
    if rank is None:
        return None
    left, right = constant(first), constant(second)
    if right is not None:
        return _dense(walk, node, rank) if right.ndim == 2 else None
    if left is None:
        return _product(walk, node, rank)
    # A constant matrix on the left mixes the last axis but one.
    labels, into = walk.labels(second), walk.along(second, -2)
    if rank - 2 not in labels.varying:
        return [labels] if labels.atoms.ndim == rank else None
    if into is None or left.ndim != 2:
        return None
    walk.use(node, 0, into.reshape(1, -1))  # (rows, in)
    return [fixed_labels(rank)]


def _dense(walk: Walk, node: ir.Node, rank: int) -> list[Labels] | None:
    x, weights = node.inputs[0], array_of(node.inputs[1])
    labels = walk.labels(x)
    if labels.varying and rank - 1 not in labels.varying:
        return [labels]  # it mixes another axis, such as the width of an image
    if labels.heads is not None:  # the same weights for each head
        labels = walk.relation.one_row(labels, f"{name_of(node.outputs[0])} mixes its heads")
        walk.relation.labels[x] = labels  # type: ignore[index]
    into = walk.along(x, -1)
    if into is None:
        return None
    out = walk.relation.new(weights.shape[1], node)
    walk.use(node, 1, into.reshape(-1, 1), out.reshape(1, -1))  # weights (in, out)
    return [on_axis(out, rank - 1, rank)]


def _product(walk: Walk, node: ir.Node, rank: int) -> list[Labels] | None:
    """Relate x (.., T, K) and y (.., K, S): the labels of x and y along K are equal.

    Along the other axes, such as the heads, each result belongs to one head of x and of y:

        queries (H, T, D), keys (H, D, T)  ->  scores with the heads' atoms (H, 1, 1)
        scores (H, T, T), values (H, T, D)  ->  the atoms of the values, (H, 1, D)
    """
    if any(walk.rank(value) != rank for value in node.inputs):
        return None
    reason = f"{name_of(node.outputs[0])} multiplies it by a tensor that no layer computes"
    relation, last, middle = walk.relation, rank - 1, rank - 2
    x, y = (_heads_outside(walk, walk.labels(value), middle, reason) for value in node.inputs)
    # Labels along both of the last axes: neither of them can be summed over alone.
    if any({last, middle} <= set(labels.varying) for labels in (x, y)):
        return None
    if last in x.varying or middle in y.varying:
        # Both as (.., K), with size 1 along the other of the last two axes.
        relation.unify(x.atoms.swapaxes(last, middle), y.atoms, reason)
    outer = _couple_heads(walk, node, (x, y), reason)
    inner = [labels for labels, axis in ((x, middle), (y, last)) if axis in labels.varying]
    if len(inner) == 2:
        return None  # the result would have channels of both
    if not inner:
        return [Labels(atoms=outer) if outer is not None else fixed_labels(rank)]
    if inner[0].heads is None and outer is not None:
        relation.pin(outer, reason)  # all heads have the same channels
    return inner


def _heads_outside(walk: Walk, labels: Labels, middle: int, reason: str) -> Labels:
    """Give up heads that are along one of the last two axes, which a MatMul multiplies."""
    inside = labels.row_axis is not None and labels.row_axis >= middle
    return walk.relation.one_row(labels, reason) if inside else labels


def _couple_heads(
    walk: Walk, node: ir.Node, both: tuple[Labels, Labels], reason: str
) -> Atoms | None:
    """Make the heads of the inputs of a product equal; return the atoms of the result's heads."""
    rank, found = both[0].atoms.ndim, list[tuple[Atoms, ir.Value | None]]()
    for labels, other in zip(both, reversed(node.inputs), strict=True):
        if any(axis < rank - 2 for axis in labels.varying):
            found.append((labels.heads if labels.heads is not None else labels.atoms, other))
    if len(found) == 2:
        walk.relation.unify(found[0][0], found[1][0], reason)
    for heads, other in found if len(found) == 1 else []:
        sizes = walk.sizes(other)
        if sizes is None or any(s > 1 and sizes[a] > 1 for a, s in enumerate(heads.shape)):
            walk.relation.pin(heads, reason)
    return found[0][0] if found else None


def elementwise(walk: Walk, node: ir.Node) -> list[Labels] | None:
    """Relate the inputs of an op that aligns shapes at the last axis, channel by channel."""
    result = node.outputs[0]
    rank = walk.rank(result)
    operands = [v for v in node.inputs if v is not None and constant(v) is None]
    if rank is None or any(walk.sizes(v) is None for v in operands):
        return None
    reason = f"{name_of(result)} combines it with a tensor that no layer computes"
    everything = [_padded(walk.labels(v), rank) for v in operands]
    shapes = [(1,) * (rank - len(s)) + s for v in operands if (s := walk.sizes(v)) is not None]
    constants = {i: c.shape for i, v in enumerate(node.inputs) if (c := constant(v)) is not None}
    padded = [(1,) * (rank - len(shape)) + shape for shape in constants.values()]
    varying = sorted({axis for labels in everything for axis in labels.varying})
    # An operand (1, D) meets channels (H, D): all heads must keep the same channels of D.
    if any(_part(shape, varying, everything) is None for shape in (*shapes, *padded)):
        everything = [walk.relation.one_row(labels, reason) for labels in everything]
        varying = sorted({axis for labels in everything for axis in labels.varying})
    # Operands that are long along all of these axes; the others are broadcast.
    wholes = [
        labels
        for labels, shape in zip(everything, shapes, strict=True)
        if all(shape[axis] > 1 for axis in varying)
    ]
    if not varying:
        return [fixed_labels(rank)]
    if not wholes or any(_part(s, varying, everything) is None for s in (*shapes, *padded)):
        return None
    whole = max(wholes, key=lambda labels: len(labels.varying))
    # Channels of two operands along different axes: the result has pairs of them.
    if whole.varying != varying:
        return None
    for labels, shape in zip(everything, shapes, strict=True):
        _couple(walk, whole, labels, shape, reason)
    for index, shape in constants.items():
        atoms = _part((1,) * (rank - len(shape)) + shape, varying, [whole])
        if atoms is not None and atoms.size > 1:
            row_axis = whole.row_axis if atoms is whole.atoms else None
            walk.use(
                node,
                index,
                atoms.reshape(atoms.shape[rank - len(shape) :]),
                row_axis=None if row_axis is None else row_axis - (rank - len(shape)),
            )
    return [whole]


def _padded(labels: Labels, rank: int) -> Labels:
    heads = None if labels.heads is None else aligned(labels.heads, rank)
    return Labels(atoms=aligned(labels.atoms, rank), heads=heads)


def _part(shape: tuple[int, ...], varying: list[int], all_labels: list[Labels]) -> Atoms | None:
    """Return the atoms that an operand of this shape meets: all, those of heads, or none (size 1).

    None: it is long along some of the axes only, and not along that of the heads.
    """
    long = [axis for axis in varying if shape[axis] > 1]
    whole = max(all_labels, key=lambda labels: len(labels.varying))
    if not long:
        return np.full((1,) * len(shape), FIXED, np.int64)
    if long == varying:
        return whole.atoms
    return whole.heads if whole.heads is not None and long == [whole.row_axis] else None


def _couple(walk: Walk, whole: Labels, labels: Labels, shape: tuple[int, ...], reason: str) -> None:
    """Make the atoms of an operand equal to those of the result."""
    relation, part = walk.relation, _part(shape, whole.varying, [whole])
    if labels is whole or part is None or part.size == 1:
        return
    if whole.heads is None or part is whole.heads:
        relation.unify(part, labels.atoms, reason)
        return
    heads = labels.heads
    if heads is not None and labels.row_axis == whole.row_axis:
        relation.unify(whole.heads, heads, reason)
    else:
        relation.pin(whole.heads, reason)
        relation.pin(heads, reason)
    if heads is not None and labels.row_axis != whole.row_axis:
        relation.one_row(whole, reason)
        relation.one_row(labels, reason)
    relation.unify(whole.atoms, labels.atoms, reason)
