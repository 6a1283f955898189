"""Which channels of which tensors must be removed together.

Each channel of each layer's result is an *atom*. A tensor has labels: an array of atoms with the
tensor's rank, of size 1 along the axes on which the atom does not depend. Ops make atoms equal
(``x + y`` has one channel for a channel of x and one of y), so that atoms form *classes*; a class
is what can be removed. An op that needs a channel for another purpose *pins* its class, with the
reason.

Two axes of a tensor can have labels together: (H, D) after channels were split into heads. Each
head may lose different channels, but every head must keep equally many; such a set of *rows* is
recorded. To remove a whole head is another decision, with an atom of its own for each head, which
is *linked* to the classes of its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..convert.graph import Shape

Atoms = npt.NDArray[np.int64]
FIXED = 0
"""The atom of everything that cannot be removed, such as the channels of the image."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The atoms of a tensor."""

    atoms: Atoms
    """Rank of the tensor; each axis has size 1 or the size of the tensor's axis."""
    heads: Atoms | None = None
    """If the labels vary along two axes: the atoms of the rows, an array like ``atoms`` of size 1
    along the axis of the channels in a row."""

    @property
    def varying(self) -> list[int]:
        """The axes along which the atoms differ."""
        return [axis for axis, size in enumerate(self.atoms.shape) if size != 1]

    @property
    def row_axis(self) -> int | None:
        """The axis of the rows."""
        return None if self.heads is None else _only_long_axis(self.heads)

    @property
    def inner_axis(self) -> int | None:
        """The axis of the channels within a row."""
        row = self.row_axis
        return None if row is None else next(axis for axis in self.varying if axis != row)


def _only_long_axis(atoms: Atoms) -> int:
    return next(axis for axis, size in enumerate(atoms.shape) if size != 1)


@dataclass(frozen=True, kw_only=True)
class ConstantUse:
    """A constant input that loses elements with the channels of other tensors."""

    node: ir.Node
    index: int
    factors: Shape
    """Its shape; if the channels are in groups, an axis is (groups, channels in a group)."""
    labels: tuple[Atoms, ...]
    """Arrays that broadcast to ``factors``; an element remains if all of its atoms do."""
    row_axis: int | None = None
    """The axis of the factors along which rows may keep different channels."""


