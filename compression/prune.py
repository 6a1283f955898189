"""Remove channels from a graph: slice constants, adapt sizes, keep the names of all tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..convert.graph import (
    array_of,
    attribute,
    constant_input,
    name_of,
    not_none,
    set_constant_input,
)
from ..errors import ConversionError
from .channel_groups import ChannelGroup, Grouping, group_channels
from .channel_relation import ConstantUse, Labels, Relation
from .decisions import Prune

Mask = npt.NDArray[np.bool_]
NewConstant = tuple[ir.Node, int, npt.NDArray]
"""A node, the index of an input and the array that replaces it."""


def prune_channels(model: ir.Model, decisions: Sequence[Prune]) -> dict[str, tuple[int, ...]]:
    """Remove channels in place; return the tensors that lost some, with the channels they keep.

    Channels of a tensor are counted along its channel axis; if its channels are split into heads,
    along the axes of heads and channels as if they were one.

    Raises:
        ConversionError: a decision names no group of the graph, or channels that cannot be removed.
    """
    if not decisions:
        return {}
    grouping = group_channels(model.graph)
    relation = grouping.relation
    kept = _kept_atoms(grouping, decisions)
    masks = {v: kept[each.atoms] for v, each in relation.labels.items()}
    changed = {v: mask for v, mask in masks.items() if not mask.all()}
    _check_parts(changed, relation)
    # The new constants depend on old shapes and on old constants.
    constants = [_cut(use, kept) for use in relation.constants]
    sizes = {v: _new_sizes(relation.labels[v], mask, v) for v, mask in changed.items()}
    for node in model.graph:
        if (adapt := _ADAPTED.get(node.op_type)) is not None:
            constants += adapt(node, changed, sizes)
    for value, size in sizes.items():
        value.shape = ir.Shape(size)
    _replace(constants)
    return {name_of(v): tuple(np.flatnonzero(mask).tolist()) for v, mask in changed.items()}


def _kept_atoms(grouping: Grouping, decisions: Sequence[Prune]) -> Mask:
    """Return whether each atom remains."""
    groups = {group.name: group for group in grouping.groups}
    relation, removed = grouping.relation, set[int]()
    for decision in decisions:
        group = groups.get(decision.group)
        if group is None:
            raise ConversionError(
                f"{decision.group} is not a group of channels of this graph; expected the name of "
                "the first tensor of a group"
            )
        check_kept(group, decision.kept)
        classes = grouping.classes[group.name]
        removed |= {classes[channel] for channel in set(range(group.size)) - set(decision.kept)}
    # With a head, all of its channels go: those of queries, keys and values.
    for head, elements in relation.links:
        if relation.root(head) in removed:
            removed |= {relation.root(atom) for atom in np.unique(elements).tolist()}
    kept = ~np.isin(relation.roots(), list(removed))
    _check_rows(relation, kept)
    return kept


def check_kept(group: ChannelGroup, kept: Sequence[int]) -> None:
    """Check that the other channels of a group can be removed.

    Raises:
        ConversionError: they cannot; the message states why.
    """
    chosen = set(kept)
    if group.reason and len(chosen) < group.size:
        raise ConversionError(f"channels of {group.name} cannot be removed: {group.reason}")
    if not chosen or min(chosen) < 0 or max(chosen) >= group.size:
        raise ConversionError(
            f"channels to keep of {group.name} must be between 0 and {group.size - 1}, not {kept}"
        )
    if missing := group.fixed - chosen:
        raise ConversionError(f"channels {sorted(missing)} of {group.name} must stay")
    counts = {len(chosen.intersection(row)) for row in group.rows}
    if len(counts) > 1 or 0 in counts:
        raise ConversionError(
            f"each head or convolution group of {group.name} must keep equally many channels and "
            f"at least one, not {sorted(counts)}"
        )


def _check_rows(relation: Relation, kept: Mask) -> None:
    """Check that rows keep equally many channels, except heads that are removed as a whole."""
    gone = {relation.root(head) for head, _ in relation.links if not kept[head]}
    for head, elements in relation.links:
        if not kept[elements].any() and relation.root(head) not in gone:
            raise ConversionError("all channels of an attention head are removed, but not the head")
    for rows in relation.rows:
        counts = {int(count) for count in kept[rows].sum(1)} - {0}
        if len(counts) > 1:
            raise ConversionError(
                f"heads or convolution groups must keep equally many channels, not {sorted(counts)}"
            )


def _check_parts(changed: dict[ir.Value, Mask], relation: Relation) -> None:
    """Check that no tensor loses all of its channels."""
    for value, mask in changed.items():
        if not mask.any():
            raise ConversionError(
                f"{name_of(value)} would keep no channel; expected at least one of "
                f"{relation.labels[value].atoms.size}"
            )


def _new_sizes(labels: Labels, mask: Mask, value: ir.Value) -> list[int | ir.SymbolicDim]:
    """Return the shape of a value without the channels that are removed."""
    counts = _counts(mask, labels.row_axis, name_of(value))
    old = list(_dims(value))
    return [counts[a] if mask.shape[a] != 1 else size for a, size in enumerate(old)]


def _dims(value: ir.Value) -> ir.Shape:
    """Return a shape that must be known, maybe with symbolic sizes."""
    assert value.shape is not None
    return value.shape


def _counts(mask: Mask, row_axis: int | None, name: str) -> list[int]:
    """Return how many places along each axis remain.

    Along the row axis these are the rows that are not empty. Along every other axis, all lines that
    are not empty have the same number.
    """
    found = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        lines = mask.any(axis=others) if axis == row_axis else mask.sum(axis=axis)
        found.append(int(lines.sum() if axis == row_axis else lines.max()))
    if prod(found) != mask.sum():
        raise ConversionError(f"the channels that remain of {name} do not form a tensor")
    return found


def _cut(use: ConstantUse, kept: Mask) -> NewConstant:
    """Return a constant without the elements of removed channels."""
    array = array_of(use.node.inputs[use.index])
    mask = np.ones(use.factors, bool)
    for labels in use.labels:
        mask &= kept[labels]
    counts = _counts(mask, use.row_axis, name_of(use.node.inputs[use.index]))
    # A mask takes elements in the order of the axes, so that each row keeps its own channels.
    cut = array.reshape(use.factors)[mask]
    if len(use.factors) > array.ndim:
        counts = [counts[0] * counts[1], *counts[2:]]  # (groups, in a group, ..) -> one axis
    return use.node, use.index, cut.reshape(counts)


Sizes = dict[ir.Value, list[int | ir.SymbolicDim]]
Adapt = Callable[[ir.Node, dict[ir.Value, Mask], Sizes], list[NewConstant]]


def _conv(node: ir.Node, changed: dict[ir.Value, Mask], sizes: Sizes) -> list[NewConstant]:
    """A depthwise convolution has one group per input channel."""
    source = not_none(node.inputs[0])
    groups = attribute(node, "group", 1)
    depthwise = groups > 1 and groups == _dims(source)[1]
    if depthwise and source in sizes:
        node.attributes["group"] = ir.AttrInt64("group", int(sizes[source][1]))  # type: ignore[arg-type]
    return []


def _stated_shape(index: int) -> Adapt:
    """Return how to adapt a shape that an input states: that of a Reshape, Expand or Resize."""

    def adapt(node: ir.Node, changed: dict[ir.Value, Mask], sizes: Sizes) -> list[NewConstant]:
        result = node.outputs[0]
        stated = constant_input(node, index)
        if result not in changed or stated is None or not stated.size:
            return []
        new, start = stated.copy(), len(changed[result].shape) - stated.size
        for axis, size in enumerate(changed[result].shape):
            # -1: computed from the others. A stated 1 of Expand leaves the axis as it is.
            if size != 1 and axis >= start and stated[axis - start] not in (-1, 1):
                new[axis - start] = sizes[result][axis]
        return [(node, index, new)]

    return adapt


def _split(node: ir.Node, changed: dict[ir.Value, Mask], sizes: Sizes) -> list[NewConstant]:
    """State the sizes of the parts."""
    source = not_none(node.inputs[0])
    axis = attribute(node, "axis", 0) % len(_dims(source))
    if source not in changed or changed[source].shape[axis] == 1:
        return []
    parts = [sizes.get(v, list(_dims(v)))[axis] for v in node.outputs]
    # ``num_outputs`` means equal parts, which the sizes would contradict.
    node.attributes.pop("num_outputs", None)
    return [(node, 1, np.array(parts, np.int64))]


def _slice(node: ir.Node, changed: dict[ir.Value, Mask], sizes: Sizes) -> list[NewConstant]:
    """Move the bounds of a part of the channels."""
    source = not_none(node.inputs[0])
    axes = constant_input(node, 3)
    if source not in changed or axes is None:
        return []
    mask, shape = changed[source], _dims(source)
    bounds = [array_of(node.inputs[index]).copy() for index in (1, 2)]
    for number, axis in enumerate(axes.tolist()):
        axis %= len(shape)
        if mask.shape[axis] != 1:
            lines = np.moveaxis(mask, axis, -1).reshape(-1, mask.shape[axis])
            # All rows that remain have equally many channels in front of each bound.
            row = lines[int(lines.any(1).argmax())]
            start, end, _ = slice(*(int(b[number]) for b in bounds)).indices(mask.shape[axis])
            bounds[0][number], bounds[1][number] = row[:start].sum(), row[:end].sum()
    return [(node, 1, bounds[0]), (node, 2, bounds[1])]


_ADAPTED: dict[str, Adapt] = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Reshape": _stated_shape(1),
    "Expand": _stated_shape(1),
    "Resize": _stated_shape(3),
    "Split": _split,
    "Slice": _slice,
}


def _replace(constants: Sequence[NewConstant]) -> None:
    """Set new constants. One keeps its name if all nodes that read it need the same array."""
    by_value = dict[ir.Value | None, list[NewConstant]]()
    for each in constants:
        node, index, _ = each
        value = node.inputs[index] if index < len(node.inputs) else None
        by_value.setdefault(value, []).append(each)
    for value, uses in by_value.items():
        array = uses[0][2]
        places = {(node, index) for node, index, _ in uses}
        same = all(np.array_equal(array, other) for _, _, other in uses)
        if value is not None and value.is_initializer() and set(value.uses()) <= places and same:
            value.shape = ir.Shape(array.shape)
            value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)
        else:
            for node, index, new in uses:
                set_constant_input(node, index, new)
