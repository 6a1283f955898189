"""Groups of channels that can be removed from a graph together, found from its ops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..convert.graph import constant, constant_input, name_of, not_none, reads_of, result_name
from .channel_relation import FIXED, Atoms, Relation, fixed_labels
from .channel_rules import RULES
from .channel_walk import Walk

LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Ops with weights for each pair of an input and an output channel."""
Channels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Where a tensor has channels of a group."""

    axis: int | None
    """None: the same channel is at all places, such as that of a tensor with one channel."""
    channels: Channels
    """The channel at each place of the axis; -1 for channels of other groups."""

    @property
    def found(self) -> set[int]:
        """The channels of the group that the tensor has."""
        return set(self.channels.tolist()) - {-1}

    @property
    def is_shared(self) -> bool:
        """Whether the tensor has channels of other groups, too."""
        return bool((self.channels < 0).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelGroup:
    """Channels of which each can be removed from all tensors that have it.

    Channels are numbered as they first occur in the graph; in most groups, these are the channels
    of the group's first tensor.
    """

    name: str
    """The first tensor that has these channels."""
    size: int
    """The number of channels."""
    fixed: frozenset[int] = frozenset()
    """Channels that must stay."""
    reason: str = ""
    """Why no channel can be removed; empty if some can."""
    rows: tuple[tuple[int, ...], ...] = ()
    """Channels of heads or convolution groups: each row must keep equally many."""
    is_heads: bool = False
    """Whether each channel is a whole attention head."""
    producers: tuple[str, ...] = ()
    """Layers that compute the channels, by their first output."""
    consumers: tuple[str, ...] = ()
    """Layers that read the channels through their weights, by their first output."""
    places: Mapping[str, Places] = field(default_factory=dict)
    """Where each tensor has channels of this group; tensors in which they are split into heads are
    left out."""

    @property
    def is_prunable(self) -> bool:
        """Whether some channels can be removed."""
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """All groups of a graph, and what the removal of their channels means for its tensors."""

    groups: tuple[ChannelGroup, ...]
    relation: Relation
    classes: Mapping[str, tuple[int, ...]]
    """For each group, the class of atoms of each channel."""


def channel_groups(graph: ir.Graph) -> list[ChannelGroup]:
    """Return the groups of channels of a graph with known shapes, in graph order.

    An op that is not known keeps the channels that it reads. Inputs and outputs of the graph keep
    theirs.
    """
    return list(group_channels(graph).groups)


def group_channels(graph: ir.Graph) -> Grouping:
    """Return the groups of channels of a graph, and the relation of its tensors."""
    relation = _relation_of(graph)
    classes = _classes_by_family(graph, relation)
    found, by_name = list[ChannelGroup](), dict[str, tuple[int, ...]]()
    roots = relation.roots()
    for name, members in classes:
        found.append(_group(graph, relation, roots, name, members))
        by_name[name] = members
    return Grouping(groups=tuple(found), relation=relation, classes=by_name)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [value for node in graph for value in node.outputs]


def _relation_of(graph: ir.Graph) -> Relation:
    """Walk over the nodes in their order and apply the rule of each op."""
    walk = Walk(relation=Relation())
    relation = walk.relation
    for node in graph:
        rule = RULES.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
        reads = reads_of(node)
        dynamic = [value for value in reads if constant(value) is None]
        # Inner graphs of Loop, If and Scan read values that are not among the inputs.
        known = rule is not None and len(reads) == len([v for v in node.inputs if v is not None])
        ranked = all(walk.rank(value) is not None for value in (*dynamic, *node.outputs))
        labels = rule(walk, node) if rule is not None and known and ranked else None
        if labels is None:
            for value in dynamic:
                relation.pin_value(value, f"{result_name(node)} ({node.op_type}) needs all of them")
            labels = [fixed_labels(walk.rank(value) or 0) for value in node.outputs]
        for value, each in zip(node.outputs, labels, strict=True):
            walk.set(value, each)
    for value in graph.outputs:
        relation.pin_value(value, f"{name_of(value)} is an output of the graph")
    relation.settle()
    return relation


def _classes_by_family(graph: ir.Graph, relation: Relation) -> list[tuple[str, tuple[int, ...]]]:
    """Return the first tensor and the classes of each set of tied families, in graph order."""
    names, members = dict[int, str](), dict[int, dict[int, None]]()
    for value in _values(graph):
        labels = relation.labels[value]
        for atoms in (labels.atoms, labels.heads):
            for atom in _in_order(atoms):
                if atom != FIXED:
                    family = relation.family(atom)
                    names.setdefault(family, name_of(value))
                    members.setdefault(family, {})[relation.root(atom)] = None
    return [(name, tuple(members[family])) for family, name in names.items()]


def _in_order(atoms: Atoms | None) -> list[int]:
    """Return the distinct atoms of an array in the order in which they occur."""
    return [] if atoms is None else list(dict.fromkeys(atoms.reshape(-1).tolist()))


def _group(
    graph: ir.Graph,
    relation: Relation,
    roots: Atoms,
    name: str,
    members: tuple[int, ...],
) -> ChannelGroup:
    """Describe the group of these classes; ``roots``: the class of each atom."""
    number = {root: index for index, root in enumerate(members)}
    # The channels of a head belong to the head's group, too.
    elements = {
        relation.root(atom): number[relation.root(head)]
        for head, row in relation.links
        if relation.root(head) in number
        for atom in np.unique(row).tolist()
    }
    by_root = np.full(relation.size, -1, np.int64)
    for channels in (elements, number):
        by_root[list(channels)] = list(channels.values())
    channel_of = by_root[roots]  # of each atom
    # A group of heads has no rows: each of its channels is a whole row of another group.
    reasons = [relation.reason(root) for root in members]
    rows, reason = _rows(relation, channel_of if not elements else np.full(relation.size, -1))
    if reason is None and len(members) == 1:
        reason = "it has one channel"
    if reason is None and None not in reasons:
        reason = reasons[0]
    families = {relation.family(root) for root in members}
    places = _places(relation, _values(graph), channel_of)
    return ChannelGroup(
        name=name,
        size=len(members),
        fixed=frozenset(i for i, each in enumerate(reasons) if each is not None),
        reason=reason or "",
        rows=rows,
        is_heads=bool(elements),
        producers=tuple(
            result_name(node)
            for family, node in relation.producers.items()
            if relation.family_root(family) in families
        ),
        consumers=tuple(
            result_name(node)
            for node in graph
            if node.op_type in LAYERS
            and constant_input(node, 1) is not None
            and node.inputs[0] is not None
            and (source := places.get(node.inputs[0].name or "")) is not None
            # A MatMul may mix another axis, such as the width, and read each channel alone.
            and source.axis in (None, channel_axis(node))
        ),
        places=places,
    )


def channel_axis(node: ir.Node) -> int:
    """Return the axis of the channels that a layer reads and writes."""
    return 1 if node.op_type != "MatMul" else len(not_none(node.outputs[0]).shape or ()) - 1


def _rows(
    relation: Relation, channel_of: Channels
) -> tuple[tuple[tuple[int, ...], ...], str | None]:
    """Return the rows of a group, or the reason why they contradict each other."""
    found, ties = dict[frozenset[int], None](), list[set[frozenset[int]]]()
    for rows in relation.rows:
        tied = {frozenset(channel_of[row].tolist()) for row in rows}
        if any(-1 in row for row in tied):
            continue
        found.update(dict.fromkeys(sorted(tied, key=min)))
        ties = [s for s in ties if not s & tied] + [tied.union(*(s for s in ties if s & tied))]
    # Overlapping rows would tie their lengths in ways that ``rows`` cannot state.
    if len({channel for row in found for channel in row}) != sum(map(len, found)):
        return (), "its channels are split into heads or groups in several ways"
    if len(ties) > 1:
        return (), "its channels are split into heads or groups independently of each other"
    return tuple(tuple(sorted(row)) for row in found), None


def _places(
    relation: Relation, values: Iterable[ir.Value], channel_of: Channels
) -> dict[str, Places]:
    """Return where tensors with channels along one axis have those of a group."""
    found = dict[str, Places]()
    for value in values:
        labels = relation.labels[value]
        if len(labels.varying) <= 1 and value.name:
            channels = channel_of[labels.atoms.reshape(-1)]
            if (channels >= 0).any():
                axis = labels.varying[0] if labels.varying else None
                found[value.name] = Places(axis=axis, channels=channels)
    return found