@dataclass(kw_only=True)
class Relation:
    """Atoms, their classes and families, and what ties them."""

    labels: dict[ir.Value, Labels] = field(default_factory=dict)
    constants: list[ConstantUse] = field(default_factory=list)
    rows: list[Atoms] = field(default_factory=list)
    """Arrays (rows, atoms in a row): every row must keep equally many."""
    grouped: list[Atoms] = field(default_factory=list)
    """Those of ``rows`` of which no whole row can be removed: groups of a convolution."""
    links: list[tuple[int, Atoms]] = field(default_factory=list)
    """The atom of a head, and the atoms of its row."""
    producers: dict[int, ir.Node] = field(default_factory=dict)
    """The node that creates a family, by the number of the family."""
    _parents: list[int] = field(default_factory=lambda: [FIXED])
    _families: list[int] = field(default_factory=lambda: [0])
    """The family of each atom; family 0 is that of FIXED."""
    _family_parents: list[int] = field(default_factory=lambda: [0])
    _reasons: dict[int, str] = field(default_factory=lambda: {FIXED: "no layer computes it"})

    @property
    def size(self) -> int:
        """The number of atoms."""
        return len(self._parents)

    def new(self, count: int, node: ir.Node | None = None) -> Atoms:
        """Create a family of ``count`` atoms; ``node`` is the layer whose channels they are."""
        first, family = self.size, len(self._family_parents)
        self._parents += range(first, first + count)
        self._families += [family] * count
        self._family_parents.append(family)
        if node is not None:
            self.producers[family] = node
        return np.arange(first, first + count, dtype=np.int64)

    def root(self, atom: int) -> int:
        """Return the representative of an atom's class."""
        return _root(self._parents, atom)

    def roots(self) -> Atoms:
        """Return the representative of every atom."""
        return np.array([self.root(atom) for atom in range(self.size)], np.int64)

    def family(self, atom: int) -> int:
        """Return the representative of the families that are tied to an atom's family."""
        return self.family_root(self._families[atom])

    def family_root(self, family: int) -> int:
        """Return the representative of the families that are tied to a family."""
        return _root(self._family_parents, family)

    def unify(self, one: Atoms, other: Atoms, reason: str) -> None:
        """Make atoms equal, element by element; the arrays broadcast.

        ``reason``: why an atom must stay that is made equal to FIXED. FIXED itself has no class,
        because it would tie all layers that touch it.
        """
        # Pairs repeat where both arrays are broadcast or have repeated atoms.
        if one.shape != other.shape:
            one, other = np.broadcast_arrays(one, other)
        pairs = np.unique(np.stack([one.reshape(-1), other.reshape(-1)], axis=1), axis=0)
        for a, b in pairs.tolist():
            # The lower atom represents a class: FIXED, the lowest, never joins one.
            low, high = sorted((self.root(a), self.root(b)))
            if low == FIXED:
                self.pin(np.array([high]), reason)
            elif low != high:
                self._parents[high] = low
                if (found := self._reasons.pop(high, None)) is not None:
                    self._reasons.setdefault(low, found)
                self.tie(a, b)

    def tie(self, one: int, other: int) -> None:
        """Put the families of two atoms into one group."""
        low, high = sorted((self.family(one), self.family(other)))
        if low:
            self._family_parents[high] = low

    def pin(self, atoms: Atoms | None, reason: str) -> None:
        """Keep the classes of these atoms for a reason; the first reason counts."""
        for atom in [] if atoms is None else np.unique(atoms[atoms != FIXED]).tolist():
            self._reasons.setdefault(self.root(atom), reason)

    def pin_value(self, value: ir.Value | None, reason: str) -> None:
        """Keep all channels of a value, and its heads."""
        found = self.labels.get(value) if value is not None else None
        if found is not None:
            self.pin(found.atoms, reason)
            self.pin(found.heads, reason)

    def reason(self, atom: int) -> str | None:
        """Return why the class of an atom must stay; None if it can be removed."""
        return self._reasons.get(self.root(atom))

    def add_rows(self, rows: Atoms, *, grouped: bool = False) -> None:
        """Record that all rows (rows, atoms) must keep equally many channels."""
        self.rows.append(rows)
        if grouped:
            self.grouped.append(rows)
        for a, b in pairwise(np.unique(rows[rows != FIXED]).tolist()):
            self.tie(a, b)

    def add_heads(self, elements: Atoms, axis: int) -> Atoms:
        """Create an atom for each row of ``elements`` along ``axis``, linked to its elements."""
        count = elements.shape[axis]
        heads = self.new(count)
        for head, row in zip(heads.tolist(), np.moveaxis(elements, axis, 0), strict=True):
            self.links.append((head, row.reshape(-1)))
        return heads.reshape([count if a == axis else 1 for a in range(elements.ndim)])

    def one_row(self, labels: Labels, reason: str) -> Labels:
        """Give up choosing channels head by head: each head loses the same ones."""
        if labels.heads is None or labels.row_axis is None:
            return labels
        # (H, D) -> (1, D): channel d of every head is that of the first one.
        first = labels.atoms.take([0], axis=labels.row_axis)
        self.unify(labels.atoms, first, reason)
        self.pin(labels.heads, reason)
        return Labels(atoms=first)

    def settle(self) -> None:
        """Pin what follows from other pins: rows with a pinned channel, heads of such rows."""
        self._pin_entangled_heads()
        # A pin can pin a whole row, and that row another one: repeat until nothing changes.
        before = -1
        while before != len(self._reasons):
            before = len(self._reasons)
            for rows in self.rows:
                self._spread(rows)
            for head, elements in self.links:
                reason = next(filter(None, map(self.reason, np.unique(elements).tolist())), None)
                if reason is not None:
                    self.pin(np.array([head]), reason)

    def _pin_entangled_heads(self) -> None:
        """Pin heads that share channels with another head, or with a grouped convolution."""
        owners = dict[int, int]()
        grouped = {self.root(atom) for rows in self.grouped for atom in np.unique(rows).tolist()}
        for head, elements in self.links:
            # Heads that are equal, such as those of queries and keys, count as one.
            for channel in {self.root(atom) for atom in elements.tolist()}:
                owner = owners.setdefault(channel, self.root(head))
                if owner != self.root(head):
                    self.pin(np.array([head, owner]), "its heads share channels")
                if channel in grouped:
                    self.pin(np.array([head]), "a grouped convolution reads channels of every head")

    def _spread(self, atoms: Atoms) -> None:
        reason = next(filter(None, map(self.reason, np.unique(atoms).tolist())), None)
        if reason is not None:
            self.pin(atoms, reason)


def _root(parents: list[int], item: int) -> int:
    """Return the root of a tree of parents, and shorten the path to it."""
    while parents[item] != item:
        parents[item] = parents[parents[item]]
        item = parents[item]
    return item


def fixed_labels(rank: int) -> Labels:
    """Return the labels of a tensor of which nothing can be removed."""
    return Labels(atoms=np.full((1,) * rank, FIXED, np.int64))


def on_axis(atoms: Atoms, axis: int, rank: int) -> Labels:
    """Return labels that vary along one axis."""
    return Labels(atoms=atoms.reshape([-1 if a == axis else 1 for a in range(rank)]))


def aligned(atoms: Atoms, rank: int) -> Atoms:
    """Add leading axes of size 1, as ops with broadcasting do."""
    return atoms.reshape((1,) * (rank - atoms.ndim) + atoms.shape)
