"""Algebra of views: chains of Reshape, Squeeze, Unsqueeze, Flatten and Transpose.

On static shapes such a chain only moves elements. It is brought to the normal form

    Reshape -> Transpose -> Reshape

with steps left out where they do nothing. The form is found on numbers: the chain is applied to
0, 1, 2, ..., each output axis is split into runs of constant stride, and the runs, sorted by
stride, are the axes of the source. It is checked by applying it to the same numbers again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]


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


def _runs(strides: npt.NDArray[np.int64]) -> list[tuple[int, int]] | None:
    """Split one axis, given each index's offset in the source, into (size, stride) runs.

    Outer runs first. None when the offsets are no mixed-radix number.
    """
    size = len(strides)
    if size == 1:
        return []
    step = int(strides[1] - strides[0])
    length = 1
    while length < size and strides[length] == strides[0] + length * step:
        length += 1
    if size % length:
        return None
    blocks = strides.reshape(size // length, length)
    if (blocks - blocks[:, :1] != np.arange(length) * step).any():
        return None
    outer = _runs(blocks[:, 0])
    return None if outer is None else [*outer, (length, step)]


def view_of(source: Shape, moved: npt.NDArray[np.int64]) -> View | None:
    """Return the view that turns arange(source) into ``moved``, or None if there is none."""
    runs: list[tuple[int, int]] = []
    for axis in range(moved.ndim):
        index: list[int | slice] = [0] * moved.ndim
        index[axis] = slice(None)
        split = _runs(moved[tuple(index)])
        if split is None:
            return None
        runs += split
    runs = _merged(runs)
    order = sorted(range(len(runs)), key=lambda i: -runs[i][1])
    factors = tuple(runs[i][0] for i in order)
    perm = tuple(order.index(i) for i in range(len(runs)))
    if int(np.prod(factors)) != int(np.prod(source)):
        return None
    view = View(factors=factors, perm=perm, shape=moved.shape)
    same = np.array_equal(view.apply(np.arange(moved.size).reshape(source)), moved)
    return _aligned(view, source) if same else None


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbouring runs that are one run in the source too."""
    joined: list[tuple[int, int]] = []
    for size, stride in runs:
        if joined and joined[-1][1] == size * stride:
            joined[-1] = (joined[-1][0] * size, stride)
        else:
            joined.append((size, stride))
    return joined


def _aligned(view: View, source: Shape) -> View:
    """Prefer the source's own axes as factors, and the target's as result, where it can be done.

    A size-1 axis may stand anywhere, so a plain Transpose of the source may have been split off its
    ones. If transposing the source as it is gives the target, say it that way: one node, not three.
    """
    numbers = np.arange(int(np.prod(source))).reshape(source)
    moved = view.apply(numbers)
    if not view.moves or sorted(source) != sorted(view.shape):
        return view
    perm = _perm_between(source, view)
    if perm is not None and np.array_equal(numbers.transpose(perm), moved):
        return View(factors=source, perm=perm, shape=view.shape)
    return view


def _perm_between(source: Shape, view: View) -> Shape | None:
    """Guess the permutation of whole axes: match runs greater than 1, then spread the ones."""
    large = [axis for axis, size in enumerate(source) if size > 1]
    if tuple(source[axis] for axis in large) != view.factors:
        return None
    ones = [axis for axis, size in enumerate(source) if size == 1]
    targets = iter(large[place] for place in view.perm)
    perm = []
    for size in view.shape:
        chosen = next(targets, None) if size > 1 else (ones.pop(0) if ones else None)
        if chosen is None:
            return None
        perm.append(chosen)
    return tuple(perm)
