"""The normal form of a chain of Reshape, Squeeze, Unsqueeze, Flatten and Transpose.

On known shapes such a chain only moves elements. Its normal form, without steps that do nothing, is

    Reshape(factors) -> Transpose(perm) -> Reshape(shape)

The form is derived from runs: the elements of a value, in order, are nested loops over the source,
and a run is one loop (size, stride). A Reshape keeps the runs, and a Transpose moves them. Sorted
by stride, the runs at the end are the factors of the source. As a check, the form must have the
same runs.

If a Transpose cuts a run at a place that does not divide it, the form is derived from numbers:
apply the chain to 0, 1, 2, ... and split each output axis into runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from ..graph import Shape

_MOST_NUMBERS = 1 << 24
"""Elements of a tensor on whose positions a chain is run; they need 8 bytes each."""
_Run = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class View:
    """Reshape to ``factors``, transpose by ``perm``, reshape to ``shape``."""

    factors: Shape
    perm: Shape
    shape: Shape

    @property
    def moves(self) -> bool:
        """Whether any element changes its place in memory."""
        return self.perm != tuple(range(len(self.perm)))

    def apply(self, array: npt.NDArray) -> npt.NDArray:
        """Apply the view to an array."""
        return array.reshape(self.factors).transpose(self.perm).reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Move:
    """One node of a chain: a Transpose by ``perm``, or a Reshape to ``shape`` if it is None."""

    shape: Shape
    """The shape of its result."""
    perm: Shape | None = None


def view_of_chain(source: Shape, chain: Sequence[Move]) -> View | None:
    """Return the normal form of a chain of moves; None if there is none, or an axis has size 0.

    Raises:
        ValueError: a Reshape changes the number of elements, so the graph is not valid.
    """
    if 0 in source:
        return None
    for move in chain:
        if prod(move.shape) != prod(source):
            raise ValueError(f"cannot reshape {list(source)} to {list(move.shape)}")
    runs, shape = _runs_after(source, chain), chain[-1].shape
    by_axis = _by_axis(runs, shape) if runs is not None else None
    if by_axis is None:
        return _view_by_numbers(source, chain) if prod(source) <= _MOST_NUMBERS else None
    view = _transpose(source, by_axis, shape) or _factored(by_axis, shape)
    moved = tuple(view.factors[axis] for axis in view.perm)
    form = (Move(shape=view.factors), Move(shape=moved, perm=view.perm), Move(shape=shape))
    return view if _runs_after(source, form) == runs else None


def _runs_after(source: Shape, chain: Sequence[Move]) -> list[_Run] | None:
    """Return the runs of the result of a chain, outer runs first, neighbors joined.

    None if an axis of a Transpose is not a number of whole runs.
    """
    runs, before = _joined([(prod(source), 1)]), source
    for move in chain:
        if move.perm is not None:
            by_axis = _by_axis(runs, before)
            if by_axis is None:
                return None
            runs = _joined([run for axis in move.perm for run in by_axis[axis]])
        before = move.shape
    return runs


def _by_axis(runs: Sequence[_Run], shape: Shape) -> list[list[_Run]] | None:
    """Distribute runs to axes, outer axes first; None if an axis ends within a run."""
    todo, axes = list(reversed(runs)), list[list[_Run]]()
    for size in shape:
        axis = list[_Run]()
        while size > 1:
            length, stride = todo.pop()
            taken = min(length, size)
            if length % taken or size % taken:
                return None
            rest = length // taken  # the inner part of a run that is longer than the axis
            axis.append((taken, stride * rest))
            if rest > 1:
                todo.append((rest, stride))
            size //= taken
        axes.append(axis)
    return axes


def _joined(runs: Sequence[_Run]) -> list[_Run]:
    """Join neighbors that are one run in the source: (2, 12), (3, 4) -> (6, 4)."""
    joined = list[_Run]()
    for size, stride in runs:
        if joined and joined[-1][1] == size * stride:
            joined[-1] = (joined[-1][0] * size, stride)
        elif size > 1:
            joined.append((size, stride))
    return joined


def _view_by_numbers(source: Shape, chain: Sequence[Move]) -> View | None:
    """Run a chain on the positions of the elements: the result shows where each element goes."""
    moved = np.arange(prod(source), dtype=np.int64).reshape(source)
    for move in chain:
        moved = moved.reshape(move.shape) if move.perm is None else moved.transpose(move.perm)
    return view_of(source, moved)


def _runs(offsets: npt.NDArray[np.int64]) -> list[_Run] | None:
    """Split one axis into (size, stride) runs, outer runs first.

    ``offsets``: the position in the source of each index along the axis. None if nested runs of
    constant stride cannot produce these positions.
    """
    size = len(offsets)
    if size == 1:
        return []
    step = int(offsets[1] - offsets[0])
    length = 1
    while length < size and offsets[length] == offsets[0] + length * step:
        length += 1
    if size % length:
        return None
    blocks = offsets.reshape(size // length, length)  # every block must repeat the inner run
    if (blocks - blocks[:, :1] != np.arange(length) * step).any():
        return None
    outer = _runs(blocks[:, 0])
    return None if outer is None else [*outer, (length, step)]


def view_of(source: Shape, moved: npt.NDArray[np.int64]) -> View | None:
    """Return the view that turns arange(source) into ``moved``; None if no view does."""
    # Along each axis, with all other indices 0, the numbers are positions in the source.
    runs: list[list[_Run]] = []
    for axis in range(moved.ndim):
        index: list[int | slice] = [0] * moved.ndim
        index[axis] = slice(None)
        split = _runs(moved[tuple(index)])
        if split is None:
            return None
        runs.append(split)
    # Prefer a single Transpose; the general form has up to three nodes.
    view = _transpose(source, runs, moved.shape) or _factored(runs, moved.shape)
    numbers = np.arange(int(np.prod(source)))
    if len(numbers) != int(np.prod(view.factors)):
        return None
    return view if np.array_equal(view.apply(numbers.reshape(source)), moved) else None


def _transpose(source: Shape, runs: list[list[_Run]], shape: Shape) -> View | None:
    """Return a view that is one Transpose, if each target axis is an axis of the source."""
    strides = [int(np.prod(source[axis + 1 :])) for axis in range(len(source))]
    axis_of = {(size, strides[axis]): axis for axis, size in enumerate(source) if size > 1}
    # Axes of size 1 have no stride of their own: assign them in order.
    ones = [axis for axis, size in enumerate(source) if size == 1]
    if len(shape) != len(source) or any(len(axis) > 1 for axis in runs):
        return None
    found = [axis_of.get(axis[0]) if axis else ones.pop(0) if ones else None for axis in runs]
    perm = tuple(axis for axis in found if axis is not None)
    if sorted(perm) != list(range(len(source))):
        return None
    return View(factors=source, perm=perm, shape=shape)


def _factored(runs: list[list[_Run]], shape: Shape) -> View:
    """Return a view with the runs as factors, joined where they are one run in the source."""
    joined = _joined([run for axis in runs for run in axis])
    # Sorted by stride, outermost first, the runs are the axes of the source.
    order = sorted(range(len(joined)), key=lambda i: -joined[i][1])
    return View(
        factors=tuple(joined[i][0] for i in order),
        perm=tuple(order.index(i) for i in range(len(joined))),
        shape=shape,
    )
