"""What a rule of an op reads and writes: the labels and sizes of the values around a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx_ir as ir

from ..convert.graph import Shape, constant, input_of, name_of, not_none
from .channel_relation import FIXED, Atoms, ConstantUse, Labels, Relation, fixed_labels

_SYMBOLS = (1_000_003, 1_000_033, 1_000_037, 1_000_039, 1_000_081, 1_000_099)
"""Primes that replace symbolic sizes, such as the batch: a Reshape cannot split or join them."""


@dataclass(kw_only=True)
class Walk:
    """The walk over a graph in its order."""

    relation: Relation
    _symbols: dict[str, int] = field(default_factory=dict)
    _weights: dict[ir.Value, ConstantUse] = field(default_factory=dict)
    """The first layer with these weights."""

    def sizes(self, value: ir.Value | None) -> Shape | None:
        """Return the shape of a value, with a prime for each symbolic size; None if unknown."""
        if value is None or value.shape is None:
            return None
        found = list[int]()
        for size in value.shape:
            if not isinstance(size, int):
                if size.value is None or len(self._symbols) >= len(_SYMBOLS):
                    return None
                size = self._symbols.setdefault(size.value, _SYMBOLS[len(self._symbols)])
            found.append(size)
        return tuple(found)

    def is_symbolic(self, size: int) -> bool:
        """Whether a size stands for one that is not known."""
        return size in self._symbols.values()

    def rank(self, value: ir.Value | None) -> int | None:
        """Return the number of axes of a value; None if unknown."""
        return None if value is None or value.shape is None else len(value.shape)

    def labels(self, value: ir.Value | None) -> Labels:
        """Return the labels of a value whose rank is known; FIXED if it has none."""
        found = self.relation.labels.get(value) if value is not None else None
        return found if found is not None else fixed_labels(self.rank(value) or 0)

    def set(self, value: ir.Value, labels: Labels) -> None:
        """Store the labels of a result.

        If they vary along two axes, the first one that varies has the rows, unless ``labels`` says
        otherwise. If they vary along more, or the rank is wrong, nothing can be removed.
        """
        relation, varying = self.relation, labels.varying
        # Pruning can slice one axis, or rows of equal length; not a third axis.
        if labels.atoms.ndim != self.rank(value) or len(varying) > 2:
            self.pin(labels, f"{name_of(value)} spreads its channels over several axes")
            labels = fixed_labels(self.rank(value) or 0)
        elif len(varying) == 2:
            heads = labels.heads
            if heads is None or heads.size == 1:
                heads = relation.add_heads(labels.atoms, varying[0])
            labels = Labels(atoms=labels.atoms, heads=heads)
            # (.., H, .., D) or (.., D, .., H) -> (H, D)
            rows = np.moveaxis(labels.atoms, (labels.row_axis, labels.inner_axis), (-2, -1))  # type: ignore[arg-type]
            relation.add_rows(rows.reshape(rows.shape[-2:]))
        elif labels.heads is not None:
            labels = Labels(atoms=labels.atoms)
        relation.labels[value] = labels

    def pin(self, labels: Labels, reason: str) -> None:
        """Keep all channels and heads of these labels."""
        self.relation.pin(labels.atoms, reason)
        self.relation.pin(labels.heads, reason)

    def along(self, value: ir.Value | None, axis: int) -> Atoms | None:
        """Return one atom per channel along ``axis``; None if labels vary along another axis too.

        ``axis`` may be negative.
        """
        sizes, labels = self.sizes(value), self.labels(value)
        if sizes is None or self.is_symbolic(sizes[axis]):
            return None
        if any(each != axis % len(sizes) for each in labels.varying):
            return None
        return np.broadcast_to(labels.atoms.reshape(-1), (sizes[axis],))

    def use(
        self,
        node: ir.Node,
        index: int,
        *labels: Atoms,
        factors: Shape | None = None,
        row_axis: int | None = None,
    ) -> None:
        """Record that a constant input loses elements with ``labels``, which broadcast to it.

        ``factors``: its shape with the first axis split, (groups, channels in a group, ..); None:
        its shape. Nothing is recorded if the input is absent or all labels are FIXED.
        """
        array = constant(input_of(node, index))
        if array is None or all((each == FIXED).all() for each in labels):
            return
        shape = factors or array.shape
        assert prod(shape) == array.size
        use = ConstantUse(node=node, index=index, factors=shape, labels=labels, row_axis=row_axis)
        self.relation.constants.append(use)
        if len(labels) == 2:  # both axes of a layer's weights
            self._share(not_none(node.inputs[index]), use)

    def _share(self, weights: ir.Value, use: ConstantUse) -> None:
        """Tie layers that have the same weights, such as the steps of an unrolled recurrence."""
        other = self._weights.setdefault(weights, use)
        if other.factors == use.factors:
            reason = f"{name_of(use.node.outputs[0])} has the weights of another layer"
            for one, two in zip(other.labels, use.labels, strict=True):
                if one.shape == two.shape:
                    self.relation.unify(one, two, reason)


Rule = Callable[[Walk, ir.Node], "list[Labels] | None"]
"""Returns the labels of the results of a node, or None if it does not know the op in this form."""


def reshaped(walk: Walk, labels: Labels, before: Shape, after: Shape) -> Labels | None:
    """Return the labels after a Reshape; None if an axis without a known size must be split.

    The axes are put together in groups of equal size, from left to right:
    (N, T, 192) -> (N, T, 4, 48) has the groups N | T | 192 -> 4, 48.
    """
    wide, target = list[int](), list[int]()
    for sources, targets in _groups(before, after):
        moved = any(axis in labels.varying for axis in sources)
        sizes = [after[axis] for axis in targets]
        if moved and any(map(walk.is_symbolic, (*(before[a] for a in sources), *sizes))):
            if labels.heads is None:
                return None
            whole = walk.relation.one_row(labels, "a Reshape joins its heads with the batch")
            return reshaped(walk, whole, before, after)
        wide += [before[axis] if moved else 1 for axis in sources]
        target += sizes if moved else [1] * len(sizes)
    swapped = labels.heads is not None and (labels.row_axis or 0) > (labels.inner_axis or 0)
    if swapped and [size for size in wide if size > 1] != [size for size in target if size > 1]:
        # (D, H) -> D H: the channels would change places if a head kept others than the next.
        labels = walk.relation.one_row(labels, "a Reshape interleaves its heads")
    # Axes whose labels do not vary keep size 1, so that no array has the size of the tensor.
    atoms = np.broadcast_to(labels.atoms, wide).reshape(target)
    heads = labels.heads
    if heads is not None:
        heads = _shortened(np.broadcast_to(heads, wide).reshape(target))
    return Labels(atoms=_shortened(atoms), heads=heads)


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Put axes together whose sizes have equal products; all sizes are at least 1."""
    groups, left, right = list[tuple[list[int], list[int]]](), 0, 0
    while left < len(before) or right < len(after):
        sources, targets, one, other = list[int](), list[int](), 1, 1
        while (not sources and left < len(before)) or one < other:
            one *= before[left]
            sources.append(left)
            left += 1
            while other < one:
                other *= after[right]
                targets.append(right)
                right += 1
        if not sources:  # trailing axes of size 1
            targets, right = list(range(right, len(after))), len(after)
        groups.append((sources, targets))
    return groups


def _shortened(atoms: Atoms) -> Atoms:
    """Give size 1 to the axes along which the atoms are the same."""
    for axis, size in enumerate(atoms.shape):
        first = atoms.take([0], axis=axis)
        if size > 1 and (atoms == first).all():
            atoms = first
    return atoms


def same_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Return axes as numbers from 0 on."""
    return [int(axis) % rank for axis in axes]
