"""The normal form of a chain of Reshape, Squeeze, Unsqueeze, Flatten and Transpose.

On known shapes such a chain only moves elements. Its normal form, without steps that do nothing, is

    Reshape(factors) -> Transpose(perm) -> Reshape(shape)

The form is derived from numbers: apply the chain to 0, 1, 2, ..., split each output axis into runs
of constant stride, and sort the runs by stride; sorted, they are the factors of the source. As a
check, the form is applied to the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..graph import Shape


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


def _runs(offsets: npt.NDArray[np.int64]) -> list[tuple[int, int]] | None:
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
    runs: list[list[tuple[int, int]]] = []
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


def _transpose(source: Shape, runs: list[list[tuple[int, int]]], shape: Shape) -> View | None:
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


def _factored(runs: list[list[tuple[int, int]]], shape: Shape) -> View:
    """Return a view with the runs as factors, joined where they are one run in the source."""
    joined: list[tuple[int, int]] = []
    for size, stride in (run for axis in runs for run in axis):
        if joined and joined[-1][1] == size * stride:
            joined[-1] = (joined[-1][0] * size, stride)
        else:
            joined.append((size, stride))
    # Sorted by stride, outermost first, the runs are the axes of the source.
    order = sorted(range(len(joined)), key=lambda i: -joined[i][1])
    return View(
        factors=tuple(joined[i][0] for i in order),
        perm=tuple(order.index(i) for i in range(len(joined))),
        shape=shape,
    )
